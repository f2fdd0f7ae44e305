#include "engine/embeddings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "base/text.hpp"
#include "discovery/vector_clusters.hpp"
#include "engine/discovery.hpp"

namespace understudy {
namespace {

constexpr std::uint64_t kFailuresMax = 20;  // that come first: then all will
constexpr std::size_t kClustersMax = 64;
constexpr std::size_t kVectorsOfCluster = 50;  // on average, at least
constexpr std::size_t kFittedPairsMax =
    10'000;  // two vectors each: more say little more of centers

using Hashes = std::array<std::optional<Digest>, 2>;  // logged, candidate; none: nothing to embed

// What is embedded is what a person reads of the answer.
std::optional<Digest> hash_of(const std::string& embedder, const AnswerView& answer) {
  const std::string text = readable_answer(answer);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return std::nullopt;
  return sha256(fmt::format("embedding/1 {} {} {}", embedder.size(), embedder, text));
}

Result<std::vector<Hashes>> hashes_of(Study& study, AnswerPairs& pairs,
                                      const std::string& embedder) {
  UNDERSTUDY_TRY(const Transaction reading, study.store.reading());
  std::vector<Hashes> hashes(pairs.count());
  for (std::uint64_t pair = 0; pair < hashes.size(); ++pair) {
    for (const bool candidate : {false, true}) {
      UNDERSTUDY_TRY(const AnswerView answer, pairs.answer(pair, candidate));
      hashes[pair][candidate ? 1 : 0] = hash_of(embedder, answer);
    }
  }
  return hashes;
}

struct DigestHash {
  std::size_t operator()(const Digest& digest) const { return first64(digest); }
};

// How long vectors are. Those of another size than most of the selecting half have cannot be
// compared with those.
class VectorSizes {
 public:
  void add(std::size_t size) { ++counts_[size]; }
  [[nodiscard]] std::size_t usual() const {
    std::size_t usual = 0, most = 0;
    for (const auto& [size, count] : counts_) {
      if (count > most) {
        usual = size;
        most = count;
      }
    }
    return usual;
  }

 private:
  std::map<std::size_t, std::size_t> counts_;
};

class Embedding {
 public:
  Embedding(Study& study, AnswerPairs& pairs, std::uint64_t seed)
      : study_(study), pairs_(pairs), seed_(seed) {}

  Result<void> run() {
    UNDERSTUDY_CHECK(collect());
    if (tasks_.empty() || is_hopeless()) return {};
    total_ = done_ + tasks_.size();
    UNDERSTUDY_TRY(ChatModel* const model, study_.model(kRole));
    UNDERSTUDY_TRY(spending_, study_.spending());
    UNDERSTUDY_TRY(const std::unique_ptr<LogSync> log, study_.start_log_sync());
    const ModelLoop loop{
        .next = [this] { return next(); },
        .store = [this](std::vector<ChatOutcome> outcomes) { return store(std::move(outcomes)); },
        .watch =
            [this](const ModelStatus& status) {
              study_.world.progress.update(state().with(status));
            },
        .log = log.get()};
    // A budget that seemed reached with many in flight may not be.
    do {
      UNDERSTUDY_TRY(const LoopEnd end,
                     run_model_loop(*model, loop, study_.world.clock, study_.world.stop));
      if (end == LoopEnd::kStopped) {
        return unexpected(ErrorCode::kPaused,
                          fmt::format("stopped: {} of {} embeddings are stored; the same command "
                                      "goes on",
                                      done_, total_));
      }
    } while (!tasks_.empty() && !is_hopeless() && !spending_->is_reached(progress()));
    if (!tasks_.empty() && !is_hopeless()) {
      return unexpected(
          ErrorCode::kPaused,
          fmt::format("the budget is reached: {} of {} embeddings are stored; the rest would use "
                      "{}. Raise the budget, then the same command goes on",
                      done_, total_, spending_->estimate_text(progress(), total_ - done_)));
    }
    study_.world.progress.finish(state());
    return {};
  }

 private:
  static constexpr const char* kRole = "embedder";

  struct Task {
    Digest hash{};
    std::uint64_t pair = 0;
    bool candidate = false;
  };

