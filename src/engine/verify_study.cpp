#include "engine/verify_study.hpp"

#include <fmt/format.h>

#include <cmath>

#include "engine/forecast_study.hpp"
#include "forecast/error_split.hpp"
#include "forecast/predictive.hpp"
#include "forecast/scoring.hpp"

namespace understudy {
namespace {

Rate rate_at(const Json& behavior, const char* arm, const char* rate = "corrected") {
  const auto found = behavior.find(arm);
  if (found == behavior.end() || !found->is_object()) return {};
  return rate_from_json(found->value(rate, Json()));
}

Moved moved_named(const Json& name) {
  for (const Moved moved : {Moved::kNo, Moved::kUp, Moved::kDown}) {
    if (name == moved_name(moved)) return moved;
  }
  return Moved::kUnknown;
}

// Which of the conversations the forecast knows already, if its study is to be had.
struct Overlap {
  std::optional<KnownConversations> known;
  std::string unknown_because;
};

Overlap overlap_of(const ForecastFile& forecast) {
  Overlap overlap;
  if (!forecast.study) {
    overlap.unknown_because =
        "the study that made the forecast is not here, and only it holds the key";
    return overlap;
  }
  const Json& frozen = forecast.document.at("prefixes").at("conversations");
  auto store = StudyStore::open(*forecast.study, StudyStore::Mode::kRead);
  auto known = store ? known_conversations(*store, frozen.at("root").get<std::string>())
                     : Result<KnownConversations>(unexpected(
                           ErrorCode::kUsage, "the study that made the forecast cannot be read"));
  if (known) {
    overlap.known = std::move(*known);
  } else {
    overlap.unknown_because = known.error().message;
  }
  return overlap;
}

Json overlap_json(const Overlap& overlap, const Json& report, double share_max) {
  const Json& conversations = report["counts"]["conversations"];
  const auto removed = conversations["excluded"].value("overlaps_forecast", std::uint64_t{0});
  const auto eligible = conversations["eligible"].get<std::uint64_t>() + removed;
  Json json = {
      {"checked", overlap.known.has_value()},
      {"removed", overlap.known ? Json(removed) : Json()},
      {"share", overlap.known
                    ? Json(rounded(static_cast<double>(removed) / static_cast<double>(eligible)))
                    : Json()},
      {"forgotten", overlap.known ? Json(overlap.known->forgotten) : Json()},
      {"refused_above", share_max},
      {"reason", nullptr}};
  if (!overlap.known) json["reason"] = overlap.unknown_because;
  return json;
}

// The forecast and the verification name the same graders, in the same order.
struct Pair {
  const Json* frozen = nullptr;     ///< of estimates.behaviors
  const Json* baselines = nullptr;  ///< of baselines
  const Json* actual = nullptr;     ///< of the verification's report
};

std::vector<Pair> pairs_of(const Json& forecast, const Json& report) {
  std::vector<Pair> pairs;
  const Json& estimates = forecast.at("estimates").at("behaviors");
  for (std::size_t i = 0; i < estimates.size(); ++i) {
    Pair pair{&estimates[i], &forecast.at("baselines").at(i), nullptr};
    for (const Json& behavior : report["behaviors"]) {
      if (behavior["name"] == estimates[i].at("behavior")) pair.actual = &behavior;
    }
    pairs.push_back(pair);
  }
  return pairs;
}

ForecastActual score_input(const Pair& pair) {
  ForecastActual input;
  input.behavior = pair.frozen->at("behavior").get<std::string>();
  input.forecast = rate_from_json(pair.frozen->at("forecast"));
  input.called = moved_named(pair.frozen->at("direction_called"));
  if (pair.actual != nullptr) input.actual = rate_at(*pair.actual, "deployed");
  for (const char* name : {"persistence", "challenging_prompts", "deployed_replay"}) {
    const Json& rate = pair.baselines->at(name);
    if (rate.is_object()) input.baselines[name] = rate_from_json(rate);
  }
  return input;
}

SplitInput split_input(const Pair& pair) {
  SplitInput input;
  const Json& frozen = *pair.frozen;
  input.behavior = frozen.at("behavior").get<std::string>();
  input.forecast = rate_from_json(frozen.at("forecast"));
  input.candidate = rate_at(frozen, "candidate");
  input.candidate_screen = rate_at(frozen, "candidate", "screen");
  input.deployed = rate_at(frozen, "deployed");
  input.deployed_replay = rate_at(frozen, "deployed_replay");
  if (pair.actual != nullptr) {
    input.own_replay = rate_at(*pair.actual, "candidate");
    input.actual = rate_at(*pair.actual, "deployed");
    input.actual_screen = rate_at(*pair.actual, "deployed", "screen");
  }
  return input;
}

HistoryRow history_row(const Pair& pair, const std::string& release) {
  const Json& frozen = *pair.frozen;
  HistoryRow row;
  row.release = release;
  row.behavior = frozen.at("behavior").get<std::string>();
  row.previous_per_100k = rate_from_json(pair.baselines->at("persistence")).per_100k;
  const Rate candidate = rate_at(frozen, "candidate");
  row.candidate_replayed_per_100k = candidate.per_100k;
  row.candidate_draws = candidate.n;
  const Rate replay = rate_at(frozen, "deployed_replay");
  row.deployed_replayed_per_100k = replay.per_100k;
  row.deployed_draws = replay.n;
  if (pair.actual != nullptr) row.actual_per_100k = rate_at(*pair.actual, "deployed").per_100k;
  return row;
}

Json notes_of(const ScoreSummary& summary, const Overlap& overlap) {
  Json notes = Json::array();
  const auto note = [&](std::string_view code, std::string text) {
    notes.push_back({{"code", code}, {"text", std::move(text)}});
  };
  if (summary.compared == 0) {
    note("no_events",
         "no behavior has five events, expected or seen: errors cannot be told from chance");
  }
  if (summary.scored < summary.rows) {
    note("not_measured", fmt::format("{} of {} behaviors are not measured on both sides",
                                     summary.rows - summary.scored, summary.rows));
  }
  if (const double power = paired_power(summary.compared); power < 0.8) {
    note("power",
         fmt::format("{} behaviors would show that errors of 1.32× are better than 1.5× in "
                     "{:.0f}% of releases: one release proves little",
                     summary.compared, 100 * power));
  }
  if (!overlap.known) note("overlap_unknown", overlap.unknown_because);
  if (overlap.known && overlap.known->forgotten > 0) {
    note("forgotten",
         fmt::format("{} conversations that the forecast was made from are no longer in its study: "
                     "their keyed marks still keep them out of this traffic; the forecast can be "
                     "scored as it is, but not made again",
                     overlap.known->forgotten));
  }
  return notes;
}

Result<Json> measure(Study& study, bool replay) {
  UNDERSTUDY_CHECK(ingest_stage(study));
  UNDERSTUDY_CHECK(sample_stage(study));
  if (replay) UNDERSTUDY_CHECK(replay_stage(study));
  UNDERSTUDY_CHECK(grade_stage(study));
  UNDERSTUDY_TRY(StageOutcome estimated, estimate_stage(study));
  return std::move(estimated.detail);
}

Result<void> verify_into(Study& study, const ForecastFile& forecast, const VerifyOptions& options,
                         Verification& out) {
  if (!options.logs.empty()) study.config.logs.paths = options.logs;
  const Overlap overlap = overlap_of(forecast);
  if (overlap.known) {
    study.options.leave_out = LeaveOut{
        .identity = overlap.known->root,
        .holds = [&known = *overlap.known](const Conversation& one) { return known.holds(one); },
        .share_max = options.overlap_max};
  }
  auto measured = measure(study, options.replay);
  study.options.leave_out.reset();
  UNDERSTUDY_TRY(const Json report, std::move(measured));
  const Json& frozen = forecast.document;
  const auto commitment = frozen.at("commitment").get<std::string>();
  out.release = frozen.at("models").at("candidate").at("model").get<std::string>() + "@" +
                commitment.substr(0, 12);
  std::vector<ForecastActual> scored;
  std::vector<SplitInput> split;
  for (const Pair& pair : pairs_of(frozen, report)) {
    scored.push_back(score_input(pair));
    split.push_back(split_input(pair));
    out.rows.push_back(history_row(pair, out.release));
  }
  const ForecastScores scores = score_forecasts(scored);
  Json rows = Json::array();
  for (const ScoreRow& row : scores.rows) rows.push_back(to_json(row));
  out.document = {
      {"schema", "understudy.verification/1"},
      {"understudy_version", UNDERSTUDY_VERSION},
      {"manifest_hash", report["manifest_hash"]},
      {"unit", report["unit"]},
      {"release", out.release},
      {"forecast", {{"commitment", commitment}, {"manifest_hash", frozen.at("manifest_hash")}}},
      {"counts", report["counts"]},
      {"overlap", overlap_json(overlap, report, options.overlap_max)},
      {"rows", std::move(rows)},
      {"summary", to_json(scores.summary)},
      {"error_split", to_json(split_errors(split))},
      {"notes", notes_of(scores.summary, overlap)}};
  return {};
}

}  // namespace

Result<Verification> verify_study(Study& study, const ForecastFile& forecast,
                                  const VerifyOptions& options) {
  Verification out;
  UNDERSTUDY_CHECK(of_our_shape([&] { return verify_into(study, forecast, options, out); }));
  return out;
}

}  // namespace understudy
