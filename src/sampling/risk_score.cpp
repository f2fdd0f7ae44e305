#include "sampling/risk_score.hpp"

#include <linear.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::size_t kBytesRead = 4'000;

// FNV-1a with a final mix: the index of a feature is not a secret, only well spread.
std::int32_t feature_index(std::string_view kind, std::string_view first, std::string_view second) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash = (hash ^ 0xFF) * 0x100000001b3;
  };
  add(kind);
  add(first);
  add(second);
  hash ^= hash >> 29;
  hash *= 0xbf58476d1ce4e5b9;
  hash ^= hash >> 32;
  return static_cast<std::int32_t>(hash % kRiskFeatures) + 1;
}

// Runs of letters, digits and non-ASCII bytes, ASCII lowered.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : utf8_prefix(text, kBytesRead)) {
    const auto byte = static_cast<unsigned char>(c);
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || byte >= 0x80) {
      word += upper ? static_cast<char>(c + 32) : c;
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

std::string size_class(std::size_t value) {
  int bits = 0;
  for (; value > 0; value >>= 1) ++bits;
  return std::to_string(bits);
}

// liblinear's form: nodes up to an index of -1.
std::vector<feature_node> nodes_of(std::span<const RiskFeature> features) {
  std::vector<feature_node> nodes;
  nodes.reserve(features.size() + 1);
  for (const RiskFeature& feature : features) nodes.push_back({feature.index, feature.value});
  nodes.push_back({-1, 0});
  return nodes;
}

struct FreeModel {
  void operator()(model* owned) const { free_and_destroy_model(&owned); }
};

}  // namespace

std::vector<RiskFeature> risk_features(std::span<const Message> prefix, std::string_view tools) {
  std::vector<std::int32_t> indices;
  const auto add = [&](std::string_view kind, std::string_view first, std::string_view second) {
    indices.push_back(feature_index(kind, first, second));
  };
  if (!prefix.empty()) {
    const Message& last = prefix.back();
    const std::vector<std::string> words = words_of(last.content);
    for (std::size_t i = 0; i < words.size(); ++i) {
      add("word", words[i], {});
      if (i > 0) add("pair", words[i - 1], words[i]);
    }
    add("role", role_name(last.role), {});
    add("length", size_class(last.content.size()), {});
    if (prefix.front().role == Role::kSystem) add("system", {}, {});
  }
  add("turns", size_class(prefix.size()), {});
  if (!tools.empty()) add("tools", {}, {});
  std::sort(indices.begin(), indices.end());
  indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
  const auto value = static_cast<float>(1 / std::sqrt(static_cast<double>(indices.size())));
  std::vector<RiskFeature> features;
  features.reserve(indices.size());
  for (const std::int32_t index : indices) features.push_back({index, value});
  return features;
}

struct RiskModel::Fit {
  double rate = 0;
  double odds_factor = 1;  ///< from odds among the examples to odds in the frame
  std::unique_ptr<model, FreeModel> regression;
};

RiskModel::RiskModel(RiskModel&&) noexcept = default;
RiskModel& RiskModel::operator=(RiskModel&&) noexcept = default;
RiskModel::~RiskModel() = default;

RiskModel::RiskModel(std::span<const RiskExample> examples, std::span<const RiskTarget> targets) {
  set_print_string_function([](const char*) {});
  std::vector<std::vector<feature_node>> nodes;
  nodes.reserve(examples.size());
  for (const RiskExample& example : examples) nodes.push_back(nodes_of(example.features));
  std::vector<feature_node*> rows;
  rows.reserve(nodes.size());
  for (auto& row : nodes) rows.push_back(row.data());
  std::vector<double> labels(examples.size());
  for (const RiskTarget& target : targets) {
    UNDERSTUDY_ASSERT(target.bit < 64 && target.rate > 0 && target.rate < 1);
    std::size_t flagged = 0;
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const bool flag = (examples[i].flags >> target.bit & 1) != 0;
      flagged += flag ? 1 : 0;
      labels[i] = flag ? 1 : -1;
    }
    if (flagged == 0 || flagged == examples.size()) continue;
    problem data{};
    data.l = static_cast<int>(examples.size());
    data.n = kRiskFeatures;
    data.y = labels.data();
    data.x = rows.data();
    data.bias = -1;  // none: the features every text has do its work
    parameter how{};
    how.solver_type = L2R_LR;  // a Newton method: nothing random in it
    how.eps = 0.01;
    how.C = 10;
    fits_.push_back({target.rate, target.unflagged_kept / target.flagged_kept,
                     std::unique_ptr<model, FreeModel>(train(&data, &how))});
  }
}

double RiskModel::draw_size(std::span<const RiskFeature> features) const {
  const std::vector<feature_node> nodes = nodes_of(features);
  double sum = 0;
  for (const Fit& fit : fits_) {
    double decision = 0;
    predict_values(fit.regression.get(), nodes.data(), &decision);
    if (fit.regression->label[0] != 1) decision = -decision;
    const double odds = fit.odds_factor * std::exp(std::clamp(decision, -30.0, 30.0));
    sum += odds / (1 + odds) / (fit.rate * fit.rate);
  }
  return fits_.empty() ? 1 : std::sqrt(std::max(sum, 1e-12));
}

RiskDesign::RiskDesign(std::span<const float> sizes, std::uint64_t wanted) {
  constexpr double kByRisk = 0.7;
  const auto count = static_cast<double>(sizes.size());
  per_size_ = kByRisk / std::accumulate(sizes.begin(), sizes.end(), 0.0);
  equal_part_ = (1 - kByRisk) / count;
  if (static_cast<double>(wanted) >= count) {
    factor_ = 1 / equal_part_;
    return;
  }
  double low = static_cast<double>(wanted), high = 1 / equal_part_;
  for (int step = 0; step < 60; ++step) {
    factor_ = (low + high) / 2;
    double sum = 0;
    for (const float size : sizes) sum += pi(static_cast<double>(size));
    (sum < static_cast<double>(wanted) ? low : high) = factor_;
  }
}

double RiskDesign::pi(double size) const {
  return std::min(1.0, factor_ * (per_size_ * size + equal_part_));
}

}  // namespace understudy
