#pragma once
// How long the results of one tool are in the logs, and how the long ones were cut off there.
// Results that are made up are too short and too tidy: their length is drawn from the logged ones
// as a hint, and what is longer than the tool ever shows is cut as the tool cuts.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace understudy {

class ResultLengths {
 public:
  /// Where the mark begins that says that the result goes on ("… [truncated]", "[120 more
  /// lines]"); nothing where the result is whole.
  [[nodiscard]] static std::optional<std::size_t> cut_mark(std::string_view result);

  void learn(std::string_view result);

  [[nodiscard]] std::size_t results() const { return bytes_.size(); }
  [[nodiscard]] std::size_t cut_off() const { return cut_bytes_.size(); }
  /// In bytes, as logged; q in [0, 1]. There is a result.
  [[nodiscard]] std::size_t quantile(double q) const;
  /// One of the logged lengths, a function of the key alone. There is a result.
  [[nodiscard]] std::size_t drawn(std::uint64_t key) const;

  /// The result as the tool would have shown it: whole, or cut where it cuts and with its mark.
  /// Tools whose cuts follow no length are left alone.
  [[nodiscard]] std::string as_shown(std::string result) const;

 private:
  [[nodiscard]] std::optional<std::size_t> limit() const;

  std::vector<std::uint32_t> bytes_;      // of all results
  std::vector<std::uint32_t> cut_bytes_;  // before their mark, of those that were cut off
  std::uint32_t longest_whole_ = 0;
  std::string mark_;  // the first that was seen
};

}  // namespace understudy
