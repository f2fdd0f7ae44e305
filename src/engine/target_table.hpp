#pragma once
// A target traffic described by a table, `dimension,stratum,share`: what share of its turns each
// stratum has. One dimension is post-stratification, several are raked; a dimension like
// `language*turn` gives joint shares, with strata like `en*1`.
//
// | dimension | strata of a turn |
// |---|---|
// | language | of the message answered, ISO 639-1 as the graders detect it, or `unknown` |
// | turn | `1`, `2`, `3`, `4+`: which user message it answers |
// | length | of the message answered: `short` (< 200 bytes), `medium` (< 2,000), `long` |
// | tools, system | `yes`, `no`: whether the request has tools, a system prompt |
//
// The stratum `other` stands for all that the table does not name.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "records/conversation.hpp"
#include "stats/weighting.hpp"

namespace understudy {

struct TargetDimension {
  std::string name;
  std::vector<std::string> parts;  ///< of a joint dimension; else the name alone
  std::vector<std::string> strata;
  std::vector<double> shares;  ///< parallel; >= 0, sum 1
};

/// Fails with kInput, naming file and line: unknown dimensions, a stratum twice, a share that is
/// none, shares of a dimension that do not sum to 1 within 1%.
[[nodiscard]] Result<std::vector<TargetDimension>> read_target_table(const std::string& path);

/// The stratum of the turn in that dimension, in the table's own form ("en", "en*4+").
[[nodiscard]] std::string stratum_of(const TargetDimension& dimension,
                                     const Conversation& conversation, std::uint32_t cut);

/// Sorts turns into the strata of a dimension.
class StratumCounter {
 public:
  explicit StratumCounter(const TargetDimension& dimension) : dimension_(&dimension) {}
  void add(const Conversation& conversation, std::uint32_t cut);
  /// Of all turns added. Fails with kInput where the logs have a stratum of which the table says
  /// nothing, or the table one, with a share, of which the logs hold no turn: nothing can be
  /// weighted up to it. Moves out of this.
  [[nodiscard]] Result<Margin> margin();

 private:
  const TargetDimension* dimension_;
  std::vector<std::string> found_;  ///< strata of the logs, in order of appearance
  std::vector<std::uint32_t> stratum_of_;
};

}  // namespace understudy
