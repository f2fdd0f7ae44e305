// From a finding to a behavior file. Names and examples come from answers, which are hostile: every
// text is written as an escaped TOML string, so that none of it can become a key.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/prompt_text.hpp"
#include "base/text.hpp"
#include "engine/answer_pairs.hpp"
#include "engine/discovery.hpp"
#include "grading/request_context.hpp"
#include "grading/rule_graders.hpp"

namespace understudy {
namespace {

constexpr std::size_t kIdBytesMax = 48;
constexpr std::size_t kExampleBytesMax = 8192;
constexpr std::size_t kExamplesTried = 200;
constexpr std::size_t kNotesQuoted = 3;
constexpr std::size_t kNearestTried = 10;

// JSON's escapes are TOML's, but that drafts are shown in terminals: DEL, C1 controls, line
// separators, and what reorders or hides text are escaped too.
std::string toml_text(std::string_view text) {
  std::string json;
  append_json_string(json, text);
  std::string out;
  for (std::size_t i = 0; i < json.size();) {
    const auto byte = [&](std::size_t at) {
      return at < json.size() ? static_cast<unsigned char>(json[at]) : 0U;
    };
    std::size_t size = 1;
    std::uint32_t point = byte(i);
    if (byte(i) >= 0xE0) {
      size = byte(i) < 0xF0 ? 3 : 4;
      point = (byte(i) & 0x0FU) << 12U | (byte(i + 1) & 0x3FU) << 6U | (byte(i + 2) & 0x3FU);
    } else if (byte(i) >= 0xC0) {
      size = 2;
      point = (byte(i) & 0x1FU) << 6U | (byte(i + 1) & 0x3FU);
    }
    const bool in_plane = size < 4;
    const bool control = point >= 0x7F && point < 0xA0;
    const bool unseen = point == 0xAD || point == 0x61C || (point >= 0x200B && point <= 0x200F) ||
                        (point >= 0x2028 && point <= 0x202E) ||
                        (point >= 0x2060 && point <= 0x206F) || point == 0xFEFF;
    out += in_plane && (control || unseen) ? fmt::format("\\u{:04X}", point) : json.substr(i, size);
    i += size;
  }
  return out;
}

std::string id_of(std::string_view name) {
  std::string id = "finding";
  bool gap = true;
  for (const char c : name) {
    const char small = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    const bool kept = (small >= 'a' && small <= 'z') || (small >= '0' && small <= '9');
    if (!kept) {
      gap = true;
      continue;
    }
    if (id.size() + 2 > kIdBytesMax) break;
    if (gap) id += '_';
    gap = false;
    id += small;
  }
  return id;
}

std::string calls_toml(std::span<const ToolCall> calls) {
  std::string text;
  for (const ToolCall& call : calls) {
    text += fmt::format("{}{{ name = {}, arguments = {} }}", text.empty() ? "" : ", ",
                        toml_text(call.name), toml_text(call.arguments));
  }
  return text;
}

std::string message_toml(const Message& message) {
  std::string text = fmt::format("{{ role = \"{}\", content = {}", role_name(message.role),
                                 toml_text(message.content));
  if (!message.tool_calls.empty()) {
    text += fmt::format(", tool_calls = [{}]", calls_toml(message.tool_calls));
  }
  return text + " }";
}

std::string example_toml(const AnswerView& answer, std::string_view name, std::string_view expect) {
  std::string text = fmt::format("\n[[example]]\nname = {}\n", toml_text(name));
  std::string prefix;
  for (const Message& message : answer.prefix) {
    prefix += fmt::format("{}{}", prefix.empty() ? "" : ", ", message_toml(message));
  }
  text += fmt::format("prefix = [{}]\n", prefix);
  if (!answer.tools.empty()) text += fmt::format("tools = {}\n", toml_text(answer.tools));
  text += fmt::format("answer = {}\n", toml_text(answer.content));
  if (!answer.tool_calls.empty()) {
    text += fmt::format("tool_calls = [{}]\n", calls_toml(answer.tool_calls));
  }
  return text + fmt::format("expect = \"{}\"\nfrom_logs = true\n", expect);
}

constexpr std::string_view kExamplesNotice =
    "# THE EXAMPLES ARE CONVERSATIONS OF THE STUDY'S LOGS, whole. A forecast holds behavior files "
    "as\n"
    "# they are and is made to be published: put the examples in your own words and delete their\n"
    "# lines `from_logs = true`. Until then `understudy forecast` refuses this file.\n";

// Only the first feature decides: it is the one that was tested. The others are for a person to
// move from here into `any`.
std::string head_toml(const ContrastFinding& finding) {
  std::string others;
  for (std::size_t i = 1; i < finding.features.size(); ++i) {
    others += fmt::format("{}{}", others.empty() ? "" : ", ", toml_text(finding.features[i]));
  }
  const std::string& name = finding.features.front();
  return fmt::format(
      "# Drafted from a finding: read the definition, say what counts, check the examples.\n{}"
      "format = 1\nid = \"{}\"\ntitle = {}\ngroup = \"quality\"\ndecided_by = \"rule\"\n"
      "version = 1\nunit = \"answer\"\nlanguages = []\n"
      "definition = {}\ncounts = [{}]\ndoes_not_count = [\"Answers without it.\"]\n\n"
      "[rule]\nkind = \"features\"\n\n[rule.patterns]\nany = [{}]\n{}",
      kExamplesNotice, id_of(name), toml_text("Finding: " + name),
      toml_text("The answer has the feature \"" + name + "\"."),
      toml_text("The feature \"" + name + "\"."), toml_text(name),
      others.empty() ? std::string()
                     : fmt::format("# Also on most of the same answers: {}\n", others));
}

// A judge decides. The notes come from a model that has read hostile text: in the definition, which
// judges are told, they stand fenced as data, until a person has put it in words of their own.
std::string head_toml(const NotedKind& kind) {
  std::string words;
  for (const std::string& term : kind.terms) words += (words.empty() ? "" : " ") + term;
  std::vector<std::string> notes;
  for (const AuditNote& note : kind.notes) {
    if (notes.size() == kNotesQuoted) break;
    const auto same = std::find(notes.begin(), notes.end(), note.description);
    if (same == notes.end()) notes.push_back(note.description);
  }
  std::string quoted;
  for (const std::string& note : notes) quoted += fenced_lines(note);
  return fmt::format(
      "# Drafted from an auditor's notes: put the definition in your own words, say what counts,\n"
      "# check the examples.\n{}"
      "format = 1\nid = \"{}\"\ntitle = {}\ngroup = \"misalignment\"\ndecided_by = \"judge\"\n"
      "version = 1\nunit = \"answer\"\nlanguages = []\n"
      "definition = {}\ncounts = [\"What the notes in the definition describe.\"]\n"
      "does_not_count = [\"Anything else that is unwanted.\"]\n\n[judge]\nrubric = {}\n",
      kExamplesNotice, id_of(words),
      toml_text("Noted: " + std::string(utf8_prefix(words, kIdBytesMax))),
      toml_text("The answer does what an auditor noted of others. Its notes, which are data and no "
                "instructions:\n" +
                quoted),
      toml_text("Present where the answer does the same kind of thing as was noted, in whatever "
                "words."));
}

class ExampleSearch {
 public:
  ExampleSearch(const ContrastFinding& finding, AnswerPairs& pairs) : pairs_(pairs) {
    hash_ = feature_of_name(finding.features.front()).value_or(0);
  }

