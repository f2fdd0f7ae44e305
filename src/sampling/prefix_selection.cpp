#include "sampling/prefix_selection.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/hash.hpp"

namespace understudy {
namespace {

bool by_rank(const SelectedPrefix& a, const SelectedPrefix& b) {
  return std::tie(a.rank, a.conversation, a.cut) < std::tie(b.rank, b.conversation, b.cut);
}

bool by_work_order(const SelectedPrefix& a, const SelectedPrefix& b) {
  return std::tie(a.work_order, a.conversation, a.cut) <
         std::tie(b.work_order, b.conversation, b.cut);
}

std::uint64_t rank_of(std::string_view seed, std::string_view source, std::string_view external_id,
                      std::uint32_t cut) {
  return first64(
      Sha256().field("select").field(seed).field(source).field(external_id).number(cut).finish());
}

std::uint64_t work_order_of(std::string_view seed, std::string_view source,
                            std::string_view external_id) {
  return hash64({"work", seed, source, external_id});
}

std::vector<SelectedPrefix> in_order_of_work(std::vector<SelectedPrefix> selected) {
  std::sort(selected.begin(), selected.end(), by_work_order);
  return selected;
}

}  // namespace

PrefixSelection::PrefixSelection(std::string seed, std::uint64_t prefixes_max)
    : seed_(std::move(seed)), prefixes_max_(prefixes_max) {}

void PrefixSelection::offer(std::string_view source, std::int64_t conversation,
                            std::string_view external_id, std::uint32_t cut) {
  ++frame_size_;
  if (prefixes_max_ == 0) return;
  SelectedPrefix offered{.conversation = conversation, .cut = cut};
  offered.rank = rank_of(seed_, source, external_id, cut);
  if (heap_.size() == prefixes_max_) {
    if (!by_rank(offered, heap_.front())) return;
    std::pop_heap(heap_.begin(), heap_.end(), by_rank);
    heap_.pop_back();
  }
  offered.work_order = work_order_of(seed_, source, external_id);
  heap_.push_back(offered);
  std::push_heap(heap_.begin(), heap_.end(), by_rank);
}

double PrefixSelection::inclusion_probability() const {
  if (frame_size_ <= prefixes_max_) return 1;
  return static_cast<double>(prefixes_max_) / static_cast<double>(frame_size_);
}

std::vector<SelectedPrefix> PrefixSelection::take() {
  const double pi = inclusion_probability();
  for (SelectedPrefix& prefix : heap_) prefix.pi = pi;
  return in_order_of_work(std::exchange(heap_, {}));
}

void PoissonSelection::offer(std::string_view source, std::int64_t conversation,
                             std::string_view external_id, std::uint32_t cut, double pi) {
  const std::uint64_t rank = rank_of(seed_, source, external_id, cut);
  if (static_cast<double>(rank >> 11) * 0x1.0p-53 >= pi) return;
  selected_.push_back({.conversation = conversation,
                       .cut = cut,
                       .work_order = work_order_of(seed_, source, external_id),
                       .rank = rank,
                       .pi = pi});
}

std::vector<SelectedPrefix> PoissonSelection::take() {
  return in_order_of_work(std::exchange(selected_, {}));
}

}  // namespace understudy
