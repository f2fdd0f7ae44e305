#include "grading/labels.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <tuple>

#include "base/hash.hpp"
#include "base/json.hpp"

namespace understudy {
namespace {

constexpr std::uint64_t kAnswerIdVersion = 1;
constexpr std::size_t kIdDigits = 16;
constexpr std::string_view kAdjudicationName = "adjudication";

template <class Number>
std::optional<Number> whole_number(std::string_view text, int base) {
  Number value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, value, base);
  if (status != std::errc() || stop != end) return std::nullopt;
  return value;
}

}  // namespace

std::uint64_t answer_id(const AnswerView& answer) {
  Sha256 hash;
  hash.number(kAnswerIdVersion).field(answer.tools).number(answer.prefix.size());
  const auto add_calls = [&](std::span<const ToolCall> calls) {
    hash.number(calls.size());
    for (const ToolCall& call : calls) hash.field(call.name).field(call.arguments);
  };
  for (const Message& message : answer.prefix) {
    hash.field(role_name(message.role)).field(message.content).field(message.tool_call_id);
    add_calls(message.tool_calls);
  }
  hash.field(answer.content);
  add_calls(answer.tool_calls);
  return first64(hash.finish());
}

std::string answer_id_text(std::uint64_t id) {
  return fmt::format("{:016x}", id);
}

std::optional<std::uint64_t> parse_answer_id(std::string_view text) {
  if (text.size() != kIdDigits) return std::nullopt;
  return whole_number<std::uint64_t>(text, 16);
}

std::string_view target_name(Target target) {
  return target == Target::kPresent ? "1" : target == Target::kAbsent ? "0" : "unsure";
}

std::optional<Target> parse_target(std::string_view text) {
  if (text == "1" || text == "present") return Target::kPresent;
  if (text == "0" || text == "absent") return Target::kAbsent;
  if (text == "unsure") return Target::kUnsure;
  return std::nullopt;
}

std::string round_name(std::uint32_t round) {
  return round == kAdjudication ? std::string(kAdjudicationName) : std::to_string(round);
}

std::optional<std::uint32_t> parse_round(std::string_view text) {
  if (text == kAdjudicationName) return kAdjudication;
  const auto round = whole_number<std::uint32_t>(text, 10);
  return round && *round >= 1 && *round < kAdjudication ? round : std::nullopt;
}

bool LabelOrder::operator()(const Label& a, const Label& b) const {
  return std::tie(a.behavior, a.answer, a.annotator, a.round) <
         std::tie(b.behavior, b.answer, b.annotator, b.round);
}

Labels::Labels(std::vector<Label> labels) : labels_(std::move(labels)) {
  std::sort(labels_.begin(), labels_.end(), LabelOrder());
}

const Label* Labels::find(const Label& like) const {
  const auto place = std::lower_bound(labels_.begin(), labels_.end(), like, LabelOrder());
  return place != labels_.end() && !LabelOrder()(like, *place) ? &*place : nullptr;
}

std::span<const Label> Labels::of(std::string_view behavior) const {
  const auto below = [](const Label& label, std::string_view name) {
    return label.behavior < name;
  };
  const auto above = [](std::string_view name, const Label& label) {
    return name < label.behavior;
  };
  const auto first = std::lower_bound(labels_.begin(), labels_.end(), behavior, below);
  return {first, std::upper_bound(first, labels_.end(), behavior, above)};
}

std::span<const Label> Labels::of(std::string_view behavior, std::uint64_t answer) const {
  const std::span<const Label> all = of(behavior);
  const auto below = [](const Label& label, std::uint64_t id) { return label.answer < id; };
  const auto above = [](std::uint64_t id, const Label& label) { return id < label.answer; };
  const auto first = std::lower_bound(all.begin(), all.end(), answer, below);
  return {first, std::upper_bound(first, all.end(), answer, above)};
}

Decision decide(std::span<const Label> labels) {
  if (labels.empty()) return Decision::kNone;
  const auto last =
      std::max_element(labels.begin(), labels.end(),
                       [](const Label& a, const Label& b) { return a.round < b.round; });
  const auto votes = [&](Target target) {
    return std::count_if(labels.begin(), labels.end(), [&](const Label& label) {
      return label.round == last->round && label.target == target;
    });
  };
  const auto present = votes(Target::kPresent);
  const auto absent = votes(Target::kAbsent);
  if (present + absent == 0) return Decision::kUnsure;
  if (present == absent) return Decision::kTie;
  return present > absent ? Decision::kPresent : Decision::kAbsent;
}

LabelAgreement label_agreement(std::span<const Label> labels, std::uint64_t seed) {
  LabelAgreement out;
  out.behavior = labels.front().behavior;
  out.labels = labels.size();
  std::set<std::string> names;
  for (const Label& label : labels) {
    if (label.round != kAdjudication) names.insert(label.annotator);
  }
  out.annotators.assign(names.begin(), names.end());
  std::vector<std::vector<int>> units;
  std::vector<std::pair<int, int>> pairs;
  for (std::size_t i = 0; i < labels.size();) {
    std::size_t end = i;
    std::vector<int> unit;
    const std::string* last = nullptr;
    for (; end < labels.size() && labels[end].answer == labels[i].answer; ++end) {
      // In canonical order an annotator's first round comes first.
      const bool again = last != nullptr && *last == labels[end].annotator;
      if (again || labels[end].round == kAdjudication) continue;
      last = &labels[end].annotator;
      unit.push_back(static_cast<int>(labels[end].target));
    }
    if (decide(labels.subspan(i, end - i)) == Decision::kTie) ++out.undecided;
    ++out.answers;
    if (unit.size() >= 2) ++out.doubly;
    if (unit.size() == 2) pairs.emplace_back(unit[0], unit[1]);
    units.push_back(std::move(unit));
    i = end;
  }
  if (names.size() == 2) out.cohen = cohen_agreement(pairs, seed);
  out.krippendorff = krippendorff_agreement(units, seed);
  return out;
}

namespace {

Json agreement_json(const std::optional<Agreement>& agreement) {
  if (!agreement) return nullptr;
  return {{"value", rounded(agreement->value)},
          {"lo", rounded(agreement->lo)},
          {"hi", rounded(agreement->hi)},
          {"answers", agreement->units}};
}

}  // namespace

Json to_json(const LabelAgreement& agreement) {
  return {{"name", agreement.behavior},
          {"labels", agreement.labels},
          {"answers", agreement.answers},
          {"labeled_twice", agreement.doubly},
          {"to_adjudicate", agreement.undecided},
          {"annotators", agreement.annotators.size()},
          {"cohen_kappa", agreement_json(agreement.cohen)},
          {"krippendorff_alpha", agreement_json(agreement.krippendorff)}};
}

}  // namespace understudy
