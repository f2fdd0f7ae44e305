#include "report/words.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"

namespace understudy {
namespace {

std::string undecided_text(const BehaviorView& behavior, const ReportView& view) {
  if (!behavior.now) return "no present rate to compare with";
  if (!behavior.needed) return "can’t tell yet";
  const Needed& needed = *behavior.needed;
  if (needed.deployed_too_uncertain) {
    return "can’t tell: the present rate is too uncertain, more logs would help";
  }
  const std::string more = with_commas(needed.prefixes);
  if (!needed.frame_is_too_small)
    return fmt::format("can’t tell yet: {} more prefixes would", more);
  const std::uint64_t left =
      view.frame.value_or(0) - std::min(view.frame.value_or(0), view.sampled.value_or(0));
  return fmt::format("can’t tell: it takes {} more prefixes, these logs hold {}", more,
                     with_commas(left));
}

std::string unseen_text(const BehaviorView& behavior) {
  const std::optional<RateView>& seen =
      behavior.candidate.screen ? behavior.candidate.screen : behavior.next;
  std::string out = "nothing seen";
  if (seen->n) out += fmt::format(" in {}", with_commas(static_cast<std::uint64_t>(*seen->n)));
  if (seen->hi) out += fmt::format("; floor {}", bound_text(*seen->hi));
  return out;
}

}  // namespace

std::string change_text(const BehaviorView& behavior, const ReportView& view, NumberStyle style) {
  switch (behavior.finding) {
    case Finding::kWorse:
    case Finding::kBetter:
      return ratio_text(*behavior.change, style) + ", sure";
    case Finding::kUndecided:
      return undecided_text(behavior, view);
    case Finding::kUnseen:
      return unseen_text(behavior);
    case Finding::kNotMeasured:
      return "not measured: " + not_measured_reason(behavior);
  }
  UNDERSTUDY_ASSERT(false);
}

std::string reasons_text(const ReasonCounts& counts) {
  std::string out;
  for (const auto& [reason, count] : counts) {
    if (!out.empty()) out += ", ";
    out += fmt::format("{} {}", reason_text(reason), with_commas(count));
  }
  return out;
}

std::string ungraded_text(const VerdictTally& tally) {
  std::string out;
  if (!tally.ungradable.empty()) {
    out = fmt::format("{} of {} answers can’t be graded ({})", with_commas(sum(tally.ungradable)),
                      with_commas(tally.total()), reasons_text(tally.ungradable));
  }
  if (!tally.not_graded.empty()) {
    if (!out.empty()) out += "; ";
    out += fmt::format("{} of {} were not graded ({})", with_commas(sum(tally.not_graded)),
                       with_commas(tally.total()), reasons_text(tally.not_graded));
  }
  return out;
}

std::string not_measured_reason(const BehaviorView& behavior) {
  const VerdictTally* tally = behavior.verdicts_of("candidate");
  if (tally == nullptr || tally->total() == 0) return "no draws";
  const std::uint64_t not_graded = sum(tally->not_graded);
  const std::uint64_t ungradable = sum(tally->ungradable);
  if (not_graded >= ungradable && not_graded > 0) return reason_text(tally->not_graded[0].first);
  if (ungradable > 0) return "ungradable, " + reason_text(tally->ungradable[0].first);
  return "no estimate";
}

std::string graders_text(const StudyView& study) {
  std::string out;
  const auto add = [&](std::string_view separator, const std::string& part) {
    if (!out.empty()) out += separator;
    out += part;
  };
  if (study.rules && *study.rules > 0) add(", ", "graders " + counted(*study.rules, "rule"));
  if (study.judges && *study.judges > 0) {
    add(" and ", (out.empty() ? "graders " : "") + counted(*study.judges, "judged behavior"));
  }
  if (study.window_tokens) {
    add(", ", fmt::format("window {} tokens", with_commas(*study.window_tokens)));
  }
  return out;
}

std::string level_text(double level) {
  return fmt::format("{:.3g}%", 100 * level);
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", with_commas(count), noun, count == 1 ? "" : "s");
}

std::vector<std::string> limits_in_words(const ReportView& view) {
  std::vector<std::string> out = {"uses that no log holds"};
  const ArmView* candidate = view.arm("candidate");
  const auto floor = std::find_if(view.limits.begin(), view.limits.end(),
                                  [](const Limit& limit) { return limit.code == "floor"; });
  if (floor != view.limits.end() && !floor->text.empty()) {
    out.push_back(floor->text.substr(0, floor->text.find(": ")));
  } else if (candidate != nullptr && candidate->draws.completed >= 3) {
    out.push_back(fmt::format("anything rarer than 1 in {} here",
                              with_commas(rarest_visible(candidate->draws.completed))));
  }
  for (const Limit& limit : view.limits) {
    if (limit.code == "no_log" || limit.code == "floor") continue;
    out.push_back(limit.text.empty() ? reason_text(limit.code) : limit.text);
  }
  return out;
}

}  // namespace understudy
