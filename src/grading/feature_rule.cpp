// Grades by features of the answer: what `understudy discover --draft` writes, and what a person
// can write by hand, such as any = ["argument: web_search.query is N * N"].
#include <algorithm>
#include <utility>

#include "grading/answer_features.hpp"
#include "grading/rule.hpp"

namespace understudy {
namespace {

class FeatureRule : public Rule {
 public:
  FeatureRule(std::vector<std::uint64_t> any, std::vector<std::uint64_t> unless)
      : any_(std::move(any)), unless_(std::move(unless)) {}

  void look(AnswerFacts& facts, Finds& finds) const override {
    FeatureExtractor extractor;
    const std::span<const Feature> features = extractor.extract(facts.view);
    const auto has_one = [&](const std::vector<std::uint64_t>& hashes) {
      return std::any_of(features.begin(), features.end(), [&](const Feature& feature) {
        return std::find(hashes.begin(), hashes.end(), feature.hash) != hashes.end();
      });
    };
    if (has_one(any_) && !has_one(unless_)) finds.add({EvidenceWhere::kAnswer, 0, 0, 0});
  }

 private:
  std::vector<std::uint64_t> any_;
  std::vector<std::uint64_t> unless_;
};

Result<std::vector<std::uint64_t>> feature_hashes(RuleReader& in, const std::string& list) {
  std::vector<std::uint64_t> hashes;
  for (const std::string& name : in.texts(list)) {
    const Result<std::uint64_t> hash = feature_of_name(name);
    if (!hash) return unexpected(ErrorCode::kUsage, hash.error().message, in.where(list));
    hashes.push_back(*hash);
  }
  return hashes;
}

}  // namespace

Result<std::unique_ptr<Rule>> make_feature_rule(RuleReader& in) {
  UNDERSTUDY_TRY(std::vector<std::uint64_t> any, feature_hashes(in, "any"));
  UNDERSTUDY_TRY(std::vector<std::uint64_t> unless, feature_hashes(in, "unless"));
  if (any.empty()) {
    return unexpected(ErrorCode::kUsage,
                      "a rule of kind \"features\" needs the list \"any\" in [rule.patterns]",
                      in.where("any"));
  }
  return std::unique_ptr<Rule>(std::make_unique<FeatureRule>(std::move(any), std::move(unless)));
}

}  // namespace understudy