  Result<void> collect() {
    UNDERSTUDY_TRY(const std::vector<Hashes> hashes,
                   hashes_of(study_, pairs_, study_.model_config(kRole).model));
    std::unordered_map<Digest, std::size_t, DigestHash> seen;  // sizes of vectors; 0: none
    VectorSizes sizes;
    std::vector<Task> with_vector;
    for (std::uint64_t pair = 0; pair < hashes.size(); ++pair) {
      for (const bool candidate : {false, true}) {
        const auto& hash = hashes[pair][candidate ? 1 : 0];
        if (!hash) continue;
        const auto [size, is_new] = seen.try_emplace(*hash, 0);
        if (is_new) {
          UNDERSTUDY_TRY(const auto stored, study_.store.embedding(*hash));
          const Task task{*hash, pair, candidate};
          if (!stored || (!stored->failed.empty() && study_.options.retry_errors)) {
            tasks_.push_back(task);
          } else if (!stored->failed.empty()) {
            count(stored->failed);
          } else {
            size->second = stored->vector.size();
            with_vector.push_back(task);
          }
        }
        if (size->second > 0 && selects(pairs_.cluster(pair), seed_)) sizes.add(size->second);
      }
    }
    const std::size_t usual = sizes.usual();
    for (const Task& task : with_vector) {
      if (study_.options.retry_errors && usual > 0 && seen.at(task.hash) != usual) {
        tasks_.push_back(task);
      } else {
        count("");
      }
    }
    // Taken from the back. By hash, so that the arms come shuffled together.
    std::sort(tasks_.begin(), tasks_.end(),
              [](const Task& a, const Task& b) { return a.hash > b.hash; });
    return {};
  }

  void count(const std::string& failed) {
    ++done_;
    ++(failed.empty() ? vectors_ : failures_);
  }
  [[nodiscard]] bool is_hopeless() const { return vectors_ == 0 && failures_ >= kFailuresMax; }

  Result<std::optional<ChatRequest>> next() {
    if (tasks_.empty() || is_hopeless() || spending_->is_reached(progress())) {
      return std::optional<ChatRequest>();
    }
    const Task task = tasks_.back();
    tasks_.pop_back();
    UNDERSTUDY_TRY(const AnswerView answer, pairs_.answer(task.pair, task.candidate));
    ChatRequest request;
    request.id = ++asked_;
    Message text;
    text.role = Role::kUser;
    text.content = readable_answer(answer);
    request.messages.push_back(std::move(text));
    request.seed = hash64({kRole, as_bytes(task.hash)});
    in_flight_.emplace(request.id, task.hash);
    return std::optional(std::move(request));
  }

  Result<void> store(std::vector<ChatOutcome> outcomes) {
    UNDERSTUDY_TRY(Transaction transaction, study_.store.transaction());
    for (const ChatOutcome& ended : outcomes) {
      const auto found = in_flight_.find(ended.id);
      UNDERSTUDY_ASSERT(found != in_flight_.end());
      StudyStore::Embedding embedding;
      if (const auto* const failure = std::get_if<Failure>(&ended.outcome)) {
        embedding.failed = failure_name(failure->reason);
        if (!failure->detail.empty()) embedding.failed += ": " + failure->detail;
      } else {
        const auto& completion = std::get<Completion>(ended.outcome);
        spending_->add(kRole, completion.usage);
        ReadVector read = read_vector(completion.content);
        embedding = {.failed = std::string(read.fault), .vector = std::move(read.values)};
      }
      count(embedding.failed);
      UNDERSTUDY_CHECK(study_.store.add_embedding(found->second, embedding));
      in_flight_.erase(found);
    }
    UNDERSTUDY_CHECK(spending_->save(study_.store));
    return transaction.commit();
  }

  [[nodiscard]] RoleProgress progress() const {
    return {.role = kRole, .done = done_, .in_flight = in_flight_.size()};
  }
  [[nodiscard]] ProgressState state() const {
    return {.stage = kRole,
            .done = done_,
            .total = total_,
            .unit = "embeddings",
            .failed = failures_,
            .cost = spending_->cost()};
  }

  Study& study_;
  AnswerPairs& pairs_;
  std::uint64_t seed_;
  std::vector<Task> tasks_;
  std::unordered_map<std::uint64_t, Digest> in_flight_;
  Spending* spending_ = nullptr;
  std::uint64_t total_ = 0;
  std::uint64_t done_ = 0;  ///< of earlier runs too
  std::uint64_t vectors_ = 0;
  std::uint64_t failures_ = 0;
  std::uint64_t asked_ = 0;
};

class Clustering {
 public:
  Clustering(Study& study, AnswerPairs& pairs, std::uint64_t seed)
      : study_(study), pairs_(pairs), seed_(seed) {}

