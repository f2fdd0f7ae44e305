#pragma once
// Which conversations enter the frame. The steps have an order, and each counts on what the ones
// before it left: filters, empty, duplicates, starts in the middle, parts that are not text.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/log_reader.hpp"

namespace understudy {

enum class DuplicateRule : std::uint8_t {
  kById,       ///< equal texts of different conversations are traffic, not errors
  kByContent,  ///< role and text of every message, tool calls and tools are equal
};
/// "id" and "content"; fails with kUsage.
[[nodiscard]] Result<DuplicateRule> duplicate_rule_named(std::string_view name);

enum class Exclusion : std::uint8_t {
  kFilter,             ///< LogRecord::failed_filter says which
  kEmpty,              ///< no messages, or none with text or a tool call
  kDuplicate,          ///< an eligible one with this id or content came before
  kStartsInTheMiddle,  ///< the first message that is not the system's is not the user's
  kNonTextParts,       ///< images, audio or files: the replay could not show them to the model
};

/// 64-bit hashes in 8 to 19 bytes each: a set of nodes would take 40.
class HashSet64 {
 public:
  /// False when it was there already.
  bool insert(std::uint64_t hash);
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  void grow();
  std::vector<std::uint64_t> slots_;  // 0 is free
  std::size_t size_ = 0;
};

/// Feeds on records in their order; the same records in the same order give the same answers.
class Eligibility {
 public:
  Eligibility(DuplicateRule duplicates, const std::vector<EligibleFilter>& filters);

  /// Why the record is left out; nothing when it is eligible. Counts it.
  std::optional<Exclusion> admit(const LogRecord& record);

  [[nodiscard]] std::uint64_t read() const { return read_; }
  [[nodiscard]] std::uint64_t eligible() const;
  /// By reason: "eligible:PATH", "empty", "duplicate_id" or "duplicate_content",
  /// "starts_in_the_middle", "non_text_parts". Reasons that did not occur are absent.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& excluded() const { return excluded_; }

 private:
  [[nodiscard]] std::optional<Exclusion> judge(const LogRecord& record);
  [[nodiscard]] std::string reason_name(Exclusion exclusion, const LogRecord& record) const;

  DuplicateRule duplicates_;
  std::vector<std::string> filter_paths_;
  HashSet64 seen_;
  std::uint64_t read_ = 0;
  std::map<std::string, std::uint64_t> excluded_;
};

}  // namespace understudy
