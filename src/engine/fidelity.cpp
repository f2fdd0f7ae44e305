#include "engine/fidelity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/text.hpp"
#include "discovery/two_samples.hpp"
#include "engine/answer_pairs.hpp"
#include "grading/request_context.hpp"
#include "stats/clusters.hpp"
#include "stats/intervals.hpp"
#include "stats/multiplicity.hpp"
#include "stats/two_rates.hpp"

namespace understudy {
namespace {

constexpr std::uint64_t kPairsMax = 4000;  // for classifiers, which keep their texts' features
constexpr double kLevel = 0.95;
constexpr double kPer = 100'000;
constexpr std::size_t kTellingShown = 5;

constexpr std::array<std::string_view, 13> kStyle = {"format: bullets",
                                                     "format: numbered list",
                                                     "format: code block",
                                                     "format: heading",
                                                     "format: bold",
                                                     "format: table",
                                                     "format: several lines",
                                                     "conduct: declines",
                                                     "conduct: ends with a question",
                                                     "conduct: repeats its phrases",
                                                     "language: another than the user's",
                                                     "call: 1 in one answer",
                                                     "length: empty"};

Json missing(std::string_view part, std::string_view title, std::string why) {
  return {{"part", part},
          {"title", title},
          {"measured", false},
          {"why_not", std::move(why)},
          {"lines", Json::array()}};
}

Json measured(std::string_view part, std::string_view title, Json figures,
              std::vector<std::string> lines) {
  figures["part"] = part;
  figures["title"] = title;
  figures["measured"] = true;
  figures["lines"] = std::move(lines);
  return figures;
}

std::string why_no_replay(const Study& study) {
  if (!study.config.deployed) {
    return "the study names no deployed model that can be called: add [deployed] model, and run";
  }
  return "the deployed model has not answered yet: run the study";
}

// Environment error ----------------------------------------------------------------------------

struct EnvironmentRow {
  std::string behavior;
  RateCount replayed, logged;
};

Result<std::vector<EnvironmentRow>> environment_rows(Study& study) {
  std::vector<EnvironmentRow> rows;
  UNDERSTUDY_TRY(const auto estimate, study.store.stage("estimate"));
  if (!estimate) return rows;
  UNDERSTUDY_TRY(const Json report, parse_json(estimate->detail));
  const auto count_of = [](const Json& behavior, const char* arm) -> std::optional<RateCount> {
    const Json& rates = behavior.contains(arm) ? behavior.at(arm) : Json();
    if (!rates.is_object() || !rates.contains("screen")) return std::nullopt;
    const Json& screen = rates.at("screen");
    if (!screen.value("k", Json()).is_number() || !screen.value("n", Json()).is_number()) {
      return std::nullopt;
    }
    return RateCount{screen.at("k").get<double>(), screen.at("n").get<double>()};
  };
  for (const Json& behavior : report.at("behaviors")) {
    const auto replayed = count_of(behavior, "deployed_replay");
    const auto logged = count_of(behavior, "deployed");
    if (replayed && logged && replayed->n > 0 && logged->n > 0) {
      rows.push_back({behavior.at("name").get<std::string>(), *replayed, *logged});
    }
  }
  return rows;
}

Result<Json> environment_error(Study& study) {
  constexpr std::string_view kTitle = "The deployed model replayed, against its own logged rates";
  UNDERSTUDY_TRY(const std::vector<EnvironmentRow> rows, environment_rows(study));
  if (rows.empty()) return missing("environment_error", kTitle, why_no_replay(study));
  Json table = Json::array();
  Json shown = Json::array();
  std::vector<std::string> lines;
  std::vector<double> errors;
  for (const EnvironmentRow& row : rows) {
    const double replayed = row.replayed.hits / row.replayed.n;
    const double logged = row.logged.hits / row.logged.n;
    const Interval ratio = rate_ratio_interval(row.replayed, row.logged, kLevel);
    Json entry = {{"behavior", row.behavior},
                  {"replayed_per_100k", rounded(replayed * kPer)},
                  {"logged_per_100k", rounded(logged * kPer)},
                  {"ratio", nullptr},
                  {"ratio_lo", rounded(ratio.lo)},
                  {"ratio_hi", std::isinf(ratio.hi) ? Json() : Json(rounded(ratio.hi))}};
    std::string error = "none: one is 0";
    if (replayed > 0 && logged > 0) {
      errors.push_back(std::max(replayed / logged, logged / replayed));
      entry["ratio"] = rounded(replayed / logged);
      error = fmt::format("{:.2f} ({:.2f}–{:.2f})", replayed / logged, ratio.lo, ratio.hi);
    }
    if (row.replayed.hits + row.logged.hits > 0) {
      shown.push_back({row.behavior, rate_text(replayed), rate_text(logged), error});
    }
    table.push_back(std::move(entry));
  }
  Json figures = {{"behaviors", std::move(table)},
                  {"median_error", nullptr},
                  {"columns", {"behavior", "replayed, per 100k", "logged", "ratio (95%)"}},
                  {"rows", std::move(shown)}};
  if (!errors.empty()) {
    std::sort(errors.begin(), errors.end());
    const double median = (errors[errors.size() / 2] + errors[(errors.size() - 1) / 2]) / 2;
    figures["median_error"] = rounded(median);
    lines.push_back(fmt::format("median multiplicative error {:.2f}x over {} behaviors", median,
                                errors.size()));
  } else {
    lines.emplace_back("no behavior occurs in both: there is no error to give, only zeros");
  }
  return measured("environment_error", kTitle, std::move(figures), std::move(lines));
}

// Style drift ----------------------------------------------------------------------------------

Json classifier_json(const TwoSamples& found) {
  return {{"auc", rounded(found.auc)},
          {"auc_lo", rounded(found.interval.lo)},
          {"auc_hi", rounded(found.interval.hi)},
          {"fitted", found.fitted},
          {"tested", found.tested},
          {"of_second", found.of_second},
          {"of_first", found.of_first}};
}

std::string telling(const std::vector<std::string>& features) {
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < std::min(kTellingShown, features.size()); ++i) {
    shown.push_back(std::string(utf8_prefix(features[i], 60)));
  }
  return fmt::format("{}", fmt::join(shown, " · "));
}

// Whether there is one to add; else `test` says why not.
bool add_classifier(TwoSampleTest& test, std::string_view first, std::string_view second,
                    Json& figures, std::vector<std::string>& lines) {
  const std::optional<TwoSamples> found = test.finish();
  figures["classifier"] = found ? classifier_json(*found) : Json();
  if (!found) return false;
  lines.push_back(fmt::format(
      "a classifier tells {} from {} with AUC {:.3f} ({:.3f}–{:.3f}) on users that it was not "
      "fitted on (0.5: not at all)",
      second, first, found->auc, found->interval.lo, found->interval.hi));
  if (found->interval.lo > 0.5) {
    lines.push_back(fmt::format("what gives it away: {}", telling(found->of_second)));
  }
  return true;
}

std::string differs_text(double p) {
  constexpr double kSmallest = 1e-9;  // below it is rounding
  if (p >= 1 - kLevel) return "not surely";
  return p < kSmallest ? "yes, p < 1e-9" : fmt::format("yes, p {:.2g}", p);
}

// For each style feature, users who have it more often with one arm than with the other.
class StyleVotes : public PairVisitor {
 public:
  StyleVotes() : test_(1) {
    for (std::size_t i = 0; i < kStyle.size(); ++i) {
      hashes_[i] = feature_of_name(kStyle[i]).value_or(0);
    }
  }
  bool wants(std::uint64_t) override { return true; }
  void see(std::uint64_t cluster, const FeaturedPair& pair) override {
    if (cluster != user_) finish_user();
    user_ = cluster;
    for (std::size_t i = 0; i < kStyle.size(); ++i) {
      const bool logged = has(pair.logged, hashes_[i]);
      const bool replayed = has(pair.candidate, hashes_[i]);
      if (logged) ++rows_[i].logged;
      if (replayed) ++rows_[i].replayed;
      net_[i] += (replayed ? 1 : 0) - (logged ? 1 : 0);
    }
    if (pairs_++ < kPairsMax) {
      test_.add(cluster, false, pair.logged);
      test_.add(cluster, true, pair.candidate);
    }
  }

