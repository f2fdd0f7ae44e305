#pragma once
// The byte format of stored records: LEB128 varints and length-prefixed text.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "records/conversation.hpp"

namespace understudy {

class Encoder {
 public:
  Encoder& byte(std::uint8_t value) {
    bytes_ += static_cast<char>(value);
    return *this;
  }
  Encoder& number(std::uint64_t value) {
    while (value >= 0x80) {
      bytes_ += static_cast<char>((value & 0x7F) | 0x80);
      value >>= 7;
    }
    return byte(static_cast<std::uint8_t>(value));
  }
  Encoder& text(std::string_view value) {
    number(value.size());
    bytes_.append(value);
    return *this;
  }
  [[nodiscard]] std::string bytes() && { return std::move(bytes_); }
  [[nodiscard]] const std::string& bytes() const& { return bytes_; }

 private:
  std::string bytes_;
};

/// Reads what Encoder wrote. After damage every read gives zero or empty and ok() is false.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : rest_(bytes) {}

  std::uint8_t byte() {
    if (rest_.empty()) return fail(), std::uint8_t{0};
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint8_t part = byte();
      value |= static_cast<std::uint64_t>(part & 0x7F) << shift;
      if ((part & 0x80) == 0) return value;
    }
    return fail(), std::uint64_t{0};
  }
  /// A number of things that each take at least a byte: bounded by what is left.
  std::uint64_t count() {
    const std::uint64_t value = number();
    if (value > rest_.size()) return fail(), std::uint64_t{0};
    return value;
  }
  std::string text() {
    const std::uint64_t size = count();
    std::string value(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return value;
  }
  std::vector<ToolCall> tool_calls() {
    std::vector<ToolCall> calls;
    for (std::uint64_t left = count(); left > 0 && ok_; --left) {
      ToolCall call;
      call.id = text();
      call.name = text();
      call.arguments = text();
      calls.push_back(std::move(call));
    }
    return calls;
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  void fail() {
    ok_ = false;
    rest_ = {};
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace understudy
