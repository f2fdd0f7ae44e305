#include "engine/answer_pairs.hpp"

#include <algorithm>
#include <tuple>

namespace understudy {
namespace {

// Features of one answer that outlive the extractor's next call.
class KeptFeatures {
 public:
  void keep(std::span<const Feature> features) {
    text_.clear();
    features_.assign(features.begin(), features.end());
    for (const Feature& feature : features) text_ += feature.text;
    std::size_t at = 0;
    for (Feature& feature : features_) {
      feature.text = std::string_view(text_).substr(at, feature.text.size());
      at += feature.text.size();
    }
  }
  [[nodiscard]] std::span<const Feature> get() const { return features_; }

 private:
  std::string text_;
  std::vector<Feature> features_;
};

}  // namespace

Result<AnswerPairs> AnswerPairs::open(StudyStore& store, Arm arm) {
  AnswerPairs pairs;
  pairs.arm_ = arm;
  pairs.store_ = &store;
  std::vector<std::optional<std::uint32_t>> first;  // completed draw by prefix id - 1
  UNDERSTUDY_CHECK(store.for_each_draw_status(arm, [&](const DrawStatus& status) -> Result<void> {
    const auto at = static_cast<std::size_t>(status.key.prefix - 1);
    if (status.failed) return {};
    if (first.size() <= at) first.resize(at + 1);
    if (!first[at]) first[at] = status.key.index;
    return {};
  }));
  UNDERSTUDY_CHECK(store.for_each_prefix_cluster([&](const PrefixCluster& prefix) -> Result<void> {
    const auto at = static_cast<std::size_t>(prefix.id - 1);
    if (at >= first.size() || !first[at]) return {};
    pairs.pairs_.push_back(
        {prefix.cluster, prefix.conversation, prefix.cut, prefix.id, *first[at]});
    return {};
  }));
  std::sort(pairs.pairs_.begin(), pairs.pairs_.end(), [](const Pair& a, const Pair& b) {
    return std::tie(a.cluster, a.conversation, a.cut, a.prefix) <
           std::tie(b.cluster, b.conversation, b.cut, b.prefix);
  });
  UNDERSTUDY_TRY(pairs.finder_, AnswerFinder::open(store));
  return pairs;
}

DrawKey AnswerPairs::key(std::uint64_t id, bool candidate) const {
  const Pair& pair = pairs_.at(id);
  if (candidate) return {.arm = arm_, .prefix = pair.prefix, .index = pair.index};
  return {.arm = Arm::kDeployed, .prefix = pair.conversation, .index = pair.cut};
}

Result<AnswerView> AnswerPairs::answer(std::uint64_t id, bool candidate) {
  return finder_->find(key(id, candidate));
}

Result<void> AnswerPairs::show(PairVisitor& visitor) {
  UNDERSTUDY_TRY(const Transaction reading, store_->reading());
  FeatureExtractor extractor;
  KeptFeatures logged;
  for (std::uint64_t id = 0; id < pairs_.size(); ++id) {
    const std::uint64_t cluster = pairs_[id].cluster;
    if (!visitor.wants(cluster)) continue;
    UNDERSTUDY_TRY(const AnswerView before, answer(id, false));
    logged.keep(extractor.extract(before));
    UNDERSTUDY_TRY(const AnswerView now, answer(id, true));
    visitor.see(cluster, {.id = id,
                          .logged = logged.get(),
                          .candidate = extractor.extract(now),
                          .conversation = conversation(id)});
  }
  return {};
}

}  // namespace understudy