  void finish(Json& figures, std::vector<std::string>& lines) {
    finish_user();
    std::vector<double> p_values;
    for (const Row& row : rows_) {
      p_values.push_back(paired_mid_p(row.more, row.fewer));
    }
    const std::vector<double> adjusted = holm(p_values);
    Json table = Json::array();
    Json shown = Json::array();
    for (std::size_t i = 0; i < kStyle.size(); ++i) {
      const Row& row = rows_[i];
      const auto n = static_cast<double>(pairs_);
      const double logged = static_cast<double>(row.logged) / n;
      const double replayed = static_cast<double>(row.replayed) / n;
      table.push_back({{"feature", kStyle[i]},
                       {"logged", rounded(logged)},
                       {"replayed", rounded(replayed)},
                       {"p_holm", rounded(adjusted[i])}});
      if (row.logged + row.replayed == 0) continue;
      shown.push_back({kStyle[i], fmt::format("{:.2f}%", 100 * replayed),
                       fmt::format("{:.2f}%", 100 * logged), differs_text(adjusted[i])});
    }
    figures = {{"pairs", pairs_},
               {"style", std::move(table)},
               {"columns", {"feature", "replayed", "logged", "differs (Holm)"}},
               {"rows", std::move(shown)}};
    if (!add_classifier(test_, "logged", "replayed answers", figures, lines)) {
      lines.push_back(fmt::format("no classifier: {}", test_.why_not()));
    }
  }

