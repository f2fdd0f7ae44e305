#include "engine/fidelity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
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

// What the estimate stage left for this page, of the same verdicts as the report; or why not.
struct Effective {
  std::optional<Json> counts;
  std::string_view why_not;
};

Result<Effective> effective_counts(Study& study) {
  Effective found{{}, "there is no estimate yet: run the study"};
  UNDERSTUDY_TRY(const auto estimate, study.store.stage("estimate"));
  if (!estimate) return found;
  UNDERSTUDY_TRY(found.counts, stored_detail(study.store, "effective", estimate->fingerprint));
  found.why_not = found.counts ? "the candidate has not answered yet"
                               : "the report is of an older version: `understudy run` makes it "
                                 "anew";
  return found;
}

RateCount rate_count(const Json& json) {
  return {json.at("hits").get<double>(), json.at("n").get<double>()};
}

struct EnvironmentErrors {
  std::vector<double> sizes;  ///< infinite where one side has none
  std::uint64_t in_neither = 0, in_one = 0, cover_one = 0;
};

// Behaviors as failures where one rate is 0 (statistics.md (56)).
std::vector<std::string> error_lines(EnvironmentErrors errors, Json& figures) {
  std::vector<std::string> lines;
  std::sort(errors.sizes.begin(), errors.sizes.end());
  const std::size_t count = errors.sizes.size();
  if (count > 0) {
    const double median = (errors.sizes[count / 2] + errors.sizes[(count - 1) / 2]) / 2;
    if (std::isfinite(median)) figures["median_error"] = rounded(median);
    lines.push_back(fmt::format(
        "median multiplicative error {}; behaviors that occur: {}, with 1 in the interval: {}",
        std::isfinite(median) ? fmt::format("{:.2f}x", median) : "without a bound", count,
        errors.cover_one));
  }
  if (errors.in_one > 0) {
    lines.push_back(
        fmt::format("of these on one side alone, an error larger than any: {}", errors.in_one));
  }
  if (errors.in_neither > 0) {
    lines.push_back(fmt::format("behaviors that occur on neither side, with no error to give: {}",
                                errors.in_neither));
  }
  figures["occur_on_one_side"] = errors.in_one;
  figures["occur_on_neither"] = errors.in_neither;
  return lines;
}

