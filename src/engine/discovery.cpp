#include "engine/discovery.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/text.hpp"
#include "engine/answer_pairs.hpp"
#include "engine/verification.hpp"
#include "grading/request_context.hpp"
#include "grading/rule_graders.hpp"
#include "report/numbers.hpp"

namespace understudy {
namespace {

constexpr std::size_t kTranscripts = 10;
constexpr std::size_t kSituations = 3;
constexpr std::uint64_t kPairsForSituations = 2000;
constexpr std::size_t kShownBytes = 300;  // of a message in a terminal
constexpr std::size_t kFeaturesShown = 3;
constexpr std::size_t kWords = 8;        // of a cluster
constexpr std::size_t kKindsShown = 20;  // that are no findings
constexpr std::size_t kNotesShown = 3;

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
      const std::uint8_t cluster = AnswerClusters::cluster_of(finding.features.front());
      UNDERSTUDY_TRY(std::vector<Shown> typical,
                     cluster > 0 ? central_of(finding, *found.clusters) : typical_of(finding));
      UNDERSTUDY_TRY(Described described, describe(typical));
      if (cluster > 0) {
        UNDERSTUDY_TRY(described.words, words_of(typical));
      }
      found.described.push_back(std::move(described));
    }
    if (!found.audit) return {};
    for (const NotedKind& kind : found.audit->kinds) {
      std::vector<Shown> typical;
      for (const AuditNote& note : kind.notes) {
        typical.push_back({note.pair, note.candidate, &note});
      }
      UNDERSTUDY_TRY(Described described, describe(typical));
      found.noted.push_back(std::move(described));
    }
    return {};
  }

 private:
  struct Typical {
    std::size_t features = 0;  // of the finding
    std::size_t size = 0;
    std::uint64_t pair = 0;
  };

  struct Shown {
    std::uint64_t pair = 0;
    bool candidate = true;
    const AuditNote* note = nullptr;
  };

  // The finding's answers, those first that have most of its features and are shortest.
  Result<std::vector<Shown>> typical_of(const ContrastFinding& finding) {
    std::vector<Typical> typical;
    for (const std::uint64_t pair : finding.pairs) {
      UNDERSTUDY_TRY(const AnswerView answer, pairs_.answer(pair, finding.more));
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
    std::vector<Shown> shown;
    for (const Typical& one : typical) shown.push_back({one.pair, finding.more});
    return shown;
  }

  // A cluster's answers, those first that are nearest to its center.
  static Result<std::vector<Shown>> central_of(const ContrastFinding& finding,
                                               const AnswerClusters& clusters) {
    std::vector<Shown> shown;
    for (const std::uint64_t pair : finding.pairs) shown.push_back({pair, finding.more});
    const auto cosine = [&](const Shown& one) {
      return clusters.places[one.pair][one.candidate ? 1 : 0].cosine;
    };
    std::stable_sort(shown.begin(), shown.end(),
                     [&](const Shown& a, const Shown& b) { return cosine(a) > cosine(b); });
    return shown;
  }

  // The words whose share of these answers is most above that of the logged ones.
  Result<std::vector<std::string>> words_of(const std::vector<Shown>& typical) {
    std::map<std::string, double> excess;
    const auto add = [&](std::uint64_t pair, bool candidate, double share) -> Result<void> {
      UNDERSTUDY_TRY(const AnswerView answer, pairs_.answer(pair, candidate));
      for (const Feature& feature : extractor_.extract(answer)) {
        if (feature.kind != FeatureKind::kWords || feature.text.find(' ') < feature.text.size()) {
          continue;
        }
        excess[std::string(feature.text)] += share;
      }
      return {};
    };
    for (const Shown& one : typical) {
      UNDERSTUDY_CHECK(add(one.pair, one.candidate, 1 / static_cast<double>(typical.size())));
    }
    const std::uint64_t all = std::min(pairs_.count(), kPairsForSituations);
    for (std::uint64_t pair = 0; pair < all; ++pair) {
      UNDERSTUDY_CHECK(add(pair, false, -1 / static_cast<double>(all)));
    }
    std::vector<std::pair<double, std::string>> order;
    for (const auto& [word, share] : excess) {
      if (share > 0) order.emplace_back(-share, word);
    }
    std::sort(order.begin(), order.end());
    std::vector<std::string> words;
    for (std::size_t i = 0; i < std::min(kWords, order.size()); ++i) {
      words.push_back(order[i].second);
    }
    return words;
  }

  Result<Described> describe(const std::vector<Shown>& typical) {
    Described described;
    std::vector<std::vector<std::string>> situations;
    for (const Shown& one : typical) {
      UNDERSTUDY_TRY(const AnswerView answer, pairs_.answer(one.pair, one.candidate));
      situations.push_back(situations_of(extractor_, answer));
      if (described.transcripts.size() == kTranscripts) continue;
      Transcript transcript;
      transcript.user_text = utf8_prefix(last_user_text(answer.prefix), kTranscriptBytes);
      transcript.answer = readable_answer(answer);
      if (one.note != nullptr) {
        transcript.note = fmt::format("{} (messages {}; {})", one.note->description,
                                      fmt::join(one.note->messages, ", "),
                                      one.candidate ? "candidate" : "logged");
      }
      UNDERSTUDY_TRY(transcript.id, ids_.of(pack_draw_key(pairs_.key(one.pair, one.candidate))));
      described.transcripts.push_back(std::move(transcript));
    }
    described.situations = localized(situations, of_all_, kSituations);
    return described;
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
          {"hi", rounded(rate.interval.hi)},
          {"level", rounded(rate.level)}};
}

