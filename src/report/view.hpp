#pragma once
// The one view model of a study's result: what the terminal table, the HTML page and the gates all
// show. It is derived from `report.json` (understudy.report/1, docs/formats/report.schema.json) and
// from nothing else, so that they can't disagree.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "report/json_fwd.hpp"

namespace understudy {

/// A rate per 100,000 of the report's unit. What is unknown is empty, never 0.
struct RateView {
  std::optional<double> per_100k;
  std::optional<double> lo;
  std::optional<double> hi;
  double level = 0.95;      ///< of the interval, in (0, 1)
  std::optional<double> n;  ///< verdicts that the rate is over
  std::optional<double> k;  ///< of these, present
  std::string method;       ///< the estimator's name for how it was got
};

/// The three rates of an arm: what the screen flagged, what verification confirmed of it, and the
/// latter divided by measured recall.
struct ArmRates {
  std::optional<RateView> screen;
  std::optional<RateView> verified;
  std::optional<RateView> corrected;
};

/// Reasons with their counts, most frequent first, then by name.
using ReasonCounts = std::vector<std::pair<std::string, std::uint64_t>>;

struct VerdictTally {
  std::uint64_t present = 0;
  std::uint64_t absent = 0;
  std::uint64_t verified = 0;  ///< of those, looked at by the oracle
  ReasonCounts ungradable;
  ReasonCounts not_graded;
  [[nodiscard]] std::uint64_t total() const;
};

/// Candidate over deployed.
struct ChangeView {
  std::optional<double> ratio;
  std::optional<double> lo;
  std::optional<double> hi;
  std::optional<double> p_value;
  std::optional<double> q_value;  ///< Benjamini–Hochberg over the behaviors of the report
  std::string direction;          ///< "up", "down" or "undecided"
  bool paired = false;
};

/// Cases that are known to be present, and how many of them the screen flags.
struct RecallView {
  std::string channel;
  std::string judge;
  std::string source_model;
  std::uint64_t positives = 0;
  std::uint64_t flagged = 0;
  std::optional<double> lo;  ///< of the share that is flagged
  std::optional<double> hi;
  bool transferred = false;
  bool stale = false;
};

/// In the order in which a reader should meet them.
enum class Finding {
  kWorse,        ///< surely more often than now
  kBetter,       ///< surely less often than now
  kUndecided,    ///< seen, and the data can't tell from the present rate
  kUnseen,       ///< not seen once in what was graded: only the floor is known
  kNotMeasured,  ///< no draw has a verdict
};

/// What would decide an undecided behavior; see `needed_prefixes`.
struct Needed {
  std::uint64_t prefixes = 0;           ///< more than now, rounded up to two digits
  bool frame_is_too_small = false;      ///< the logs do not hold as many
  bool deployed_too_uncertain = false;  ///< the present rate is the obstacle: `prefixes` is 0
};

struct BehaviorView {
  std::string name;
  std::string title;  ///< for people; the name where the report has none
  std::string group;
  std::string definition;
  std::string decided_by;
  std::string version;
  std::string hash;
  std::vector<std::pair<std::string, VerdictTally>> verdicts;  ///< by arm, in the arms' order
  ArmRates deployed;
  ArmRates deployed_replay;
  ArmRates candidate;
  std::optional<RateView> forecast;
  std::optional<ChangeView> change;
  std::optional<double> miss_bound_per_100k;
  std::vector<RecallView> recall;
  std::vector<std::string> alarms;

  // Derived, so that every form of the report shows the same ones.
  Finding finding = Finding::kNotMeasured;
  std::optional<RateView> now;         ///< the deployed model's rate to compare with
  std::optional<RateView> now_replay;  ///< the deployed model's replayed rate, if there is one
  std::optional<RateView> unshrunk;    ///< the candidate\'s rate, whatever is known of the old one
  std::optional<RateView> next;  ///< the forecast, or the candidate's rate where there is none
  std::string layer;             ///< which rates these are: screen, verified, corrected
  std::optional<Needed> needed;  ///< kUndecided with a previous rate only