  Result<std::optional<AnswerClusters>> run(const std::string& embedder) {
    out_.embedder = embedder;
    UNDERSTUDY_TRY(hashes_, hashes_of(study_, pairs_, embedder));
    UNDERSTUDY_TRY(const Transaction reading, study_.store.reading());
    UNDERSTUDY_CHECK(count());
    if (out_.counts.vectors + out_.counts.failed.size() == 0) {
      return std::optional<AnswerClusters>();
    }
    UNDERSTUDY_TRY(const VectorClusters clusters, fit());
    if (out_.why_none.empty()) UNDERSTUDY_CHECK(assign(clusters));
    return std::optional(std::move(out_));
  }

 private:
  Result<void> count() {
    EmbeddingCounts& counts = out_.counts;
    counts.answers = 2 * hashes_.size();
    sizes_.resize(hashes_.size());
    VectorSizes of_selecting;
    for (std::uint64_t pair = 0; pair < hashes_.size(); ++pair) {
      for (std::size_t side = 0; side < 2; ++side) {
        if (!hashes_[pair][side]) {
          ++counts.empty;
          continue;
        }
        UNDERSTUDY_TRY(const auto stored, study_.store.embedding(*hashes_[pair][side]));
        if (!stored) {
          ++counts.left;
        } else if (!stored->failed.empty()) {
          ++counts.failed[stored->failed];
        } else {
          sizes_[pair][side] = static_cast<std::uint32_t>(stored->vector.size());
          if (selects(pairs_.cluster(pair), seed_)) of_selecting.add(stored->vector.size());
        }
      }
    }
    out_.dimensions = of_selecting.usual();
    for (const auto& sizes : sizes_) {
      for (const std::uint32_t size : sizes) {
        if (size == 0) continue;
        ++(size == out_.dimensions ? counts.vectors : counts.failed["wrong_size"]);
      }
      out_.pairs += sizes[0] == out_.dimensions && sizes[1] == out_.dimensions ? 1U : 0U;
    }
    return {};
  }

  [[nodiscard]] bool has_both(std::uint64_t pair) const {
    return out_.dimensions > 0 && sizes_[pair][0] == out_.dimensions &&
           sizes_[pair][1] == out_.dimensions;
  }

  Result<std::vector<float>> stored(std::uint64_t pair, std::size_t side) {
    UNDERSTUDY_TRY(auto embedding, study_.store.embedding(hashes_[pair][side].value()));
    return std::move(embedding.value().vector);
  }

  Result<VectorClusters> fit() {
    std::vector<std::uint64_t> selecting;
    for (std::uint64_t pair = 0; pair < hashes_.size(); ++pair) {
      if (has_both(pair) && selects(pairs_.cluster(pair), seed_)) selecting.push_back(pair);
    }
    const std::size_t fitted = std::min(selecting.size(), kFittedPairsMax);
    const std::size_t most = std::min(kClustersMax, 2 * fitted / kVectorsOfCluster);
    if (most < 2) {
      out_.why_none = fmt::format(
          "groups need {} vectors of the half of users that they are made of: there are {}",
          2 * kVectorsOfCluster, 2 * fitted);
      return VectorClusters{};
    }
    std::vector<float> vectors;
    for (std::size_t i = 0; i < fitted; ++i) {
      const std::uint64_t pair = selecting[i * selecting.size() / fitted];
      for (std::size_t side = 0; side < 2; ++side) {
        UNDERSTUDY_TRY(const std::vector<float> vector, stored(pair, side));
        vectors.insert(vectors.end(), vector.begin(), vector.end());
      }
    }
    VectorClusters clusters = cluster_vectors(vectors, out_.dimensions, most, seed_);
    out_.clusters = clusters.count();
    if (clusters.count() < 2) {
      out_.why_none = "all vectors are the same: they tell no answers apart";
    }
    return clusters;
  }

  Result<void> assign(const VectorClusters& clusters) {
    out_.places.resize(hashes_.size());
    for (std::uint64_t pair = 0; pair < hashes_.size(); ++pair) {
      if (!has_both(pair)) continue;
      for (std::size_t side = 0; side < 2; ++side) {
        UNDERSTUDY_TRY(const std::vector<float> vector, stored(pair, side));
        const Nearest nearest = clusters.nearest(vector);
        out_.places[pair][side] = {.cluster = static_cast<std::uint8_t>(nearest.center + 1),
                                   .cosine = static_cast<float>(nearest.cosine)};
      }
    }
    return {};
  }

