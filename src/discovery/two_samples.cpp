#include "discovery/two_samples.hpp"

#include <fmt/format.h>
#include <linear.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>

#include "base/assert.hpp"
#include "base/rng.hpp"
#include "stats/distributions.hpp"

namespace understudy {
namespace {

constexpr std::uint32_t kRowsWithFeatureMin = 3;
constexpr std::size_t kFeaturesNamed = 10;
constexpr double kLevel = 0.95;
constexpr double kPenalty = 1;

struct FreeModel {
  void operator()(model* owned) const { free_and_destroy_model(&owned); }
};

struct KindUsers {
  std::size_t first = 0, second = 0;
};
KindUsers users_of(std::span<const Scored> scores) {
  std::set<std::uint64_t> first, second;
  for (const Scored& s : scores) (s.second ? second : first).insert(s.cluster);
  return {first.size(), second.size()};
}

}  // namespace

struct TwoSampleTest::State {
  struct Known {
    std::string name;
    std::uint32_t rows = 0;
    int index = 0;  // of liblinear, from 1; 0: too rare
  };
  struct Row {
    std::uint64_t cluster = 0;
    bool second = false;
    std::vector<std::uint32_t> features;  // places in `known`
  };
  std::uint64_t seed = 0;
  std::unordered_map<std::uint64_t, std::uint32_t> by_hash;
  std::vector<Known> known;
  std::vector<Row> rows;
  std::string why_not;

  [[nodiscard]] bool fits(const Row& row) const {
    return (Rng(row.cluster, seed).next() >> 63) == 0;
  }
  int number_features() {
    int count = 0;
    for (Known& feature : known) {
      if (feature.rows >= kRowsWithFeatureMin) feature.index = ++count;
    }
    return count;
  }
  // Scaled to length 1, so that long texts do not weigh more.
  [[nodiscard]] std::vector<feature_node> nodes(const Row& row) const {
    std::vector<feature_node> out;
    for (const std::uint32_t place : row.features) {
      if (known[place].index > 0) out.push_back({known[place].index, 1});
    }
    std::sort(out.begin(), out.end(),
              [](const feature_node& a, const feature_node& b) { return a.index < b.index; });
    const double scale = 1 / std::sqrt(static_cast<double>(std::max<std::size_t>(1, out.size())));
    for (feature_node& node : out) node.value = scale;
    out.push_back({-1, 0});
    return out;
  }
  void name_telling(const model& fitted, TwoSamples& out) const;
};

// Weights by how often the feature occurs: a strong weight on three texts tells little.
void TwoSampleTest::State::name_telling(const model& fitted, TwoSamples& out) const {
  const double sign = fitted.label[0] == 1 ? 1 : -1;
  std::vector<std::pair<double, const Known*>> telling;
  for (const Known& feature : known) {
    if (feature.index == 0) continue;
    const double weight = sign * fitted.w[feature.index - 1];
    telling.emplace_back(weight * std::sqrt(static_cast<double>(feature.rows)), &feature);
  }
  std::sort(telling.begin(), telling.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second->name < b.second->name;
  });
  for (std::size_t i = 0; i < std::min(kFeaturesNamed, telling.size()); ++i) {
    if (telling[i].first > 0) out.of_second.push_back(telling[i].second->name);
    const auto& last = telling[telling.size() - 1 - i];
    if (last.first < 0) out.of_first.push_back(last.second->name);
  }
}

TwoSampleTest::TwoSampleTest(std::uint64_t seed) : state_(std::make_unique<State>()) {
  state_->seed = seed;
}
TwoSampleTest::~TwoSampleTest() = default;
TwoSampleTest::TwoSampleTest(TwoSampleTest&&) noexcept = default;
TwoSampleTest& TwoSampleTest::operator=(TwoSampleTest&&) noexcept = default;

void TwoSampleTest::add(std::uint64_t cluster, bool second, std::span<const Feature> features) {
  State::Row row{cluster, second, {}};
  for (const Feature& feature : features) {
    const auto [found, is_new] =
        state_->by_hash.try_emplace(feature.hash, static_cast<std::uint32_t>(state_->known.size()));
    if (is_new) state_->known.push_back({feature_name(feature.kind, feature.text), 0, 0});
    ++state_->known[found->second].rows;
    row.features.push_back(found->second);
  }
  state_->rows.push_back(std::move(row));
}