  [[nodiscard]] const VerdictTally* verdicts_of(std::string_view arm) const;
};

struct DrawCounts {
  std::uint64_t requested = 0;
  std::uint64_t completed = 0;
  ReasonCounts failed;
};

struct ArmView {
  std::string name;   ///< as in the JSON: deployed, deployed_replay, candidate, production
  std::string model;  ///< empty where unknown
  DrawCounts draws;
};

struct StudyView {
  std::string name;
  std::string seed;
  std::string design;
  std::string cluster;
  std::string source;   ///< where the logs come from, in words
  std::string traffic;  ///< which traffic the rates are of, where it is not the logs'
  double level = 0.95;
  std::optional<std::uint64_t> window_tokens;
  std::optional<std::uint64_t> prefix_tokens_max;
  std::optional<std::uint64_t> draws_per_prefix;
  std::optional<std::uint64_t> rules;   ///< rule graders
  std::optional<std::uint64_t> judges;  ///< behaviors that a judge decided
};

struct Limit {
  std::string code;
  std::string text;
};

struct ReportView {
  std::string version;  ///< of the program that made it
  std::string manifest_hash;
  std::string unit;  ///< "turn" or "final_turn"
  StudyView study;
  std::optional<std::uint64_t> read;
  std::optional<std::uint64_t> eligible;
  std::optional<std::uint64_t> clusters;
  ReasonCounts excluded;  ///< conversations
  ReasonCounts rejected;  ///< records
  std::optional<std::uint64_t> turns;
  ReasonCounts prefixes_excluded;
  std::optional<std::uint64_t> frame;
  std::optional<std::uint64_t> sampled;
  std::vector<ArmView> arms;  ///< deployed, deployed_replay, candidate, production: those there are
  std::vector<BehaviorView> behaviors;  ///< in reading order: see `Finding`
  std::vector<Limit> limits;

  [[nodiscard]] const ArmView* arm(std::string_view name) const;
};

/// A rate object of any of our documents; empty where neither rate nor upper end is known.
[[nodiscard]] std::optional<RateView> rate_view(const Json& rate);

/// kMismatch where the document is not an understudy.report/1; members that are absent or null are
/// empty in the view. All text is as in the document: whoever shows it escapes it.
[[nodiscard]] Result<ReportView> report_view(const Json& report);

/// Where the report's own counts contradict each other, in words; empty when they add up:
/// completed + failed = requested, and present + absent + ungradable + not graded = completed.
[[nodiscard]] std::vector<std::string> count_contradictions(const ReportView& view);

/// How many more prefixes would tell, with a chance of about four in five, a change as large as
/// the one seen, or 1.5-fold where it is smaller. With half-widths of the intervals of the two
/// log-rates, h_x and h_y, and n prefixes so far: n' = n h_x² / ((δ / 1.43)² - h_y²), where
/// δ = max(|ln ratio|, ln 1.5); 1.43 = (1.96 + 0.84) / 1.96 turns "just outside" into four in five.
/// Never fewer than show one event more with that same chance: 1.6 n / k_x.
/// It takes h_x to shrink with the square root of n and the present rates to be true: a guide, not
/// a promise. Empty where a rate has no positive lower bound.
[[nodiscard]] std::optional<Needed> needed_prefixes(const RateView& now, const RateView& next,
                                                    double prefixes, double prefixes_left);

/// The alarms that more than half of the measured behaviors (and at least three) carry: shown once.
[[nodiscard]] std::vector<std::string> shared_alarms(const ReportView& view);

/// The alarm in words, for a reader; a code that this version does not know is shown as it is.
[[nodiscard]] std::string alarm_text(std::string_view code);
/// The reason in words ("rate_limited" → "rate limited").
[[nodiscard]] std::string reason_text(std::string_view code);
/// "turn" → "turns"; "final_turn" → "final turns".
[[nodiscard]] std::string unit_plural(std::string_view unit);
[[nodiscard]] std::uint64_t sum(const ReasonCounts& counts);
/// The largest share that "not seen in n" leaves possible, as the N of "1 in N": n / 3.
[[nodiscard]] std::uint64_t rarest_visible(std::uint64_t n);

}  // namespace understudy