  Study& study_;
  AnswerPairs& pairs_;
  std::uint64_t seed_;
  std::vector<Hashes> hashes_;
  std::vector<std::array<std::uint32_t, 2>> sizes_;  // of vectors, by pair; 0: there is none
  AnswerClusters out_;
};

// Hands on each pair with the clusters of its answers.
class WithClusters final : public PairVisitor {
 public:
  WithClusters(const AnswerClusters& clusters, PairVisitor& visitor)
      : clusters_(clusters), visitor_(visitor) {
    for (std::size_t i = 0; i <= clusters.clusters; ++i) numbers_.push_back(std::to_string(i));
  }
  bool wants(std::uint64_t cluster) override { return visitor_.wants(cluster); }
  void see(std::uint64_t cluster, const FeaturedPair& pair) override {
    const auto& places = clusters_.places[pair.id];
    visitor_.see(cluster, {.id = pair.id,
                           .logged = with(pair.logged, places[0], logged_),
                           .candidate = with(pair.candidate, places[1], candidate_),
                           .conversation = pair.conversation});
  }

 private:
  std::span<const Feature> with(std::span<const Feature> features, AnswerClusters::Place place,
                                std::vector<Feature>& kept) const {
    if (place.cluster == 0) return features;
    kept.assign(features.begin(), features.end());
    const std::string& number = numbers_[place.cluster];
    kept.push_back(
        {.hash = hash64({"cluster", number}), .kind = FeatureKind::kCluster, .text = number});
    return kept;
  }
  const AnswerClusters& clusters_;
  PairVisitor& visitor_;
  std::vector<std::string> numbers_;
  std::vector<Feature> logged_, candidate_;
};

}  // namespace

Result<void> AnswerClusters::show(AnswerPairs& of, PairVisitor& visitor) const {
  if (places.empty()) return of.show(visitor);
  WithClusters with(*this, visitor);
  return of.show(with);
}

std::uint8_t AnswerClusters::cluster_of(const std::string& feature) {
  const std::string kind = feature_name(FeatureKind::kCluster, "");
  std::uint8_t number = 0;
  if (feature.starts_with(kind)) {
    std::from_chars(feature.data() + kind.size(), feature.data() + feature.size(), number);
  }
  return number;
}

Result<void> embed_answers(Study& study, AnswerPairs& pairs, std::uint64_t seed) {
  if (!study.config.roles.contains("embedder")) {
    return unexpected(ErrorCode::kUsage, "this study has no embedder: set roles.embedder");
  }
  return Embedding(study, pairs, seed).run();
}

Result<std::optional<AnswerClusters>> cluster_answers(Study& study, AnswerPairs& pairs,
                                                      std::uint64_t seed) {
  const auto embedder = study.config.roles.find("embedder");
  if (embedder == study.config.roles.end()) return std::optional<AnswerClusters>();
  return Clustering(study, pairs, seed).run(embedder->second.model);
}

Json to_json(const AnswerClusters& clusters) {
  return {{"embedder", clusters.embedder},
          {"answers", clusters.counts.answers},
          {"vectors", clusters.counts.vectors},
          {"empty", clusters.counts.empty},
          {"failed", clusters.counts.failed},
          {"left", clusters.counts.left},
          {"dimensions", clusters.dimensions},
          {"pairs", clusters.pairs},
          {"clusters", clusters.places.empty() ? 0 : clusters.clusters},
          {"why_none", clusters.why_none.empty() ? Json() : Json(clusters.why_none)}};
}

std::string embeddings_text(const AnswerClusters& clusters) {
  const EmbeddingCounts& counts = clusters.counts;
  std::string text = fmt::format("Embeddings by {}: of {} answers {} have a vector",
                                 terminal_safe(clusters.embedder), with_commas(counts.answers),
                                 with_commas(counts.vectors));
  if (counts.empty > 0) text += fmt::format(", {} are empty", with_commas(counts.empty));
  for (const auto& [reason, count] : counts.failed) {
    text += fmt::format(", {} failed ({})", with_commas(count), terminal_safe(reason));
  }
  if (counts.left > 0) text += fmt::format(", {} were not asked for", with_commas(counts.left));
  if (!clusters.why_none.empty())
    return text + fmt::format(". No groups: {}.\n", clusters.why_none);
  return text + fmt::format(". {} pairs have both, in {} groups made of the selecting half.\n",
                            with_commas(clusters.pairs), clusters.clusters);
}

}  // namespace understudy
