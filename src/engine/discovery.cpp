#include "engine/discovery.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "engine/answer_pairs.hpp"
#include "engine/verification.hpp"
#include "grading/request_context.hpp"
#include "grading/rule_graders.hpp"

namespace understudy {
namespace {

constexpr std::size_t kTranscripts = 10;
constexpr std::size_t kSituations = 3;
constexpr std::uint64_t kPairsForSituations = 2000;
constexpr std::size_t kShownBytes = 300;  // of a message in a terminal
constexpr std::size_t kFeaturesShown = 3;

class Describing {
 public:
  Describing(Study& study, AnswerPairs& pairs) : pairs_(pairs), ids_(study.store) {}

  Result<void> describe(Discovery& found) {
    // Pairs are sorted by a hash of the user, so that any run of them is a random part.
    const std::uint64_t shown = std::min(pairs_.count(), kPairsForSituations);
    for (std::uint64_t id = 0; id < shown; ++id) {
      UNDERSTUDY_TRY(const AnswerView answer, pairs_.answer(id, false));
      of_all_.push_back(situations_of(extractor_, answer));
    }
    for (const ContrastFinding& finding : found.contrast.findings) {
      UNDERSTUDY_CHECK(describe(finding, found));
    }
    return {};
  }

 private:
  struct Typical {
    std::size_t features = 0;  // of the finding
    std::size_t size = 0;
    std::uint64_t pair = 0;
  };

  Result<void> describe(const ContrastFinding& finding, Discovery& found) {
    std::vector<std::vector<std::string>> situations;
    std::vector<Typical> typical;
    for (const std::uint64_t pair : finding.pairs) {
      UNDERSTUDY_TRY(const AnswerView answer, pairs_.answer(pair, finding.more));
      situations.push_back(situations_of(extractor_, answer));
      Typical one{.features = 0, .size = readable_answer(answer).size(), .pair = pair};
      for (const Feature& feature : extractor_.extract(answer)) {
        const std::string name = feature_name(feature.kind, feature.text);
        one.features += static_cast<std::size_t>(
            std::count(finding.features.begin(), finding.features.end(), name));
      }
      typical.push_back(one);
    }
    std::sort(typical.begin(), typical.end(), [](const Typical& a, const Typical& b) {
      if (a.features != b.features) return a.features > b.features;
      return a.size != b.size ? a.size < b.size : a.pair < b.pair;
    });
    found.situations.push_back(localized(situations, of_all_, kSituations));
    std::vector<Transcript> transcripts;
    for (std::size_t i = 0; i < std::min(kTranscripts, typical.size()); ++i) {
      Transcript transcript;
      UNDERSTUDY_TRY(transcript.id,
                     ids_.of(pack_draw_key(pairs_.key(typical[i].pair, finding.more))));
      UNDERSTUDY_TRY(const AnswerView answer, pairs_.answer(typical[i].pair, finding.more));
      transcript.user_text = utf8_prefix(last_user_text(answer.prefix), kTranscriptBytes);
      transcript.answer = readable_answer(answer);
      transcripts.push_back(std::move(transcript));
    }
    found.transcripts.push_back(std::move(transcripts));
    return {};
  }