std::string half_rate_text(const HalfRate& rate) {
  const IntervalText text = interval_text(rate.per_100k, rate.interval.lo, rate.interval.hi);
  return fmt::format("{} ({}–{})", text.value, text.lo, text.hi);
}

Json situations_json(const Described& described) {
  Json situations = Json::array();
  for (const Situation& situation : described.situations) {
    situations.push_back({{"name", situation.name},
                          {"share", rounded(situation.share)},
                          {"share_all", rounded(situation.share_all)}});
  }
  return situations;
}

Json transcripts_json(const Described& described) {
  Json transcripts = Json::array();
  for (const Transcript& transcript : described.transcripts) {
    transcripts.push_back(answer_id_text(transcript.id));
  }
  return transcripts;
}

// What findings of either source have in common.
Json finding_json(std::size_t number, const ContrastFinding& finding, const Described& described) {
  return {{"number", number},
          {"source", "contrast"},
          {"features", finding.features},
          {"direction", finding.more ? "more" : "fewer"},
          {"goes_with_length", finding.with_length},
          {"p_value", rounded(finding.p_value)},
          {"p_adjusted", rounded(finding.adjusted)},
          {"users_more", finding.users_more},
          {"users_fewer", finding.users_fewer},
          {"deployed", rate_json(finding.logged)},
          {"candidate", rate_json(finding.candidate)},
          {"excess_per_100k", rounded(finding.excess_per_100k)},
          {"words", described.words},
          {"situations", situations_json(described)},
          {"transcripts", transcripts_json(described)}};
}

Json finding_json(std::size_t number, const NotedKind& kind, const Described& described) {
  Json json = finding_json(number, kind.test, described);
  json["source"] = "audit";
  json["features"] = Json::array();
  json["terms"] = kind.terms;
  json["noted"] = {{"candidate", kind.candidate}, {"deployed", kind.logged}};
  json["notes"] = Json::array();
  for (std::size_t i = 0; i < described.transcripts.size(); ++i) {
    json["notes"].push_back(note_json(kind.notes[i]));
  }
  return json;
}

std::string tested_text(const ContrastFinding& finding) {
  return fmt::format(
      "     {} often: candidate {} per 100k, logged {}; {} users more, {} fewer; adjusted p "
      "{:.2g}\n",
      finding.more ? "more" : "less", half_rate_text(finding.candidate),
      half_rate_text(finding.logged), finding.users_more, finding.users_fewer, finding.adjusted);
}

std::string length_text(const ContrastFinding& finding) {
  if (!finding.with_length) return {};
  return fmt::format("     goes with length: {} answers that are as long have it as often\n",
                     finding.more ? "logged" : "the candidate's");
}

std::string situations_text(const Described& described) {
  std::string text;
  for (const Situation& situation : described.situations) {
    text +=
        fmt::format("     where: {} ({:.0f}% of these, {:.2g}% of all)\n",
                    shown_text(situation.name), 100 * situation.share, 100 * situation.share_all);
  }
  return text;
}

std::string words_text(const Described& described) {
  if (described.words.empty()) return {};
  return fmt::format("     words: {}\n",
                     shown_text(fmt::format("{}", fmt::join(described.words, ", "))));
}

std::string kind_text(std::size_t number, const NotedKind& kind) {
  std::string text =
      fmt::format("\n{:>3}  noted: {}\n     in {} answers of the candidate, {} logged\n", number,
                  kind_name(kind), kind.candidate, kind.logged);
  std::vector<std::string_view> once;
  for (const AuditNote& note : kind.notes) {
    if (once.size() == kNotesShown) break;
    if (std::find(once.begin(), once.end(), note.description) != once.end()) continue;
    once.push_back(note.description);
    text += fmt::format("     \"{}\"\n", shown_text(note.description));
  }
  return text;
}