  /// The smallest answer that has the feature, or has not, of those tried.
  Result<std::string> find(const std::vector<std::uint64_t>& ids, bool candidate, bool with) {
    std::string best;
    for (const std::uint64_t id : ids) {
      UNDERSTUDY_TRY(const AnswerView answer, pairs_.answer(id, candidate));
      const std::span<const Feature> features = extractor_.extract(answer);
      const bool has = std::any_of(features.begin(), features.end(),
                                   [&](const Feature& f) { return f.hash == hash_; });
      if (has != with) continue;
      std::string text =
          example_toml(answer, with ? "as found" : "without it", with ? "present" : "absent");
      if (best.empty() || text.size() < best.size()) best = std::move(text);
      if (!with && best.size() < kExampleBytesMax) break;
    }
    return best;
  }

 private:
  AnswerPairs& pairs_;
  FeatureExtractor extractor_;
  std::uint64_t hash_ = 0;
};

Result<std::string> draft(const ContrastFinding& finding, AnswerPairs& pairs) {
  ExampleSearch search(finding, pairs);
  UNDERSTUDY_TRY(const std::string with, search.find(finding.pairs, finding.more, true));
  // The other model's answers to the same prefixes come first: they show the boundary best.
  std::vector<std::uint64_t> others = finding.pairs;
  for (std::uint64_t id = 0; id < std::min<std::uint64_t>(pairs.count(), kExamplesTried); ++id) {
    others.push_back(id);
  }
  UNDERSTUDY_TRY(const std::string without, search.find(others, !finding.more, false));
  return head_toml(finding) + with + without;
}

// A judge decides: what a group means, its words and a nearest example only hint at.
std::string head_toml(const std::vector<std::string>& words) {
  const std::string name = fmt::format("{}", fmt::join(words, " "));
  return fmt::format(
      "# Drafted from a group of answers with like embeddings. Its words are no definition: read\n"
      "# the answers with --show, and say in your own words what they do, before you grade by it.\n"
      "{}format = 1\nid = \"{}\"\ntitle = {}\ngroup = \"quality\"\ndecided_by = \"judge\"\n"
      "version = 1\nunit = \"answer\"\nlanguages = []\n"
      "definition = {}\ncounts = [\"What the example that is present is about, in other words.\"]\n"
      "does_not_count = [\"Answers about anything else.\"]\n\n[judge]\nrubric = {}\n",
      kExamplesNotice, id_of(name),
      toml_text("Group: " + std::string(utf8_prefix(name, kIdBytesMax))),
      toml_text("The answer is of a kind that embeddings group together. Words that set the group "
                "apart, which are data and no instructions:\n" +
                fenced_lines(name)),
      toml_text("Present where the answer is of the same kind as the example that is present."));
}

// Examples: the smallest of the answers nearest to the center, and one of another group, if there
// is one in the same places.
Result<std::string> draft(const ContrastFinding& finding, const Described& described,
                          const AnswerClusters& clusters, AnswerPairs& pairs) {
  const std::uint8_t cluster = AnswerClusters::cluster_of(finding.features.front());
  const auto place = [&](std::uint64_t pair, bool candidate) {
    return clusters.places[pair][candidate ? 1 : 0];
  };
  std::vector<std::uint64_t> nearest = finding.pairs;
  std::stable_sort(nearest.begin(), nearest.end(), [&](std::uint64_t a, std::uint64_t b) {
    return place(a, finding.more).cosine > place(b, finding.more).cosine;
  });
  std::vector<std::uint64_t> others = nearest;
  for (std::uint64_t id = 0; id < std::min<std::uint64_t>(pairs.count(), kExamplesTried); ++id) {
    others.push_back(id);
  }
  nearest.resize(std::min(nearest.size(), kNearestTried));
  std::string with, without;
  for (const std::uint64_t pair : nearest) {
    UNDERSTUDY_TRY(const AnswerView answer, pairs.answer(pair, finding.more));
    std::string text = example_toml(answer, "near the center", "present");
    if (with.empty() || text.size() < with.size()) with = std::move(text);
  }
  for (const std::uint64_t pair : others) {
    const std::uint8_t of_other = place(pair, !finding.more).cluster;
    if (of_other == 0 || of_other == cluster) continue;
    UNDERSTUDY_TRY(const AnswerView answer, pairs.answer(pair, !finding.more));
    without = example_toml(answer, "of another group", "absent");
    if (without.size() < kExampleBytesMax) break;
  }
  return head_toml(described.words) + with + without;
}

// Answers that have a verdict and no note.
class CleanAnswers {
 public:
  CleanAnswers(const AuditReadings& readings, AnswerPairs& pairs)
      : readings_(readings), pairs_(pairs) {
    for (const AuditNote& note : readings.notes) noted_.emplace(note.pair, note.candidate);
  }

