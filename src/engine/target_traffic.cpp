#include "engine/target_traffic.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "engine/log_options.hpp"
#include "engine/target_table.hpp"
#include "ingest/deidentify/deidentifier.hpp"
#include "ingest/eligibility.hpp"
#include "sampling/density_ratio.hpp"
#include "sampling/frame.hpp"

namespace understudy {
namespace {

constexpr std::size_t kTextsMax = 20'000;  // of each side: more teach the classifier little
constexpr std::size_t kTargetTurnsMin = 100;
// Turns that the target does not have stay in the counts: they get next to no weight.
constexpr double kWeightMin = 1e-6;

std::string study_path(const Study& study, const std::string& path) {
  const std::filesystem::path given(path);
  return given.is_absolute() ? path : (std::filesystem::path(study.directory()) / given).string();
}

// All of an author's texts are in one half, whether they stand in the logs or in the target.
std::size_t half_of(std::uint64_t cluster) {
  return hash64({"target half", std::to_string(cluster)}) & 1;
}

Result<void> check_stop(const Study& study) {
  if (study.world.stop.count() == 0) return {};
  return unexpected(ErrorCode::kPaused,
                    "stopped while weighing the logs: `run` begins this stage again");
}

// --- The target's texts

// A random part of the texts offered, chosen by hash: about kTextsMax at most.
class TextSample {
 public:
  void offer(std::uint64_t hash, std::size_t half, std::vector<TextFeature> features) {
    ++offered_;
    if ((hash & mask_) != 0) return;
    kept_.push_back({hash, half, std::move(features)});
    if (kept_.size() <= kTextsMax) return;
    mask_ = 2 * mask_ + 1;
    std::erase_if(kept_, [&](const Text& text) { return (text.hash & mask_) != 0; });
  }
  void take(std::vector<std::vector<TextFeature>> (&halves)[2]) {
    for (Text& text : kept_) halves[text.half].push_back(std::move(text.features));
    kept_.clear();
  }
  [[nodiscard]] std::size_t offered() const { return offered_; }

 private:
  struct Text {
    std::uint64_t hash;
    std::size_t half;
    std::vector<TextFeature> features;
  };
  std::vector<Text> kept_;
  std::uint64_t mask_ = 0;
  std::size_t offered_ = 0;
};

// Reads logs that nobody graded: no answer is looked at, and none needs to be there.
class TargetLogs {
 public:
  TargetLogs(Study& study, LogOptions options, const Tokenizer& tokenizer, Sha256& content)
      : study_(study),
        options_(std::move(options)),
        eligibility_(DuplicateRule::kById, options_.eligible),
        tokenizer_(tokenizer),
        content_(content) {}

  Result<void> read(const LogFile& file) {
    UNDERSTUDY_TRY(LogReader reader, LogReader::open(file, options_));
    while (true) {
      UNDERSTUDY_TRY(LogItem item, reader.next());
      if (std::holds_alternative<EndOfLog>(item)) return {};
      auto* const record = std::get_if<LogRecord>(&item);
      if (record == nullptr) {
        ++rejected_;
      } else if (!eligibility_.admit(*record)) {
        add(record->conversation);
      }
      UNDERSTUDY_CHECK(check_stop(study_));
    }
  }
  TextSample& texts() { return texts_; }
  [[nodiscard]] std::uint64_t rejected() const { return rejected_; }

 private:
  void add(Conversation& conversation) {
    // The logs' own texts are de-identified: surrogates must not tell the two apart.
    Deidentifier().apply(conversation);
    content_.field(conversation.id).field(encode_messages(conversation.messages));
    const std::size_t half = half_of(
        hash64({"cluster", conversation.cluster.empty() ? conversation.id : conversation.cluster}));
    std::vector<Turn> turns =
        turns_of(conversation.messages, study_.config.sample.after_users_only);
    if (study_.config.sample.unit == Unit::kFinalTurn && !turns.empty()) turns = {turns.back()};
    std::size_t tokens = tokenizer_.prompt_overhead_tokens(), counted = 0;
    for (const Turn& turn : turns) {
      while (counted < turn.cut)
        tokens += tokenizer_.message_tokens(conversation.messages[counted++]);
      const auto most = study_.config.sample.prefix_tokens_max;
      if (most && tokens > *most) break;
      texts_.offer(prefix_identity("target", conversation.id, turn.cut), half,
                   text_features({conversation.messages.data(), turn.cut}, conversation.tools));
    }
  }

