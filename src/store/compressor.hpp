#pragma once
// zstd with a dictionary trained on the study's own conversations: what makes one small blob a
// conversation nearly as small as one long stream.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace understudy {

/// Trains on texts of the study. Gives "" where there is too little to learn from: then blobs are
/// compressed without a dictionary.
[[nodiscard]] std::string train_dictionary(std::span<const std::string> texts);

class Compressor {
 public:
  explicit Compressor(std::string dictionary);
  ~Compressor();
  Compressor(Compressor&&) noexcept;
  Compressor& operator=(Compressor&&) noexcept;

  [[nodiscard]] std::string compress(std::string_view bytes) const;
  /// Fails on damage, and on a blob that claims more than 256 MiB.
  [[nodiscard]] Result<std::string> decompress(std::string_view bytes) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace understudy