 private:
  struct Row {
    std::uint64_t logged = 0, replayed = 0, more = 0, fewer = 0;
  };
  static bool has(std::span<const Feature> features, std::uint64_t hash) {
    return std::any_of(features.begin(), features.end(),
                       [&](const Feature& feature) { return feature.hash == hash; });
  }
  void finish_user() {
    for (std::size_t i = 0; i < kStyle.size(); ++i) {
      if (net_[i] > 0) ++rows_[i].more;
      if (net_[i] < 0) ++rows_[i].fewer;
      net_[i] = 0;
    }
  }
  std::array<std::uint64_t, kStyle.size()> hashes_{};
  std::array<Row, kStyle.size()> rows_{};
  std::array<int, kStyle.size()> net_{};
  std::uint64_t user_ = 0;
  std::uint64_t pairs_ = 0;
  TwoSampleTest test_;
};

Result<Json> style_drift(Study& study) {
  constexpr std::string_view kTitle = "Style of the deployed model replayed, against the logs";
  UNDERSTUDY_TRY(AnswerPairs pairs, AnswerPairs::open(study.store, Arm::kDeployedReplay));
  if (pairs.count() == 0) return missing("style_drift", kTitle, why_no_replay(study));
  StyleVotes votes;
  UNDERSTUDY_CHECK(pairs.show(votes));
  Json figures;
  std::vector<std::string> lines;
  votes.finish(figures, lines);
  return measured("style_drift", kTitle, std::move(figures), std::move(lines));
}

// What the frame says --------------------------------------------------------------------------

bool names_a_year(std::string_view text) {
  for (std::size_t i = 0; i + 3 < text.size(); ++i) {
    const bool year = text[i] == '2' && text[i + 1] == '0' && text[i + 2] >= '1' &&
                      text[i + 2] <= '4' && text[i + 3] >= '0' && text[i + 3] <= '9';
    if (year) return true;
  }
  return false;
}

struct FrameFigures {
  std::uint64_t conversations = 0, turns = 0;
  std::uint64_t with_system = 0, with_tools = 0, with_year = 0, with_other_parts = 0;
  std::uint64_t user_goes_on = 0;  // turns whose logged answer the user reacted to
  std::set<std::uint64_t> users;
  std::vector<std::pair<std::int64_t, std::int64_t>> times;  // time, conversation
};

Result<FrameFigures> frame_figures(Study& study) {
  FrameFigures out;
  UNDERSTUDY_CHECK(
      study.store.for_each_framed([&](const StoredConversation& stored) -> Result<void> {
        const Conversation& conversation = stored.conversation;
        ++out.conversations;
        out.turns += stored.turns.size();
        out.users.insert(stored.cluster);
        const std::vector<Message>& messages = conversation.messages;
        const bool has_system = !messages.empty() && (messages.front().role == Role::kSystem ||
                                                      messages.front().role == Role::kDeveloper);
        const auto is_of_user = [](const Message& m) { return m.role == Role::kUser; };
        const auto has_parts = [](const Message& m) { return m.has_other_parts; };
        if (has_system) ++out.with_system;
        if (has_system && names_a_year(messages.front().content)) ++out.with_year;
        if (!conversation.tools.empty()) ++out.with_tools;
        if (std::any_of(messages.begin(), messages.end(), has_parts)) ++out.with_other_parts;
        for (const FrameTurn& turn : stored.turns) {
          const auto after = messages.begin() + static_cast<std::ptrdiff_t>(turn.cut);
          if (std::any_of(after, messages.end(), is_of_user)) ++out.user_goes_on;
        }
        if (conversation.time_s) out.times.emplace_back(*conversation.time_s, stored.id);
        return {};
      }));
  return out;
}

std::string share_text(std::uint64_t part, std::uint64_t all) {
  return fmt::format("{} of {} ({:.1f}%)", with_commas(part), with_commas(all),
                     all == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(all));
}

Result<Json> request_path(Study& study, const FrameFigures& frame) {
  UNDERSTUDY_TRY(std::string logged, study.store.logged_models());
  if (logged.empty()) logged = study.config.logs.model;
  std::vector<std::string> lines = {
      "system prompts are sent as logged: in " +
          share_text(frame.with_system, frame.conversations) + " conversations",
      "tools are offered as logged: in " + share_text(frame.with_tools, frame.conversations),
      "a year is named in the system prompt of " +
          share_text(frame.with_year, frame.conversations) +
          ": it is the year of the log, and what time the model believes it is follows from it",
      "images, audio or files are left out of the replay: in " +
          share_text(frame.with_other_parts, frame.conversations),
  };
  const auto setting = [](const std::optional<double>& value) {
    return value ? fmt::format("{:g}", *value) : std::string("the provider's default");
  };
  const SamplingOptions& sampling = study.config.candidate.sampling;
  lines.push_back(fmt::format(
      "the candidate is asked with temperature {} and top_p {}; logs do not hold production's",
      setting(sampling.temperature), setting(sampling.top_p)));
  lines.push_back(fmt::format("the logs say that {} wrote them",
                              logged.empty() ? "nobody (no model is named)" : logged));
  return measured("request_path", "The request path against production",
                  {{"conversations", frame.conversations},
                   {"with_system_prompt", frame.with_system},
                   {"with_tools", frame.with_tools},
                   {"with_year_in_system_prompt", frame.with_year},
                   {"with_parts_left_out", frame.with_other_parts},
                   {"logged_models", logged}},
                  std::move(lines));
}

Result<Json> prefix_drift(Study& study, FrameFigures& frame) {
  constexpr std::string_view kTitle = "Drift of what users write, earlier against later logs";
  if (frame.times.empty()) return missing("prefix_drift", kTitle, "0 conversations have a time");
  std::sort(frame.times.begin(), frame.times.end());
  const std::int64_t earliest = frame.times.front().first;
  const auto is_later = [&](const auto& time) { return time.first > earliest; };
  std::int64_t middle = frame.times[frame.times.size() / 2].first;
  if (middle == earliest) {  // dates without a time of day, or most of the logs at once
    const auto later = std::find_if(frame.times.begin(), frame.times.end(), is_later);
    if (later == frame.times.end()) {
      return missing("prefix_drift", kTitle, "all conversations have the same time");
    }
    middle = later->first;
  }
  FeatureExtractor extractor;
  TwoSampleTest test(2);
  const std::size_t step = std::max<std::size_t>(1, frame.times.size() / kPairsMax);
  for (std::size_t i = 0; i < frame.times.size(); i += step) {
    UNDERSTUDY_TRY(const StoredConversation stored,
                   study.store.framed_conversation(frame.times[i].second));
    if (stored.turns.empty()) continue;
    AnswerView request;
    request.content =
        last_user_text({stored.conversation.messages.data(), stored.turns.front().cut});
    test.add(stored.cluster, frame.times[i].first >= middle, extractor.extract(request));
  }
  Json figures = {{"conversations", frame.times.size()}, {"divided_at_s", middle}};
  std::vector<std::string> lines;
  if (!add_classifier(test, "earlier", "later requests", figures, lines)) {
    return missing("prefix_drift", kTitle, test.why_not());
  }
  return measured("prefix_drift", kTitle, std::move(figures), std::move(lines));
}

Result<Json> cannot_see(Study& study, const FrameFigures& frame) {
  std::uint64_t completed = 0;
  UNDERSTUDY_CHECK(study.store.for_each_draw_status(Arm::kCandidate,
                                                    [&](const DrawStatus& status) -> Result<void> {
                                                      if (!status.failed) ++completed;
                                                      return {};
                                                    }));
  const double floor =
      completed == 0 ? kPer : zero_event_upper(static_cast<double>(completed), kLevel) * kPer;
  std::vector<std::string> lines = {
      "users' reactions to the candidate: after " + share_text(frame.user_goes_on, frame.turns) +
          " turns the logged user wrote again, to another answer",
      fmt::format("effects over several conversations: {} users have {} conversations, and each is "
                  "replayed by itself",
                  with_commas(frame.users.size()), with_commas(frame.conversations)),
      "uses that no log holds because a new capability brings them: no figure is possible",
      fmt::format(
          "what is rarer than the floor: {} completed answers without one event leave up to "
          "{} per 100k (95%)",
          with_commas(completed), rate_text(floor / kPer)),
  };
  return measured("cannot_see", "What replay cannot see",
                  {{"turns", frame.turns},
                   {"turns_with_reaction", frame.user_goes_on},
                   {"users", frame.users.size()},
                   {"conversations", frame.conversations},
                   {"candidate_answers", completed},
                   {"floor_per_100k", rounded(floor)}},
                  std::move(lines));
}

// Behavior files' names are bounded; the longest of the features is 34 characters.
std::string table_line(const Json& cells) {
  std::string text;
  for (const Json& cell : cells) {
    const std::string word = terminal_safe(cell.get_ref<const std::string&>());
    text += fmt::format("  {:<{}}", word, text.empty() ? 34 : 18);
  }
  text.resize(text.find_last_not_of(' ') + 1);
  return text + "\n";
}

}  // namespace