  Study& study_;
  LogOptions options_;
  Eligibility eligibility_;
  const Tokenizer& tokenizer_;
  Sha256& content_;
  TextSample texts_;
  std::uint64_t rejected_ = 0;
};

Result<void> read_target_logs(Study& study, Sha256& content, DensityRatio::Texts& texts,
                              Json& detail) {
  UNDERSTUDY_TRY(const LogOptions options, log_options(study.config.logs));
  UNDERSTUDY_TRY(const Tokenizer* const tokenizer, study.tokenizer());
  std::vector<std::string> paths;
  for (const std::string& path : study.config.target.logs) paths.push_back(study_path(study, path));
  UNDERSTUDY_TRY(const std::vector<LogFile> files, expand_log_paths(paths));
  TargetLogs logs(study, options, *tokenizer, content);
  for (const LogFile& file : files) UNDERSTUDY_CHECK(logs.read(file));
  detail["target_turns"] = logs.texts().offered();
  detail["target_rejected"] = logs.rejected();
  if (logs.texts().offered() < kTargetTurnsMin) {
    return unexpected(ErrorCode::kInput,
                      fmt::format("target.logs hold {} usable turns; it takes {} to tell how they "
                                  "differ from the logs",
                                  logs.texts().offered(), kTargetTurnsMin));
  }
  logs.texts().take(texts.target);
  return {};
}

// --- The frame

using TurnVisitor = std::function<void(const StoredConversation& stored, std::uint32_t cut)>;

Result<void> for_each_turn(Study& study, const TurnVisitor& visit) {
  return study.store.for_each_framed([&](const StoredConversation& stored) -> Result<void> {
    for (const FrameTurn& turn : stored.turns) visit(stored, turn.cut);
    return check_stop(study);
  });
}

std::vector<TextFeature> features_of(const StoredConversation& stored, std::uint32_t cut) {
  const Conversation& text = stored.conversation;
  return text_features({text.messages.data(), cut}, text.tools);
}

Result<std::vector<double>> density_weights(Study& study, DensityRatio::Texts texts, Json& detail) {
  TextSample sample;
  UNDERSTUDY_CHECK(for_each_turn(study, [&](const StoredConversation& stored, std::uint32_t cut) {
    sample.offer(prefix_identity("logs", stored.conversation.id, cut), half_of(stored.cluster),
                 features_of(stored, cut));
  }));
  sample.take(texts.logs);
  for (const auto* halves : {&texts.logs, &texts.target}) {
    if ((*halves)[0].empty() || (*halves)[1].empty()) {
      return unexpected(ErrorCode::kInput,
                        "the texts of the logs or of target.logs come from one author: there is "
                        "nothing to compare");
    }
  }
  const DensityRatio ratio(texts);
  std::vector<double> weights;
  UNDERSTUDY_CHECK(for_each_turn(study, [&](const StoredConversation& stored, std::uint32_t cut) {
    weights.push_back(ratio.weight(half_of(stored.cluster), features_of(stored, cut)));
  }));
  detail["area"] = rounded(ratio.area());
  return weights;
}

Result<void> rake_to_table(Study& study, Sha256& content, std::vector<double>& weights,
                           Json& detail) {
  const std::string path = study_path(study, study.config.target.table);
  UNDERSTUDY_TRY(const std::vector<TargetDimension> dimensions, read_target_table(path));
  std::vector<StratumCounter> counters;
  for (const TargetDimension& dimension : dimensions) {
    counters.emplace_back(dimension);
    content.field(dimension.name);
    for (std::size_t s = 0; s < dimension.strata.size(); ++s) {
      content.field(dimension.strata[s]).field(fmt::format("{:.9g}", dimension.shares[s]));
    }
  }
  UNDERSTUDY_CHECK(for_each_turn(study, [&](const StoredConversation& stored, std::uint32_t cut) {
    for (StratumCounter& counter : counters) counter.add(stored.conversation, cut);
  }));
  std::vector<Margin> margins;
  for (StratumCounter& counter : counters) {
    UNDERSTUDY_TRY(Margin margin, counter.margin());
    margins.push_back(std::move(margin));
  }
  for (std::size_t d = 0; d < dimensions.size(); ++d) {
    std::vector<double> logged(dimensions[d].strata.size(), 0);
    for (const std::uint32_t stratum : margins[d].stratum_of) logged[stratum] += 1;
    for (std::size_t s = 0; s < logged.size(); ++s) {
      const double share = logged[s] / static_cast<double>(margins[d].stratum_of.size());
      detail["strata"].push_back({{"dimension", dimensions[d].name},
                                  {"stratum", dimensions[d].strata[s]},
                                  {"logs", rounded(share)},
                                  {"target", rounded(dimensions[d].shares[s])}});
    }
  }
  weights.resize(margins.front().stratum_of.size(), 1);
  auto fitted = raked(std::move(weights), margins);
  if (!fitted) {
    return unexpected(ErrorCode::kInput,
                      "target.table: its dimensions contradict each other in these logs: no "
                      "weights meet all of their shares");
  }
  weights = std::move(*fitted);
  return {};
}

}  // namespace

Result<std::optional<TargetTraffic>> target_traffic(Study& study) {
  const StudyConfig::Target& config = study.config.target;
  if (!config.is_set()) return std::optional<TargetTraffic>();
  TargetTraffic target;
  Sha256 content;
  Json detail = {{"method", nullptr},
                 {"area", nullptr},
                 {"target_turns", nullptr},
                 {"target_rejected", nullptr},
                 {"strata", Json::array()}};
  if (!config.logs.empty()) {
    DensityRatio::Texts texts;
    UNDERSTUDY_CHECK(read_target_logs(study, content, texts, detail));
    UNDERSTUDY_TRY(target.weights, density_weights(study, std::move(texts), detail));
    detail["method"] = "density ratio";
  }
  if (!config.table.empty()) {
    UNDERSTUDY_CHECK(rake_to_table(study, content, target.weights, detail));
    detail["method"] = config.logs.empty() ? "raked" : "density ratio, raked";
  }
  double sum = 0;
  for (const double weight : target.weights) sum += weight;
  const double mean = sum / static_cast<double>(target.weights.size());
  for (double& weight : target.weights) weight = std::max(weight / mean, kWeightMin);
  detail["frame_effective_share"] = rounded(kish_share(target.weights));
  detail["weight_max"] = rounded(*std::max_element(target.weights.begin(), target.weights.end()));
  target.detail = std::move(detail);
  target.content = content.finish();
  return std::optional<TargetTraffic>(std::move(target));
}

void weigh_by_target(const TargetTraffic& target, const Units& frame, Units& units) {
  UNDERSTUDY_ASSERT(target.weights.size() == frame.keys.size());
  if (units.weights.empty()) units.weights.assign(units.keys.size(), 1);
  for (std::size_t i = 0; i < units.keys.size(); ++i) {
    const std::int64_t key = units.logged.empty() ? units.keys[i] : units.logged[i];
    const auto found = std::lower_bound(frame.keys.begin(), frame.keys.end(), key);
    UNDERSTUDY_ASSERT(found != frame.keys.end() && *found == key);
    units.weights[i] *= target.weights[static_cast<std::size_t>(found - frame.keys.begin())];
  }
}

Result<void> check_effective_share(const Units& units) {
  const double share = kish_share(units.weights);
  if (units.weights.empty() || share >= kEffectiveShareMin) return {};
  return unexpected(
      ErrorCode::kInput,
      fmt::format("weighted to [target], the effective sample is {:.2g}% of {} prefixes: below "
                  "{:.0f}% nothing is estimated, because it would rest on a few conversations; "
                  "take logs nearer to the target, or leave [target] out",
                  100 * share, with_commas(units.keys.size()), 100 * kEffectiveShareMin));
}

}  // namespace understudy
