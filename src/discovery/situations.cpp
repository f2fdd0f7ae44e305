#include "discovery/situations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "grading/request_context.hpp"
#include "stats/two_rates.hpp"

namespace understudy {
namespace {

constexpr double kTelling = 0.001;

bool is_of_request(FeatureKind kind) {
  return kind == FeatureKind::kWords || kind == FeatureKind::kLanguage ||
         kind == FeatureKind::kShape || kind == FeatureKind::kLength;
}

}  // namespace

std::vector<std::string> situations_of(FeatureExtractor& extractor, const AnswerView& answer) {
  AnswerView request;
  request.content = last_user_text(answer.prefix);
  std::vector<std::string> names;
  for (const Feature& feature : extractor.extract(request)) {
    if (is_of_request(feature.kind)) {
      names.push_back(fmt::format("user's {}", feature_name(feature.kind, feature.text)));
    }
  }
  std::size_t turns = 0;
  for (const Message& message : answer.prefix) turns += message.role == Role::kUser ? 1 : 0;
  names.emplace_back(turns <= 1 ? "first turn" : turns <= 3 ? "turn 2 or 3" : "turn 4 or later");
  if (!answer.tools.empty()) names.emplace_back("tools are offered");
  if (!answer.prefix.empty() && (answer.prefix.front().role == Role::kSystem ||
                                 answer.prefix.front().role == Role::kDeveloper)) {
    names.emplace_back("a system prompt");
  }
  if (!answer.prefix.empty() && answer.prefix.back().role == Role::kTool) {
    names.emplace_back("a tool's result is answered");
  }
  return names;
}

std::vector<Situation> localized(std::span<const std::vector<std::string>> of_finding,
                                 std::span<const std::vector<std::string>> of_all,
                                 std::size_t max) {
  if (of_finding.empty() || of_all.empty()) return {};
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> counts;
  for (const auto& names : of_finding) {
    for (const std::string& name : names) ++counts[name].first;
  }
  for (const auto& names : of_all) {
    for (const std::string& name : names) {
      if (const auto found = counts.find(name); found != counts.end()) ++found->second.second;
    }
  }
  struct Scored {
    double p = 1;
    Situation situation;
  };
  std::vector<Scored> scored;
  for (const auto& [name, count] : counts) {
    const double share = static_cast<double>(count.first) / static_cast<double>(of_finding.size());
    const double share_all = static_cast<double>(count.second) / static_cast<double>(of_all.size());
    if (share <= share_all) continue;
    const double p = fisher_exact(count.first, of_finding.size(), count.second, of_all.size());
    if (p < kTelling) scored.push_back({p, {name, share, share_all}});
  }
  std::stable_sort(scored.begin(), scored.end(),
                   [](const Scored& a, const Scored& b) { return a.p < b.p; });
  std::vector<Situation> out;
  for (std::size_t i = 0; i < std::min(max, scored.size()); ++i) {
    out.push_back(std::move(scored[i].situation));
  }
  return out;
}

}  // namespace understudy
