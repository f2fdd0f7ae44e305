#include "base/hash.hpp"

#include <openssl/evp.h>

#include "base/assert.hpp"

namespace understudy {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() {
    // Fetched once: looking the algorithm up by name costs more than hashing a short text.
    static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    UNDERSTUDY_ASSERT(context != nullptr && EVP_DigestInit_ex(context, algorithm, nullptr) == 1);
  }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::bytes(std::string_view data) {
  EVP_DigestUpdate(state_->context, data.data(), data.size());
  return *this;
}

Sha256& Sha256::number(std::uint64_t value) {
  std::array<char, 8> big_endian{};
  for (std::size_t i = 0; i < 8; ++i) {
    big_endian[i] = static_cast<char>(value >> (56 - 8 * i));
  }
  return bytes({big_endian.data(), big_endian.size()});
}

Sha256& Sha256::field(std::string_view data) {
  return number(data.size()).bytes(data);
}

Digest Sha256::finish() {
  Digest digest{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(state_->context, digest.data(), &size);
  UNDERSTUDY_ASSERT(size == digest.size());
  return digest;
}

Digest sha256(std::string_view data) {
  return Sha256().bytes(data).finish();
}

std::string hex(const Digest& digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(64);
  for (const std::uint8_t byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string_view as_bytes(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::uint64_t first64(const Digest& digest) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = value << 8 | digest[i];
  return value;
}

std::uint64_t hash64(std::initializer_list<std::string_view> fields) {
  Sha256 hash;
  for (const std::string_view field : fields) hash.field(field);
  return first64(hash.finish());
}

}  // namespace understudy
