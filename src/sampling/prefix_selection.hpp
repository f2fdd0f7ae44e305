#pragma once
// Selection of prefixes by a seeded hash of their identity. Simple random without replacement: the
// n smallest hashes are taken, every turn has inclusion probability n / N. Poisson: a turn is taken
// where its hash, as a number in [0, 1), is below its own probability. In both, a larger n keeps
// what a smaller one took.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace understudy {

struct SelectedPrefix {
  std::int64_t conversation = 0;
  std::uint32_t cut = 0;
  std::uint64_t work_order = 0;  ///< seeded hash of the conversation
  std::uint64_t rank = 0;        ///< seeded hash of the prefix: the n smallest are in
  double pi = 1;                 ///< inclusion probability
};

class PrefixSelection {
 public:
  PrefixSelection(std::string seed, std::uint64_t prefixes_max);
  /// Once for every turn of the frame, in any order. `source` and `external_id` are the identity.
  void offer(std::string_view source, std::int64_t conversation, std::string_view external_id,
             std::uint32_t cut);
  [[nodiscard]] std::uint64_t frame_size() const { return frame_size_; }
  /// n / N; 1 where the frame has no more than was asked for.
  [[nodiscard]] double inclusion_probability() const;
  /// In order of work: by the hash of the conversation, its cuts together in their order, so that
  /// what is finished at a pause is a random part of the selection. Empties the selection.
  [[nodiscard]] std::vector<SelectedPrefix> take();

 private:
  std::string seed_;
  std::uint64_t prefixes_max_;
  std::uint64_t frame_size_ = 0;
  std::vector<SelectedPrefix> heap_;  // largest rank first
};

class PoissonSelection {
 public:
  explicit PoissonSelection(std::string seed) : seed_(std::move(seed)) {}
  /// Once for every turn of the frame, in any order; pi in (0, 1].
  void offer(std::string_view source, std::int64_t conversation, std::string_view external_id,
             std::uint32_t cut, double pi);
  /// As PrefixSelection::take.
  [[nodiscard]] std::vector<SelectedPrefix> take();

 private:
  std::string seed_;
  std::vector<SelectedPrefix> selected_;
};

}  // namespace understudy
