#include "engine/units.hpp"

namespace understudy {
namespace {

Result<Units> replayed_units(StudyStore& store, Arm arm) {
  std::vector<std::uint64_t> cluster_of;  // by prefix id - 1
  UNDERSTUDY_CHECK(store.for_each_prefix_cluster(
      [&](std::int64_t, std::uint64_t cluster, double) -> Result<void> {
        cluster_of.push_back(cluster);
        return {};
      }));
  Units units;
  UNDERSTUDY_CHECK(store.for_each_draw_status(arm, [&](const DrawStatus& status) -> Result<void> {
    if (status.failed) {
      ++units.failed;
      return {};
    }
    units.keys.push_back(pack_draw_key(status.key));
    units.clusters.push_back(cluster_of.at(static_cast<std::size_t>(status.key.prefix - 1)));
    return {};
  }));
  return units;
}

}  // namespace

Result<Units> units_of(StudyStore& store, Arm arm) {
  if (arm != Arm::kDeployed) return replayed_units(store, arm);
  Units units;
  UNDERSTUDY_CHECK(store.for_each_frame_row([&](const FrameRow& row) -> Result<void> {
    for (const FrameTurn& turn : row.turns) {
      units.keys.push_back(
          pack_draw_key({.arm = arm, .prefix = row.conversation, .index = turn.cut}));
      units.clusters.push_back(row.cluster);
    }
    return {};
  }));
  return units;
}

Result<Units> logged_units_of_prefixes(StudyStore& store) {
  Units units;
  UNDERSTUDY_CHECK(store.for_each_prefix_cluster(
      [&](std::int64_t, std::uint64_t cluster, double) -> Result<void> {
        units.clusters.push_back(cluster);
        return {};
      }));
  UNDERSTUDY_CHECK(store.for_each_prefix([&](const PrefixRow& prefix) -> Result<void> {
    units.keys.push_back(pack_draw_key(
        {.arm = Arm::kDeployed, .prefix = prefix.conversation, .index = prefix.cut}));
    return {};
  }));
  return units;
}

}  // namespace understudy