std::string rate_text(double share) {
  const double rate = share * kPer;
  return rate < 1000 ? fmt::format("{:.4g}", rate)
                     : with_commas(static_cast<std::uint64_t>(std::llround(rate)));
}

Result<Json> fidelity(Study& study, const AwarenessOptions& options) {
  Json parts = Json::array();
  UNDERSTUDY_TRY(FrameFigures frame, frame_figures(study));
  if (frame.conversations == 0) {
    return unexpected(
        ErrorCode::kUsage,
        fmt::format("the study has no frame yet: `understudy run {}` first", study.directory()));
  }
  UNDERSTUDY_TRY(Json environment, environment_error(study));
  UNDERSTUDY_TRY(Json style, style_drift(study));
  UNDERSTUDY_TRY(Json path, request_path(study, frame));
  UNDERSTUDY_TRY(Json aware, awareness(study, options));
  UNDERSTUDY_TRY(Json drift, prefix_drift(study, frame));
  UNDERSTUDY_TRY(Json unseen, cannot_see(study, frame));
  for (Json* part : {&environment, &style, &aware, &path, &drift, &unseen}) {
    parts.push_back(std::move(*part));
  }
  return Json{{"schema", "understudy.fidelity/1"},
              {"understudy_version", UNDERSTUDY_VERSION},
              {"parts", std::move(parts)}};
}

std::string fidelity_text(const Json& document) {
  std::string text;
  for (const Json& part : document.at("parts")) {
    text += fmt::format("{}\n", part.at("title").get<std::string>());
    if (!part.at("measured").get<bool>()) {
      text += fmt::format("  not measured: {}\n", part.at("why_not").get<std::string>());
    }
    if (part.contains("rows") && !part.at("rows").empty()) {
      text += table_line(part.at("columns"));
      for (const Json& row : part.at("rows")) text += table_line(row);
    }
    for (const Json& line : part.at("lines")) {
      text += fmt::format("  {}\n", terminal_safe(line.get<std::string>()));
    }
    text += '\n';
  }
  return text;
}

}  // namespace understudy