  AnswerPairs& pairs_;
  AnswerIds ids_;
  FeatureExtractor extractor_;
  std::vector<std::vector<std::string>> of_all_;
};

Json rate_json(const HalfRate& rate) {
  return {{"answers", rate.answers},
          {"per_100k", rounded(rate.per_100k)},
          {"lo", rounded(rate.interval.lo)},
          {"hi", rounded(rate.interval.hi)}};
}

std::string rate_text(const HalfRate& rate) {
  return fmt::format("{:.4g} ({:.4g}–{:.4g})", rate.per_100k, rate.interval.lo, rate.interval.hi);
}

Result<const ContrastFinding*> finding_of(const Discovery& found, std::size_t number) {
  const std::vector<ContrastFinding>& findings = found.contrast.findings;
  if (number >= 1 && number <= findings.size()) return &findings[number - 1];
  return unexpected(ErrorCode::kUsage,
                    fmt::format("there is no finding {}: there are {}", number, findings.size()));
}

}  // namespace

std::string readable_answer(const AnswerView& answer) {
  std::string text(utf8_prefix(answer.content, kTranscriptBytes));
  for (const ToolCall& call : answer.tool_calls) {
    text += fmt::format("{}[calls {} with {}]", text.empty() ? "" : "\n", call.name,
                        utf8_prefix(call.arguments, kTranscriptBytes));
  }
  return text;
}

std::string shown_text(std::string_view text) {
  const std::string_view part = utf8_prefix(text, kShownBytes);
  return terminal_safe(part) + (part.size() < text.size() ? " …" : "");
}

Result<Discovery> discover(Study& study, double level) {
  UNDERSTUDY_TRY(AnswerPairs pairs, AnswerPairs::open(study.store, Arm::kCandidate));
  if (pairs.count() == 0) {
    return unexpected(ErrorCode::kUsage,
                      fmt::format("no prefix has a stored answer of the candidate: `understudy run "
                                  "{}` first",
                                  study.directory()));
  }
  Discovery found;
  const ContrastOptions options{.seed = hash64({"discovery", study.config.sample.seed}),
                                .pairs = pairs.count(),
                                .level = level};
  UNDERSTUDY_TRY(found.contrast,
                 contrast([&](PairVisitor& visitor) { return pairs.show(visitor); }, options));
  UNDERSTUDY_CHECK(Describing(study, pairs).describe(found));
  return found;
}

Json to_json(const Discovery& found) {
  const Contrast& contrast = found.contrast;
  Json findings = Json::array();
  for (std::size_t i = 0; i < contrast.findings.size(); ++i) {
    const ContrastFinding& finding = contrast.findings[i];
    Json situations = Json::array();
    for (const Situation& situation : found.situations[i]) {
      situations.push_back({{"name", situation.name},
                            {"share", rounded(situation.share)},
                            {"share_all", rounded(situation.share_all)}});
    }
    Json transcripts = Json::array();
    for (const Transcript& transcript : found.transcripts[i]) {
      transcripts.push_back(answer_id_text(transcript.id));
    }
    findings.push_back({{"number", i + 1},
                        {"features", finding.features},
                        {"direction", finding.more ? "more" : "fewer"},
                        {"p_value", rounded(finding.p_value)},
                        {"p_adjusted", rounded(finding.adjusted)},
                        {"users_more", finding.users_more},
                        {"users_fewer", finding.users_fewer},
                        {"deployed", rate_json(finding.logged)},
                        {"candidate", rate_json(finding.candidate)},
                        {"excess_per_100k", rounded(finding.excess_per_100k)},
                        {"situations", std::move(situations)},
                        {"transcripts", std::move(transcripts)}});
  }
  return {{"schema", "understudy.discovery/1"},
          {"understudy_version", UNDERSTUDY_VERSION},
          {"pairs", contrast.pairs},
          {"users", contrast.users},
          {"users_selecting", contrast.users_selecting},
          {"users_testing", contrast.users_testing},
          {"tested", contrast.tested},
          {"findings", std::move(findings)}};
}

std::string discovery_text(const Discovery& found, const std::string& directory) {
  const Contrast& contrast = found.contrast;
  std::string text = fmt::format(
      "{} pairs of answers to the same prefixes, {} users. What differed on {} users was tested on "
      "the other {}: {} hypotheses, {} findings.\n",
      with_commas(contrast.pairs), with_commas(contrast.users),
      with_commas(contrast.users_selecting), with_commas(contrast.users_testing), contrast.tested,
      contrast.findings.size());
  if (contrast.users_selecting == 0 || contrast.users_testing == 0) {
    text += "Two halves of users are needed, and one is empty: nothing could be tested.\n";
  }
  for (std::size_t i = 0; i < contrast.findings.size(); ++i) {
    const ContrastFinding& finding = contrast.findings[i];
    text += fmt::format("\n{:>3}  {}", i + 1, shown_text(finding.features.front()));
    for (std::size_t f = 1; f < std::min(kFeaturesShown, finding.features.size()); ++f) {
      text += fmt::format(" · {}", shown_text(finding.features[f]));
    }
    text += fmt::format(
        "\n     {} often: candidate {} per 100k, logged {}; {} users more, {} fewer; adjusted p "
        "{:.2g}\n",
        finding.more ? "more" : "less", rate_text(finding.candidate), rate_text(finding.logged),
        finding.users_more, finding.users_fewer, finding.adjusted);
    for (const Situation& situation : found.situations[i]) {
      text +=
          fmt::format("     where: {} ({:.0f}% of these, {:.2g}% of all)\n",
                      shown_text(situation.name), 100 * situation.share, 100 * situation.share_all);
    }
  }
  if (!contrast.findings.empty()) {
    text += fmt::format(
        "\nRates are of the half that was tested. Read one: `understudy discover {0} --show 1`. "
        "Measure it on everything: `understudy discover {0} --draft 1 -o FILE.toml`, then name the "
        "file under grade.behaviors.\n",
        terminal_safe(directory));
  }
  return text;
}

Result<std::string> transcripts_text(const Discovery& found, std::size_t number) {
  UNDERSTUDY_TRY(const ContrastFinding* finding, finding_of(found, number));
  std::string text = fmt::format("finding {}: {}\n", number, shown_text(finding->features.front()));
  for (const Transcript& transcript : found.transcripts[number - 1]) {
    text += fmt::format("\n{}\n  user:   {}\n  answer: {}\n", answer_id_text(transcript.id),
                        shown_text(transcript.user_text), shown_text(transcript.answer));
  }
  return text;
}

}  // namespace understudy
