#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "report/html_sections.hpp"
#include "report/html_text.hpp"
#include "report/words.hpp"

namespace understudy {
namespace {

// A row of the way from records to verdicts: what is there, or what is taken away.
struct Step {
  std::string what;
  std::uint64_t count = 0;
  bool taken_away = false;
};

// Steps in one unit, whose bars are all parts of the first.
struct Stage {
  std::string title;
  std::vector<Step> steps;
};

void take_away(Stage& stage, const ReasonCounts& reasons) {
  for (const auto& [reason, count] : reasons) {
    stage.steps.push_back({reason_text(reason), count, true});
  }
}

Stage conversations_stage(const ReportView& view) {
  Stage stage{"Conversations", {}};
  if (!view.read) return stage;
  stage.steps.push_back({"read", *view.read, false});
  take_away(stage, view.excluded);
  // Formats differ in whether a record that can't be read counts as read.
  const bool rejected_are_read =
      view.eligible && *view.eligible + sum(view.excluded) + sum(view.rejected) == *view.read;
  if (rejected_are_read) take_away(stage, view.rejected);
  if (view.eligible) stage.steps.push_back({"eligible", *view.eligible, false});
  return stage;
}

Stage prefixes_stage(const ReportView& view) {
  Stage stage{"Turns", {}};
  if (view.turns) stage.steps.push_back({"in the eligible conversations", *view.turns, false});
  take_away(stage, view.prefixes_excluded);
  if (view.frame) stage.steps.push_back({"in the frame", *view.frame, false});
  if (view.sampled) stage.steps.push_back({"selected for replay", *view.sampled, false});
  return stage;
}

Stage draws_stage(const ArmView& arm) {
  Stage stage{arm_title(arm.name), {}};
  const bool logged = arm.name == "deployed" || arm.name == "production";
  stage.steps.push_back(
      {logged ? "logged answers" : "draws requested", arm.draws.requested, false});
  take_away(stage, arm.draws.failed);
  stage.steps.push_back({"answers to grade", arm.draws.completed, false});
  return stage;
}

std::string stage_rows(const Stage& stage) {
  std::uint64_t whole = 0;
  for (const Step& step : stage.steps) whole = std::max(whole, step.count);
  if (stage.steps.empty()) return "";
  std::string out =
      fmt::format(R"(<tbody><tr class="group"><th scope="rowgroup" colspan="3">{}</th></tr>)",
                  html_line(stage.title));
  for (const Step& step : stage.steps) {
    const double share =
        whole == 0 ? 0 : 100 * static_cast<double>(step.count) / static_cast<double>(whole);
    out += fmt::format(
        R"(<tr class="{}"><th scope="row">{}{}</th><td class="count">{}{}</td><td class="bar">)"
        R"(<svg width="100%" height="12" aria-hidden="true">)"
        R"(<rect width="{:.2f}%" height="12" rx="2"/></svg></td></tr>)",
        step.taken_away ? "less" : "kept", step.taken_away ? "less: " : "", html_line(step.what),
        step.taken_away ? "−" : "", with_commas(step.count), share);
    out += '\n';
  }
  return out + "</tbody>\n";
}

// How many answers have a verdict, as the range over behaviors.
std::string verdicts_line(const ReportView& view, const ArmView& arm) {
  std::uint64_t fewest = arm.draws.completed;
  std::uint64_t most = 0;
  std::uint64_t without = 0;
  for (const BehaviorView& behavior : view.behaviors) {
    const VerdictTally* tally = behavior.verdicts_of(arm.name);
    if (tally == nullptr) continue;
    const std::uint64_t graded = tally->present + tally->absent;
    if (graded == 0) {
      ++without;
      continue;
    }
    fewest = std::min(fewest, graded);
    most = std::max(most, graded);
  }
  if (most == 0) return "";
  std::string out =
      fmt::format("{}: of {}, ", arm_title(arm.name), counted(arm.draws.completed, "answer"));
  out += fewest == most ? fmt::format("{} have a verdict for each behavior", with_commas(most))
                        : fmt::format("{} to {} have a verdict, depending on the behavior",
                                      with_commas(fewest), with_commas(most));
  if (without > 0) out += fmt::format("; {} without any", counted(without, "behavior"));
  return "<li>" + html_line(out) + ".</li>";
}

}  // namespace

std::string arm_title(std::string_view arm) {
  if (arm == "deployed") return "Deployed model, logged";
  if (arm == "deployed_replay") return "Deployed model, replayed";
  if (arm == "candidate") return "Candidate";
  if (arm == "production") return "Candidate’s own traffic";
  return reason_text(arm);
}

std::string counts_section(const ReportView& view) {
  std::string out =
      R"(<section id="counts"><h2>What the rates are made of</h2><table class="counts">)"
      R"(<caption>From the records read to the answers graded. Bars are parts of each block’s )"
      R"(largest number.</caption><thead><tr><th scope="col">Step</th>)"
      R"(<th scope="col" class="count">Count</th><th scope="col" class="bar">Part</th>)"
      R"(</tr></thead>)";
  out += stage_rows(conversations_stage(view)) + stage_rows(prefixes_stage(view));
  for (const ArmView& arm : view.arms) out += stage_rows(draws_stage(arm));
  out += "</table>\n<ul>";
  if (!view.rejected.empty()) {
    out +=
        fmt::format("<li>{} could not be read ({}); <code>rejects.jsonl</code> says where.</li>",
                    counted(sum(view.rejected), "record"), html_line(reasons_text(view.rejected)));
  }
  for (const ArmView& arm : view.arms) out += verdicts_line(view, arm);
  const std::vector<std::string> contradictions = count_contradictions(view);
  for (const std::string& contradiction : contradictions) {
    out += fmt::format(R"(<li class="alarm">These counts do not add up: {}.</li>)",
                       html_line(contradiction));
  }
  if (contradictions.empty()) {
    out +=
        "<li>Checked: draws are completed or failed, and every completed answer is present, "
        "absent, ungradable or not graded, for each behavior.</li>";
  }
  return out + "</ul></section>\n";
}

}  // namespace understudy