Result<Json> environment_error(Study& study) {
  constexpr std::string_view kTitle = "The deployed model replayed, against its own logged rates";
  UNDERSTUDY_TRY(const Effective effective, effective_counts(study));
  const auto& counts = effective.counts;
  if (!counts && study.config.deployed) {
    return missing("environment_error", kTitle, std::string(effective.why_not));
  }
  if (!counts || counts->at("behaviors").empty()) {
    return missing("environment_error", kTitle, why_no_replay(study));
  }
  Json table = Json::array();
  Json shown = Json::array();
  EnvironmentErrors errors;
  for (const Json& behavior : counts->at("behaviors")) {
    const RateCount of_replay = rate_count(behavior.at("replayed"));
    const RateCount of_logs = rate_count(behavior.at("logged"));
    const double replayed = of_replay.hits / of_replay.n;
    const double logged = of_logs.hits / of_logs.n;
    const Interval ratio = rate_ratio_interval(of_replay, of_logs, kLevel);
    const bool in_both = replayed > 0 && logged > 0;
    table.push_back({{"behavior", behavior.at("name")},
                     {"replayed_per_100k", rounded(replayed * kPer)},
                     {"logged_per_100k", rounded(logged * kPer)},
                     {"ratio", in_both ? Json(rounded(replayed / logged)) : Json()},
                     {"ratio_lo", rounded(ratio.lo)},
                     {"ratio_hi", std::isinf(ratio.hi) ? Json() : Json(rounded(ratio.hi))}});
    if (replayed + logged <= 0) {
      ++errors.in_neither;
      continue;
    }
    if (!in_both) ++errors.in_one;
    if (ratio.lo <= 1 && ratio.hi >= 1) ++errors.cover_one;
    errors.sizes.push_back(in_both ? std::max(replayed / logged, logged / replayed)
                                   : std::numeric_limits<double>::infinity());
    const std::string range = std::isinf(ratio.hi)
                                  ? fmt::format("above {:.2f}", ratio.lo)
                                  : fmt::format("{:.2f}–{:.2f}", ratio.lo, ratio.hi);
    shown.push_back({behavior.at("name"), rate_text(replayed), rate_text(logged),
                     in_both ? fmt::format("{:.2f} ({})", replayed / logged, range)
                             : fmt::format("one is 0 ({})", range)});
  }
  Json figures = {{"behaviors", std::move(table)},
                  {"median_error", nullptr},
                  {"columns", {"behavior", "replayed, per 100k", "logged", "ratio (95%)"}},
                  {"rows", std::move(shown)}};
  std::vector<std::string> lines = error_lines(std::move(errors), figures);
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

// For each style feature, users who have it more often with one arm than with the other. Later
// prefixes of a conversation hold its logged answers, so that a model that repeats itself has more
// of what the logged answers before had, whichever they were: up to the first place where the two
// answers differ both have the same past, and that place alone votes.
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
    if (pair.conversation != conversation_) has_voted_.fill(false);
    conversation_ = pair.conversation;
    for (std::size_t i = 0; i < kStyle.size(); ++i) {
      const bool logged = has(pair.logged, hashes_[i]);
      const bool replayed = has(pair.candidate, hashes_[i]);
      if (logged) ++rows_[i].logged;
      if (replayed) ++rows_[i].replayed;
      if (replayed == logged || has_voted_[i]) continue;
      net_[i] += replayed ? 1 : -1;
      has_voted_[i] = true;
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
      p_values.push_back(exact_sign_test(row.more, row.fewer));
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
                       {"users_more", row.more},
                       {"users_fewer", row.fewer},
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
  std::array<bool, kStyle.size()> has_voted_{};  // in this conversation
  std::uint64_t user_ = 0;
  std::uint64_t conversation_ = 0;
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
        const auto is_system = [](const Message& m) {
          return m.role == Role::kSystem || m.role == Role::kDeveloper;
        };
        const auto has_year = [&](const Message& m) {
          return is_system(m) && names_a_year(m.content);
        };
        const auto is_of_user = [](const Message& m) { return m.role == Role::kUser; };
        const auto has_parts = [](const Message& m) { return m.has_other_parts; };
        if (std::any_of(messages.begin(), messages.end(), is_system)) ++out.with_system;
        if (std::any_of(messages.begin(), messages.end(), has_year)) ++out.with_year;
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

// What the arm of one model is asked beside the messages of the logs.
Json arm_request(std::string_view arm, const ModelConfig& model, const FrameFigures& frame,
                 std::vector<std::string>& lines) {
  const bool replaces = !model.system.empty();
  if (replaces) {
    lines.push_back(
        fmt::format("the {} model gets the system prompt of [{}], which names {} year: it replaces "
                    "the logged ones "
                    "in {} conversations, and is put before the others",
                    arm, arm, names_a_year(model.system) ? "a" : "no",
                    share_text(frame.with_system, frame.conversations)));
  } else {
    lines.push_back(
        fmt::format("the {} model gets system prompts as logged: in {} conversations; {} name a "
                    "year, which is the "
                    "log's, and what time the model believes it is follows from it",
                    arm, share_text(frame.with_system, frame.conversations),
                    share_text(frame.with_year, frame.conversations)));
  }
  const auto setting = [](const std::optional<double>& value) {
    return value ? fmt::format("{:g}", *value) : std::string("the provider's default");
  };
  lines.push_back(
      fmt::format("the {} model is asked with temperature {} and top_p {}; logs do not hold "
                  "production's",
                  arm, setting(model.sampling.temperature), setting(model.sampling.top_p)));
  return {{"arm", arm},
          {"system_prompt", replaces ? "replaced" : "as_logged"},
          {"system_prompts_replaced", replaces ? frame.with_system : 0},
          {"system_prompts_added", replaces ? frame.conversations - frame.with_system : 0},
          {"system_prompts_as_logged", replaces ? 0 : frame.with_system}};
}

Result<Json> request_path(Study& study, const FrameFigures& frame) {
  UNDERSTUDY_TRY(std::string logged, study.store.logged_models());
  if (logged.empty()) logged = study.config.logs.model;
  std::vector<std::string> lines;
  Json arms = {arm_request("candidate", study.config.candidate, frame, lines)};
  if (study.config.deployed) {
    arms.push_back(arm_request("deployed", *study.config.deployed, frame, lines));
  }
  lines.push_back("tools are offered as logged: in " +
                  share_text(frame.with_tools, frame.conversations));
  lines.push_back("images, audio or files are left out of the replay: in " +
                  share_text(frame.with_other_parts, frame.conversations));
  lines.push_back(fmt::format("the logs say that {} wrote them",
                              logged.empty() ? "nobody (no model is named)" : logged));
  return measured("request_path", "The request path against production",
                  {{"conversations", frame.conversations},
                   {"with_system_prompt", frame.with_system},
                   {"with_tools", frame.with_tools},
                   {"with_year_in_system_prompt", frame.with_year},
                   {"with_parts_left_out", frame.with_other_parts},
                   {"arms", std::move(arms)},
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
  UNDERSTUDY_TRY(const Effective effective, effective_counts(study));
  const Json draws = effective.counts ? effective.counts->at("draws") : Json();
  Json floor;
  std::string floor_line = fmt::format("what is rarer than the floor: {}", effective.why_not);
  if (!draws.is_null()) {
    floor = rounded(zero_event_upper(draws.at("effective").get<double>(), kLevel) * kPer);
    floor_line = fmt::format(
        "what is rarer than the floor: {} answers, worth {} independent ones, without one event "
        "leave up to {} per 100k (95%)",
        with_commas(draws.at("completed").get<std::uint64_t>()),
        with_commas(static_cast<std::uint64_t>(draws.at("effective").get<double>())),
        rate_text(floor.get<double>() / kPer));
  }
  std::vector<std::string> lines = {
      "users' reactions to the candidate: after " + share_text(frame.user_goes_on, frame.turns) +
          " turns the logged user wrote again, to another answer",
      fmt::format("effects over several conversations: {} users have {} conversations, and each is "
                  "replayed by itself",
                  with_commas(frame.users.size()), with_commas(frame.conversations)),
      "uses that no log holds because a new capability brings them: no figure is possible",
      std::move(floor_line),
  };
  return measured("cannot_see", "What replay cannot see",
                  {{"turns", frame.turns},
                   {"turns_with_reaction", frame.user_goes_on},
                   {"users", frame.users.size()},
                   {"conversations", frame.conversations},
                   {"candidate_answers", draws},
                   {"floor_per_100k", floor}},
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
