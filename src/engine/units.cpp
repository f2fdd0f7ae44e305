#include "engine/units.hpp"

#include <algorithm>

#include "base/json.hpp"

namespace understudy {
namespace {

std::int64_t logged_key(std::int64_t conversation, std::uint32_t cut) {
  return pack_draw_key({.arm = Arm::kDeployed, .prefix = conversation, .index = cut});
}

Result<Units> replayed_units(StudyStore& store, Arm arm) {
  UNDERSTUDY_TRY(const Units prefixes, logged_units_of_prefixes(store));
  Units units;
  UNDERSTUDY_CHECK(store.for_each_draw_status(arm, [&](const DrawStatus& status) -> Result<void> {
    if (status.failed) {
      ++units.failed[std::string(failure_name(*status.failed))];
      return {};
    }
    const auto prefix = static_cast<std::size_t>(status.key.prefix - 1);
    units.keys.push_back(pack_draw_key(status.key));
    units.clusters.push_back(prefixes.clusters.at(prefix));
    units.logged.push_back(prefixes.keys.at(prefix));
    if (!prefixes.weights.empty()) units.weights.push_back(prefixes.weights.at(prefix));
    return {};
  }));
  return units;
}

}  // namespace

std::uint64_t Units::failed_count() const {
  std::uint64_t count = 0;
  for (const auto& [reason, of_reason] : failed) count += of_reason;
  return count;
}

Result<Units> units_of(StudyStore& store, Arm arm) {
  if (arm != Arm::kDeployed) return replayed_units(store, arm);
  Units units;
  UNDERSTUDY_CHECK(
      store.for_each_frame_cluster([&](std::int64_t conversation, std::uint64_t cluster,
                                       const std::vector<FrameTurn>& turns) -> Result<void> {
        for (const FrameTurn& turn : turns) {
          units.keys.push_back(logged_key(conversation, turn.cut));
          units.clusters.push_back(cluster);
        }
        return {};
      }));
  return units;
}

Result<void> check_all_graded(StudyStore& store, Arm arm, const Units& units) {
  UNDERSTUDY_TRY(const auto graded, store.stage("grade:" + std::string(arm_name(arm))));
  if (!graded) {
    return unexpected(ErrorCode::kUsage, "nothing is graded yet: `understudy run` first");
  }
  UNDERSTUDY_TRY(const Json detail, parse_json(graded->detail));
  if (detail.at("answers") == units.keys.size()) return {};
  return unexpected(ErrorCode::kUsage,
                    "answers have come since others were graded: `understudy run`, or `understudy "
                    "grade`, first");
}

Result<Units> logged_units_of_prefixes(StudyStore& store) {
  Units units;
  UNDERSTUDY_CHECK(store.for_each_prefix_cluster([&](const PrefixCluster& prefix) -> Result<void> {
    units.clusters.push_back(prefix.cluster);
    units.weights.push_back(1 / prefix.pi);
    units.keys.push_back(logged_key(prefix.conversation, prefix.cut));
    return {};
  }));
  const auto differs = [&](double weight) { return weight != units.weights.front(); };
  if (std::none_of(units.weights.begin(), units.weights.end(), differs)) units.weights = {};
  units.logged = units.keys;
  return units;
}

}  // namespace understudy
