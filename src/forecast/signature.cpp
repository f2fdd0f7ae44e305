#include "forecast/signature.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>

namespace understudy {
namespace {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;
using Bio = std::unique_ptr<BIO, FreeBio>;
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

// An encrypted key would ask for its password on the terminal: there is nobody to ask.
int no_password(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*context*/) {
  return -1;
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Result<Key> read_key(std::string_view pem, bool is_private) {
  const auto open = [&] { return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); };
  Key key;
  if (!is_private) key.reset(PEM_read_bio_PUBKEY(open().get(), nullptr, no_password, nullptr));
  if (!key) key.reset(PEM_read_bio_PrivateKey(open().get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (!key || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) {
    return unexpected(ErrorCode::kUsage,
                      is_private
                          ? "this is no unencrypted Ed25519 private key in PEM: make one with "
                            "`openssl genpkey -algorithm ed25519 -out key.pem`"
                          : "this is no Ed25519 public key in PEM: make one with `openssl pkey -in "
                            "key.pem -pubout -out public.pem`");
  }
  return key;
}

}  // namespace

Result<std::string> sign_ed25519(std::string_view pem, std::string_view message) {
  UNDERSTUDY_TRY(const Key key, read_key(pem, true));
  const Context context(EVP_MD_CTX_new());
  std::string signature(64, '\0');
  std::size_t size = signature.size();
  const bool done =
      context && EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     bytes_of(message), message.size()) == 1;
  if (!done) return unexpected(ErrorCode::kInfrastructure, "cannot sign with this key");
  return signature;
}

Result<void> check_ed25519(std::string_view pem, std::string_view message,
                           std::string_view signature) {
  UNDERSTUDY_TRY(const Key key, read_key(pem, false));
  const Context context(EVP_MD_CTX_new());
  const bool good =
      context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
      EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message),
                       message.size()) == 1;
  ERR_clear_error();
  if (good) return {};
  return unexpected(ErrorCode::kMismatch,
                    "the signature does not check: the forecast or the signature was changed, or "
                    "another key signed it");
}

}  // namespace understudy
