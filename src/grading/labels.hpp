#pragma once
// Labels: what people say of answers. A label hangs on the content of an answer (its conversation,
// and what of the answer is graded), never on a draw, so that it outlives reruns: any study that
// holds the same text finds it again. Pure.

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "grading/agreement.hpp"
#include "grading/answer_view.hpp"

namespace understudy {

/// Names an answer by content: first 64 bits of SHA-256 over the de-identified conversation before
/// it, its text within the window, and its tool calls. Among a million answers two share one with
/// probability 3e-8.
[[nodiscard]] std::uint64_t answer_id(const AnswerView& answer);
/// 16 hexadecimal digits.
[[nodiscard]] std::string answer_id_text(std::uint64_t id);
/// Empty unless the text is 16 hexadecimal digits.
[[nodiscard]] std::optional<std::uint64_t> parse_answer_id(std::string_view text);

enum class Target : std::uint8_t { kAbsent = 0, kPresent = 1, kUnsure = 2 };
/// "0", "1", "unsure".
[[nodiscard]] std::string_view target_name(Target target);
/// The names above, "absent" and "present".
[[nodiscard]] std::optional<Target> parse_target(std::string_view text);

/// Rounds of labeling count from 1; adjudication comes after all of them.
inline constexpr std::uint32_t kAdjudication = std::numeric_limits<std::uint32_t>::max();
[[nodiscard]] std::string round_name(std::uint32_t round);
[[nodiscard]] std::optional<std::uint32_t> parse_round(std::string_view text);

struct Label {
  std::uint64_t answer = 0;  ///< answer_id
  std::string behavior;
  std::string annotator;
  std::uint32_t round = 1;
  Target target = Target::kAbsent;
  bool operator==(const Label&) const = default;
};
/// By behavior, answer, annotator, round: what makes a label one of its own, in canonical order.
struct LabelOrder {
  [[nodiscard]] bool operator()(const Label& a, const Label& b) const;
};

/// Labels of one study, in canonical order.
class Labels {
 public:
  Labels() = default;
  explicit Labels(std::vector<Label> labels);

  /// The label with the same behavior, answer, annotator and round.
  [[nodiscard]] const Label* find(const Label& like) const;
  /// All labels of an answer for a behavior.
  [[nodiscard]] std::span<const Label> of(std::string_view behavior, std::uint64_t answer) const;
  [[nodiscard]] std::span<const Label> of(std::string_view behavior) const;
  [[nodiscard]] std::span<const Label> all() const { return labels_; }
  [[nodiscard]] bool empty() const { return labels_.empty(); }

 private:
  std::vector<Label> labels_;
};

/// What the labels of one answer come to: those of the last round decide (adjudication is the
/// last), by majority; "unsure" has no vote.
enum class Decision : std::uint8_t {
  kNone,     ///< nobody has said anything
  kAbsent,   ///< decided
  kPresent,  ///< decided
  kUnsure,   ///< all were unsure
  kTie,      ///< as many said present as absent: to be adjudicated
};
[[nodiscard]] Decision decide(std::span<const Label> labels);

/// How far the annotators of a behavior agree. Each annotator's first label of an answer counts,
/// adjudication does not: agreement is that of people who have not seen each other's labels.
struct LabelAgreement {
  std::string behavior;
  std::uint64_t labels = 0;
  std::uint64_t answers = 0;    ///< with at least one label
  std::uint64_t doubly = 0;     ///< labeled by at least two people
  std::uint64_t undecided = 0;  ///< ties that wait for adjudication
  std::vector<std::string> annotators;
  std::optional<Agreement> cohen;  ///< where there are exactly two annotators
  std::optional<Agreement> krippendorff;
};
/// `labels` are those of one behavior in canonical order; at least one. The seed is of the
/// bootstrap behind the intervals.
[[nodiscard]] LabelAgreement label_agreement(std::span<const Label> labels, std::uint64_t seed);
[[nodiscard]] Json to_json(const LabelAgreement& agreement);

}  // namespace understudy
