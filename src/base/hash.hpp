#pragma once
// SHA-256 and what is derived from it: content hashes, identities, seeds.

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

namespace understudy {

using Digest = std::array<std::uint8_t, 32>;

/// Incremental SHA-256. `field` adds a length before the bytes, so that ("ab","c") and ("a","bc")
/// differ: use it for anything built of parts.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  Sha256& bytes(std::string_view data);
  Sha256& field(std::string_view data);
  Sha256& number(std::uint64_t value);
  /// May be called once.
  [[nodiscard]] Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] Digest sha256(std::string_view data);
[[nodiscard]] std::string hex(const Digest& digest);
[[nodiscard]] std::string_view as_bytes(const Digest& digest);
/// First eight bytes, big-endian: a 64-bit name for something with a 256-bit one.
[[nodiscard]] std::uint64_t first64(const Digest& digest);
/// Hash of a list of fields, as 64 bits.
[[nodiscard]] std::uint64_t hash64(std::initializer_list<std::string_view> fields);

}  // namespace understudy
