#pragma once
// Vectors of answers, from a model in the role `embedder`, and groups of answers made of them. Both
// answers of every pair that `discover` compares are embedded, each text once: a vector is
// addressed by its text and its embedder. Groups are made of one half of the users and are features
// like others, to be tested on the other half.
//
// Only pairs count of which both answers have a vector: what fails oftener for one model must not
// look like a difference.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/answer_pairs.hpp"
#include "engine/study.hpp"

namespace understudy {

/// Over both answers of all pairs: answers = vectors + empty + Σ failed + left.
struct EmbeddingCounts {
  std::uint64_t answers = 0;
  std::uint64_t vectors = 0;
  std::uint64_t empty = 0;                      ///< nothing to embed
  std::map<std::string, std::uint64_t> failed;  ///< by reason: of a request or of a vector
  std::uint64_t left = 0;                       ///< not asked yet
};

class AnswerClusters {
 public:
  /// Where an answer belongs.
  struct Place {
    std::uint8_t cluster = 0;  ///< from 1; 0: none
    float cosine = 0;          ///< to the center
  };
  std::string embedder;  ///< the model
  EmbeddingCounts counts;
  std::size_t dimensions = 0;
  std::uint64_t pairs = 0;  ///< with both vectors
  std::size_t clusters = 0;
  std::string why_none;  ///< why embeddings tell nothing; empty: there are clusters
  std::vector<std::array<Place, 2>> places;  ///< by pair: logged, candidate

  /// Shows the pairs with their clusters among the features.
  [[nodiscard]] Result<void> show(AnswerPairs& of, PairVisitor& visitor) const;
  /// The cluster that the name of a feature is of; 0 where it is another feature.
  [[nodiscard]] static std::uint8_t cluster_of(const std::string& feature);
};

/// Asks for the vectors that are not there yet; those that failed, or have another size than most,
/// only with retry_errors. Stops asking where the first twenty fail: what is wrong is stored and
/// counted. `seed`: which half a user is in. kUsage where no embedder is set; kPaused where it is
/// stopped or the budget is reached: the same call goes on.
Result<void> embed_answers(Study& study, AnswerPairs& pairs, std::uint64_t seed);

/// From what is stored; none where no embedder is set, or nothing was ever asked of it.
[[nodiscard]] Result<std::optional<AnswerClusters>> cluster_answers(Study& study,
                                                                    AnswerPairs& pairs,
                                                                    std::uint64_t seed);

/// The member `embeddings` of understudy.discovery/1.
[[nodiscard]] Json to_json(const AnswerClusters& clusters);
/// For a terminal: every character is safe to show.
[[nodiscard]] std::string embeddings_text(const AnswerClusters& clusters);

}  // namespace understudy
