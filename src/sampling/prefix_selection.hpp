#pragma once
// Simple random selection of prefixes without replacement: each turn of the frame has a seeded hash
// of its identity, and the n smallest are taken. Every turn has inclusion probability n / N, and a
// larger n keeps what a smaller one took.

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

}  // namespace understudy
