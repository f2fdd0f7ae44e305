#include "model/tls_server_test.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/assert.hpp"
#include "model/raw_server_test.hpp"

namespace understudy {
namespace {

constexpr int kPollMs = 20;

template <auto Function>
struct Free {
  template <class T>
  void operator()(T* pointer) const {
    Function(pointer);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;

Certificate make_certificate(const TestCertificate& wanted, EVP_PKEY* key) {
  Certificate made(X509_new());
  X509* const x509 = made.get();
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -86'400L * 30);
  X509_gmtime_adj(X509_getm_notAfter(x509), static_cast<long>(wanted.valid_for_s));
  X509_set_pubkey(x509, key);
  X509_NAME* const name = X509_get_subject_name(x509);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
  X509_set_issuer_name(x509, name);
  in_addr ignored{};
  const bool is_address = inet_pton(AF_INET, wanted.host.c_str(), &ignored) == 1;
  const std::string names = (is_address ? "IP:" : "DNS:") + wanted.host;
  X509_EXTENSION* const extension =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
  X509_add_ext(x509, extension, -1);
  X509_EXTENSION_free(extension);
  UNDERSTUDY_ASSERT(X509_sign(x509, key, EVP_sha256()) > 0);
  return made;
}

std::string pem_of(X509* certificate) {
  std::unique_ptr<BIO, Free<BIO_free_all>> memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(memory.get(), certificate);
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

}  // namespace

struct TlsServer::Context {
  std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>> ssl;
};

TlsServer::TlsServer(const TestCertificate& certificate, std::string answer)
    : context_(std::make_unique<Context>()), answer_(std::move(answer)) {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate made = make_certificate(certificate, key.get());
  pem_ = pem_of(made.get());
  context_->ssl.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX_use_certificate(context_->ssl.get(), made.get());
  SSL_CTX_use_PrivateKey(context_->ssl.get(), key.get());
  listener_ = listen_on_loopback(port_);
  thread_ = std::thread([this] { serve(); });
}

TlsServer::~TlsServer() {
  stopped_ = true;
  thread_.join();
  ::close(listener_);
}

std::string TlsServer::base_url() const {
  return fmt::format("https://127.0.0.1:{}/v1", port_);
}

void TlsServer::serve() {
  // OpenSSL writes without MSG_NOSIGNAL, and a client that goes must not end the test.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  while (!stopped_) {
    pollfd wanted{.fd = listener_, .events = POLLIN, .revents = 0};
    if (::poll(&wanted, 1, kPollMs) <= 0) continue;
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    // A client that says nothing more must not hold up the test.
    const timeval patience{.tv_sec = 5, .tv_usec = 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    answer(fd);
    ::close(fd);
  }
}

void TlsServer::answer(int fd) {
  const std::unique_ptr<SSL, Free<SSL_free>> ssl(SSL_new(context_->ssl.get()));
  SSL_set_fd(ssl.get(), fd);
  if (SSL_accept(ssl.get()) != 1) return;
  std::array<char, 65536> buffer{};
  if (SSL_read(ssl.get(), buffer.data(), static_cast<int>(buffer.size())) <= 0) return;
  ++requests_;
  SSL_write(ssl.get(), answer_.data(), static_cast<int>(answer_.size()));
  SSL_shutdown(ssl.get());
}

}  // namespace understudy