// What is not shown to be commoner with either model, by how often it was noted.
std::string others_text(const Discovery& found) {
  const Audit& audit = *found.audit;
  if (audit.kinds.size() == audit.findings) return {};
  std::string text = "\nNoted too, and not shown to be commoner with either model:\n";
  const std::size_t end = std::min(audit.kinds.size(), audit.findings + kKindsShown);
  for (std::size_t i = audit.findings; i < end; ++i) {
    text += kind_text(found.contrast.findings.size() + i + 1, audit.kinds[i]);
  }
  const std::size_t more = audit.kinds.size() - end;
  return more == 0 ? text : text + fmt::format("\nand {} more kinds, in --json\n", more);
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

Result<Discovery> discover(Study& study, const DiscoveryOptions& how) {
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
                                .level = how.level};
  UNDERSTUDY_TRY(auto readings, audit(study, pairs, how.audit));
  if (readings) {
    UNDERSTUDY_TRY(found.audit,
                   audit_findings(std::move(*readings), pairs, how.level, options.seed));
  }
  if (how.embed) UNDERSTUDY_CHECK(embed_answers(study, pairs, options.seed));
  UNDERSTUDY_TRY(found.clusters, cluster_answers(study, pairs, options.seed));
  const auto show = [&](PairVisitor& visitor) {
    return found.clusters ? found.clusters->show(pairs, visitor) : pairs.show(visitor);
  };
  UNDERSTUDY_TRY(found.contrast, contrast(show, options));
  UNDERSTUDY_CHECK(Describing(study, pairs).describe(found));
  return found;
}

Result<NumberedFinding> finding_of(const Discovery& found, std::size_t number) {
  const std::size_t contrasts = found.contrast.findings.size();
  const std::size_t kinds = found.audit ? found.audit->kinds.size() : 0;
  const std::size_t first = found.audit ? found.audit->findings : 0;
  if (number < 1 || number > contrasts + kinds) {
    return unexpected(ErrorCode::kUsage, fmt::format("there is no finding {}: there are {}", number,
                                                     contrasts + kinds));
  }
  const std::size_t at = number - 1;
  if (at >= first && at < first + contrasts) {
    return NumberedFinding{.contrast = &found.contrast.findings[at - first],
                           .described = &found.described[at - first]};
  }
  const std::size_t kind = at < first ? at : at - contrasts;
  return NumberedFinding{.kind = &found.audit->kinds[kind], .described = &found.noted[kind]};
}

Json to_json(const Discovery& found) {
  const Contrast& contrast = found.contrast;
  Json findings = Json::array();
  for (std::size_t i = 0; found.audit && i < found.audit->findings; ++i) {
    findings.push_back(finding_json(findings.size() + 1, found.audit->kinds[i], found.noted[i]));
  }
  for (std::size_t i = 0; i < contrast.findings.size(); ++i) {
    findings.push_back(finding_json(findings.size() + 1, contrast.findings[i], found.described[i]));
  }
  return {{"schema", "understudy.discovery/1"},
          {"understudy_version", UNDERSTUDY_VERSION},
          {"pairs", contrast.pairs},
          {"users", contrast.users},
          {"users_selecting", contrast.users_selecting},
          {"users_testing", contrast.users_testing},
          {"tested", contrast.tested},
          {"findings", std::move(findings)},
          {"audit", found.audit ? to_json(*found.audit) : Json()},
          {"embeddings", found.clusters ? to_json(*found.clusters) : Json()}};
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
  if (found.clusters) text += embeddings_text(*found.clusters);
  std::size_t number = 0;
  if (found.audit) {
    text += audit_text(*found.audit, directory);
    for (; number < found.audit->findings; ++number) {
      const NotedKind& kind = found.audit->kinds[number];
      text += kind_text(number + 1, kind) + tested_text(kind.test) +
              situations_text(found.noted[number]);
    }
    text += "\nWhat code sees:\n";
    if (contrast.findings.empty()) text += "  no feature is shown to differ\n";
  }
  for (std::size_t i = 0; i < contrast.findings.size(); ++i) {
    const ContrastFinding& finding = contrast.findings[i];
    text += fmt::format("\n{:>3}  {}", ++number, shown_text(finding.features.front()));
    for (std::size_t f = 1; f < std::min(kFeaturesShown, finding.features.size()); ++f) {
      text += fmt::format(" · {}", shown_text(finding.features[f]));
    }
    text += "\n" + words_text(found.described[i]) + tested_text(finding) + length_text(finding) +
            situations_text(found.described[i]);
  }
  if (found.audit) text += others_text(found) + unseen_text(*found.audit);
  if (finding_of(found, 1)) {
    text += fmt::format(
        "\nRates are of the half that was tested, with intervals of which 95% hold on average. "
        "Read one: `understudy discover {0} --show 1`. "
        "Measure it on everything: `understudy discover {0} --draft 1 -o FILE.toml`, then name the "
        "file under grade.behaviors.\n",
        terminal_safe(directory));
  }
  return text;
}

Result<std::string> transcripts_text(const Discovery& found, std::size_t number) {
  UNDERSTUDY_TRY(const NumberedFinding finding, finding_of(found, number));
  std::string text =
      fmt::format("finding {}: {}\n", number,
                  finding.kind != nullptr ? kind_name(*finding.kind)
                                          : shown_text(finding.contrast->features.front()));
  for (const Transcript& transcript : finding.described->transcripts) {
    text += fmt::format("\n{}\n  user:   {}\n  answer: {}\n", answer_id_text(transcript.id),
                        shown_text(transcript.user_text), shown_text(transcript.answer));
    if (!transcript.note.empty()) {
      text += fmt::format("  noted:  {}\n", shown_text(transcript.note));
    }
  }
  return text;
}

}  // namespace understudy
