// The report document → report.json and report.html, each written whole or not at all.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.hpp"
#include "engine/graded_answer.hpp"
#include "engine/judge_grading.hpp"
#include "engine/study.hpp"
#include "engine/study_files.hpp"
#include "engine/units.hpp"
#include "grading/rule_graders.hpp"
#include "report/html.hpp"

namespace understudy {
namespace {

constexpr std::size_t kExamplesPerArm = 3;
constexpr std::size_t kPrefixTailMessages = 3;
constexpr std::size_t kTrajectoryTailMessages = 12;

void append_calls(std::string& text, std::span<const ToolCall> calls) {
  for (const ToolCall& call : calls) {
    text += fmt::format("{}[calls {} {}]", text.empty() ? "" : "\n", call.name, call.arguments);
  }
}

// The end of what came before the answer; of a trajectory what the model did, and the question.
std::size_t tail_size(const AnswerView& answer) {
  if (!answer.own_from) return kPrefixTailMessages;
  return std::clamp(answer.prefix.size() - *answer.own_from + 1, kPrefixTailMessages,
                    kTrajectoryTailMessages);
}

ExampleTranscript transcript(const AnswerView& answer, Arm arm, const DrawKey& key,
                             const std::vector<Evidence>& evidence) {
  ExampleTranscript out;
  out.id = fmt::format("{}:{}:{}", arm_name(arm), key.prefix, key.index);
  out.arm = arm_name(arm);
  out.verdict = verdict_name(Verdict::kPresent);
  const std::size_t from = answer.prefix.size() - std::min(answer.prefix.size(), tail_size(answer));
  out.prefix_shortened = from > 0;
  for (std::size_t i = from; i < answer.prefix.size(); ++i) {
    out.prefix_tail.push_back({.role = std::string(role_name(answer.prefix[i].role)),
                               .text = answer.prefix[i].content,
                               .evidence = {}});
    append_calls(out.prefix_tail.back().text, answer.prefix[i].tool_calls);
  }
  out.answer = {.role = "assistant", .text = std::string(answer.content), .evidence = {}};
  for (const Evidence& place : evidence) {
    const TextRange range{.begin = place.begin, .end = place.end};
    if (place.where == EvidenceWhere::kAnswer) {
      if (range.end > range.begin) out.answer.evidence.push_back(range);
    } else if (place.where == EvidenceWhere::kMessage && place.index >= from &&
               place.index < answer.prefix.size()) {
      out.prefix_tail[place.index - from].evidence.push_back(range);
    }
  }
  append_calls(out.answer.text, answer.tool_calls);
  return out;
}

// The first few flagged answers of each arm, in canonical order.
Result<std::map<std::string, std::vector<ExampleTranscript>>> examples(
    Study& study, const std::vector<Behavior>& behaviors, const RuleGraders& rules) {
  std::map<std::string, std::vector<ExampleTranscript>> all;
  UNDERSTUDY_TRY(AnswerFinder finder, AnswerFinder::open(study.store));
  for (const Arm arm : {Arm::kCandidate, Arm::kDeployed}) {
    UNDERSTUDY_TRY(const Units units, units_of(study.store, arm));
    for (std::size_t i = 0; i < behaviors.size(); ++i) {
      if (!rules.has_rule(i)) continue;
      UNDERSTUDY_TRY(const std::int64_t grader, rule_grader(study.store, behaviors[i]));
      std::vector<std::int64_t> keys;
      UNDERSTUDY_CHECK(study.store.for_each_verdict_block(
          grader, arm,
          [&](std::uint64_t first, std::uint64_t,
              const std::vector<SparseVerdict>& verdicts) -> Result<void> {
            for (const SparseVerdict& entry : verdicts) {
              if (entry.verdict != Verdict::kPresent || keys.size() == kExamplesPerArm) continue;
              keys.push_back(units.keys.at(first + entry.position));
            }
            return {};
          }));
      for (const std::int64_t packed : keys) {
        const DrawKey key = unpack_draw_key(packed);
        UNDERSTUDY_TRY(const AnswerView answer, finder.find(key));
        all[behaviors[i].id].push_back(transcript(answer, arm, key, rules.evidence(answer, i)));
      }
    }
  }
  return all;
}

}  // namespace

Result<StageOutcome> report_stage(Study& study) {
  UNDERSTUDY_TRY(const auto estimate, study.store.stage("estimate"));
  if (!estimate)
    return unexpected(ErrorCode::kUsage, "no estimates yet: `understudy estimate` first");
  UNDERSTUDY_TRY(Json report, parse_json(estimate->detail));
  UNDERSTUDY_TRY(const auto written, stored_detail(study.store, "report", estimate->fingerprint));
  const std::string json_path = study.directory() + "/report.json";
  const std::string html_path = study.directory() + "/report.html";
  const bool there =
      ::access(json_path.c_str(), F_OK) == 0 && ::access(html_path.c_str(), F_OK) == 0;
  if (written && there) return StageOutcome{.up_to_date = true, .detail = std::move(report)};

  UNDERSTUDY_TRY(const std::vector<Behavior> behaviors,
                 select_behaviors(study.config.grade.behaviors, study.directory()));
  UNDERSTUDY_TRY(const RuleGraders rules, RuleGraders::build(behaviors));
  HtmlOptions html;
  UNDERSTUDY_TRY(html.examples, examples(study, behaviors, rules));
  UNDERSTUDY_TRY(const std::string page, html_report(report, html));
  UNDERSTUDY_CHECK(write_whole_file(json_path, write_json(report, JsonStyle::kPretty)));
  UNDERSTUDY_CHECK(write_whole_file(html_path, page));
  UNDERSTUDY_TRY(Transaction transaction, study.store.transaction());
  UNDERSTUDY_CHECK(store_stage(study.store, "report", estimate->fingerprint, Json::object()));
  UNDERSTUDY_CHECK(transaction.commit());
  return StageOutcome{.up_to_date = false, .detail = std::move(report)};
}

}  // namespace understudy
