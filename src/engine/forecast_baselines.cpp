#include "engine/forecast_baselines.hpp"

#include <algorithm>
#include <filesystem>
#include <unordered_set>

#include "engine/units.hpp"
#include "engine/verification.hpp"
#include "estimate/side_tables.hpp"
#include "forecast/predictive.hpp"

namespace understudy {
namespace {

constexpr double kTopShare = 0.1;

struct Seen {
  double hits = 0;
  double draws = 0;
  // Half an event added.
  [[nodiscard]] double share() const { return (hits + 0.5) / (draws + 1); }
};
struct SeenOfBoth {
  Seen candidate, deployed;
};

// Rates that a table gives, under the names of the study's behaviors.
Result<std::map<std::string, Rate>> rates_of_table(const Study& study) {
  const std::string path =
      (std::filesystem::path(study.directory()) / study.config.forecast.challenging_prompts)
          .string();
  UNDERSTUDY_TRY(const std::vector<PreviousRow> rows, read_previous(path));
  std::map<std::string, Rate> rates;
  for (const PreviousRow& row : rows) {
    Rate& rate = rates[row.behavior];
    rate.per_100k = row.rate.per_100k;
    rate.lo = row.rate.lo;
    rate.hi = row.rate.hi;
    rate.method = "challenging_prompts_table";
  }
  return rates;
}

// The draws of highest risk: a high inclusion probability is a low weight.
std::vector<std::size_t> riskiest(const Units& units) {
  std::vector<std::size_t> order(units.keys.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return units.weight(a) < units.weight(b); });
  const auto kept = static_cast<double>(order.size()) * kTopShare;
  order.resize(std::max<std::size_t>(static_cast<std::size_t>(kept), 1));
  return order;
}

std::uint64_t present_among(const Screen& screen, const std::unordered_set<std::uint64_t>& chosen) {
  return static_cast<std::uint64_t>(
      std::count_if(screen.verdicts.begin(), screen.verdicts.end(), [&](const SparseVerdict& one) {
        return one.verdict == Verdict::kPresent && chosen.contains(one.position);
      }));
}

class TopStratum {
 public:
  [[nodiscard]] static Result<TopStratum> of(Study& study) {
    TopStratum top;
    UNDERSTUDY_TRY(top.units_, StudyUnits::load(study));
    const Units& candidate = top.units_.arms.at(Arm::kCandidate);
    std::unordered_set<std::int64_t> logged;
    for (const std::size_t unit : riskiest(candidate)) {
      top.drawn_.insert(unit);
      logged.insert(candidate.logged.at(unit));
    }
    top.logged_ = std::move(logged);
    return top;
  }

  // X's and Y's events there, of as many draws.
  Result<std::optional<SeenOfBoth>> counts(Study& study, const Behavior& behavior) const {
    const Units& fresh = units_.screened(behavior, Arm::kCandidate);
    const Units& old = units_.screened(behavior, Arm::kDeployed);
    UNDERSTUDY_TRY(const auto x, screen_of(study, behavior, Arm::kCandidate, fresh));
    UNDERSTUDY_TRY(const auto y, screen_of(study, behavior, Arm::kDeployed, old));
    if (!x || !y) return std::optional<SeenOfBoth>();
    std::unordered_set<std::uint64_t> positions;
    for (std::size_t i = 0; i < old.keys.size(); ++i) {
      if (logged_.contains(old.keys[i])) positions.insert(i);
    }
    const auto seen = [](const Screen& screen, const std::unordered_set<std::uint64_t>& chosen) {
      return Seen{static_cast<double>(present_among(screen, chosen)),
                  static_cast<double>(chosen.size())};
    };
    return std::optional<SeenOfBoth>({seen(*x, drawn_), seen(*y, positions)});
  }

 private:
  StudyUnits units_;
  std::unordered_set<std::uint64_t> drawn_;  // positions among the candidate's units
  std::unordered_set<std::int64_t> logged_;  // keys of the logged answers to the same prefixes
};

}  // namespace

Result<std::map<std::string, Rate>> challenging_prompts(Study& study,
                                                        const std::vector<Behavior>& behaviors,
                                                        const Json& report) {
  if (!study.config.forecast.challenging_prompts.empty()) return rates_of_table(study);
  std::map<std::string, Rate> rates;
  if (!study.config.sample.by_risk) return rates;
  UNDERSTUDY_TRY(const TopStratum top, TopStratum::of(study));
  for (const Json& of_report : report["behaviors"]) {
    const auto name = of_report["name"].get<std::string>();
    const auto behavior = std::find_if(behaviors.begin(), behaviors.end(),
                                       [&](const Behavior& one) { return one.id == name; });
    const Json& old = of_report["previous_per_100k"];
    if (behavior == behaviors.end() || !old.is_number()) continue;
    UNDERSTUDY_TRY(const auto counts, top.counts(study, *behavior));
    if (!counts) continue;
    Rate& rate = rates[name];
    rate.per_100k =
        std::min(old.get<double>() * counts->candidate.share() / counts->deployed.share(), 1e5);
    rate.method = "riskiest_tenth_of_draws";
  }
  return rates;
}

}  // namespace understudy
