#include "engine/batch_ledger.hpp"

#include <algorithm>
#include <array>

#include "base/json.hpp"

namespace understudy {
namespace {

constexpr std::string_view kMetaKey = "batches";
constexpr std::array<std::string_view, 4> kStateNames = {"written", "uploading", "uploaded",
                                                         "closed"};

Json to_json(const BatchFile& file) {
  Json out = Json::array();
  for (const auto& [first, count] : file.out) out.push_back({first, count});
  return {{"name", file.name},
          {"folder", file.folder},
          {"arm", arm_name(file.arm)},
          {"tag", file.tag},
          {"frame", file.frame},
          {"draws", file.draws},
          {"asked", file.asked},
          {"out", std::move(out)},
          {"remote", file.remote},
          {"remote_status", file.remote_status},
          {"state", batch_state_name(file.state)}};
}

BatchFile from_json(const Json& json) {
  BatchFile file;
  file.name = json["name"].get<std::string>();
  file.folder = json["folder"].get<std::string>();
  const auto arm = json["arm"].get<std::string>();
  file.arm = arm == arm_name(Arm::kCandidate) ? Arm::kCandidate : Arm::kDeployedReplay;
  file.tag = json["tag"].get<std::string>();
  file.frame = json["frame"].get<std::string>();
  file.draws = json["draws"].get<std::uint32_t>();
  file.asked = json["asked"].get<std::uint64_t>();
  for (const Json& run : json["out"]) {
    file.out.emplace_back(run[0].get<std::uint64_t>(), run[1].get<std::uint64_t>());
  }
  file.remote = json["remote"].get<std::string>();
  file.remote_status = json["remote_status"].get<std::string>();
  const auto state = json["state"].get<std::string>();
  const auto* const known = std::find(kStateNames.begin(), kStateNames.end(), state);
  file.state = static_cast<BatchState>(known - kStateNames.begin());
  return file;
}

}  // namespace

void append_draw(DrawRuns& runs, std::uint64_t number) {
  if (!runs.empty() && runs.back().first + runs.back().second == number) {
    ++runs.back().second;
  } else {
    runs.emplace_back(number, 1);
  }
}

std::uint64_t count_draws(const DrawRuns& runs) {
  std::uint64_t total = 0;
  for (const auto& [first, count] : runs) total += count;
  return total;
}

std::string_view batch_state_name(BatchState state) {
  return kStateNames[static_cast<std::size_t>(state)];
}

Result<std::vector<BatchFile>> load_batches(StudyStore& store) {
  std::vector<BatchFile> files;
  UNDERSTUDY_TRY(const auto stored, store.meta(kMetaKey));
  if (!stored) return files;
  UNDERSTUDY_TRY(const Json json, parse_json(*stored));
  for (const Json& file : json) files.push_back(from_json(file));
  return files;
}

Result<void> save_batches(StudyStore& store, const std::vector<BatchFile>& files) {
  Json json = Json::array();
  for (const BatchFile& file : files) json.push_back(to_json(file));
  return store.set_meta(kMetaKey, write_json(json, JsonStyle::kCanonical));
}

}  // namespace understudy