const std::string& TwoSampleTest::why_not() const {
  return state_->why_not;
}

std::optional<TwoSamples> TwoSampleTest::finish() {
  set_print_string_function([](const char*) {});
  const int features = state_->number_features();
  std::vector<std::vector<feature_node>> nodes;
  std::vector<double> labels;
  std::size_t seconds = 0;
  for (const State::Row& row : state_->rows) {
    if (!state_->fits(row)) continue;
    nodes.push_back(state_->nodes(row));
    labels.push_back(row.second ? 1 : -1);
    seconds += row.second ? 1 : 0;
  }
  if (features == 0 || seconds == 0 || seconds == nodes.size()) {
    state_->why_not = "the half of the users to fit on has texts of one kind only";
    return std::nullopt;
  }
  std::vector<feature_node*> rows;
  for (auto& row : nodes) rows.push_back(row.data());
  problem data{};
  data.l = static_cast<int>(rows.size());
  data.n = features;
  data.y = labels.data();
  data.x = rows.data();
  data.bias = -1;
  parameter how{};
  how.solver_type = L2R_LR;  // a Newton method: nothing random in it
  how.eps = 0.01;
  how.C = kPenalty;
  const std::unique_ptr<model, FreeModel> fitted(train(&data, &how));
  std::vector<Scored> scores;
  for (const State::Row& row : state_->rows) {
    if (state_->fits(row)) continue;
    double decision = 0;
    predict_values(fitted.get(), state_->nodes(row).data(), &decision);
    if (fitted->label[0] != 1) decision = -decision;
    scores.push_back({decision, row.cluster, row.second});
  }
  const KindUsers users = users_of(scores);
  if (std::min(users.first, users.second) < kTestUsersMin) {
    state_->why_not = fmt::format(
        "{} users with the one kind of text and {} with the other are left to test on: {} are "
        "needed of each",
        users.first, users.second, kTestUsersMin);
    return std::nullopt;
  }
  TwoSamples out;
  out.fitted = rows.size();
  out.tested = scores.size();
  const Area area = area_under_curve(scores, kLevel);
  out.auc = area.auc;
  out.interval = area.interval;
  state_->name_telling(*fitted, out);
  return out;
}

Area area_under_curve(std::span<const Scored> scores, double level) {
  std::vector<double> first, second;
  for (const Scored& s : scores) (s.second ? second : first).push_back(s.score);
  UNDERSTUDY_ASSERT(!first.empty() && !second.empty());
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  // The share of the others that are below, ties by half.
  const auto below = [](const std::vector<double>& others, double score) {
    const auto [from, to] = std::equal_range(others.begin(), others.end(), score);
    return (static_cast<double>(from - others.begin()) + static_cast<double>(to - others.begin())) /
           2 / static_cast<double>(others.size());
  };
  Area area;
  double sum = 0;
  for (const double score : second) sum += below(first, score);
  area.auc = sum / static_cast<double>(second.size());
  std::map<std::uint64_t, double> influence;
  for (const Scored& s : scores) {
    const double placement = s.second ? below(first, s.score) : 1 - below(second, s.score);
    const auto size = static_cast<double>(s.second ? second.size() : first.size());
    influence[s.cluster] += (placement - area.auc) / size;
  }
  double variance = 0;
  for (const auto& [cluster, one] : influence) variance += one * one;
  const KindUsers users = users_of(scores);
  const auto fewer = static_cast<double>(std::min(users.first, users.second));
  if (fewer < 2) return area;
  variance *= fewer / (fewer - 1);
  double half = student_quantile(fewer - 1, (1 + level) / 2) * std::sqrt(variance);
  // All in order: none of so many users fell out of it.
  if (variance <= 0) half = zero_event_upper(fewer, level);
  area.interval = {std::max(0.0, area.auc - half), std::min(1.0, area.auc + half)};
  return area;
}

}  // namespace understudy