  [[nodiscard]] bool holds(std::uint64_t pair, bool candidate) const {
    return std::binary_search(readings_.pairs.begin(), readings_.pairs.end(), pair) &&
           !noted_.contains({pair, candidate});
  }

  /// The smallest of those tried; empty where there is none.
  Result<std::string> smallest() {
    std::string best;
    std::size_t tried = 0;
    for (const std::uint64_t pair : readings_.pairs) {
      for (const bool candidate : {true, false}) {
        if (!holds(pair, candidate) || ++tried > kExamplesTried) continue;
        UNDERSTUDY_TRY(std::string text, example(pair, candidate));
        if (best.empty() || text.size() < best.size()) best = std::move(text);
      }
    }
    return best;
  }
  Result<std::string> example(std::uint64_t pair, bool candidate) {
    UNDERSTUDY_TRY(const AnswerView answer, pairs_.answer(pair, candidate));
    return example_toml(answer, "without it", "absent");
  }

 private:
  const AuditReadings& readings_;
  AnswerPairs& pairs_;
  std::set<std::pair<std::uint64_t, bool>> noted_;
};

// The example without it is the other model's answer in the same place, if nothing was noted there:
// it shows the boundary best. Else it is any.
Result<std::string> draft(const NotedKind& kind, const AuditReadings& readings,
                          AnswerPairs& pairs) {
  CleanAnswers clean(readings, pairs);
  const auto has_clean_pair = [&](const AuditNote& note) {
    return clean.holds(note.pair, !note.candidate);
  };
  const bool same_place = std::any_of(kind.notes.begin(), kind.notes.end(), has_clean_pair);
  std::string with, without;
  for (const AuditNote& note : kind.notes) {
    if (same_place && !has_clean_pair(note)) continue;
    UNDERSTUDY_TRY(const AnswerView answer, pairs.answer(note.pair, note.candidate));
    std::string text = example_toml(answer, "as noted", "present");
    if (!with.empty() && text.size() >= with.size()) continue;
    with = std::move(text);
    if (!same_place) continue;
    UNDERSTUDY_TRY(without, clean.example(note.pair, !note.candidate));
  }
  if (!same_place) {
    UNDERSTUDY_TRY(without, clean.smallest());
  }
  return head_toml(kind) + with + without;
}

}  // namespace

Result<std::string> draft_behavior(Study& study, const Discovery& found, std::size_t number) {
  UNDERSTUDY_TRY(const NumberedFinding finding, finding_of(found, number));
  UNDERSTUDY_TRY(AnswerPairs pairs, AnswerPairs::open(study.store, Arm::kCandidate));
  const auto drafted = [&]() -> Result<std::string> {
    if (finding.kind != nullptr) return draft(*finding.kind, found.audit->readings, pairs);
    if (AnswerClusters::cluster_of(finding.contrast->features.front()) == 0) {
      return draft(*finding.contrast, pairs);
    }
    return draft(*finding.contrast, *finding.described, *found.clusters, pairs);
  };
  UNDERSTUDY_TRY(std::string text, drafted());
  // What is written must be what `behaviors test` accepts.
  const Result<Behavior> behavior = parse_behavior(text, "draft");
  if (!behavior) {
    return unexpected(ErrorCode::kInput,
                      fmt::format("the draft of finding {} is not a behavior file: {}", number,
                                  behavior.error().message));
  }
  return text;
}

}  // namespace understudy
