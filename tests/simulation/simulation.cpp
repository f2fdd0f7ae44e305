#include "simulation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include "sim_records.hpp"
#include "sim_session.hpp"

namespace understudy::simulation {
namespace {

namespace fs = std::filesystem;

using Divergence = std::optional<std::string>;

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Divergence told(std::string_view when, const Divergence& what) {
  if (!what) return std::nullopt;
  return fmt::format("{}: {}", when, *what);
}

std::uint64_t sum_of(const Json& counts) {
  std::uint64_t sum = 0;
  for (const auto& [reason, count] : counts.items()) sum += count.get<std::uint64_t>();
  return sum;
}

// A report's own numbers: what was requested is completed or failed, and what is completed has one
// verdict a behavior or a reason why it has none.
Divergence check_counts(const Json& report) {
  for (const auto& [arm, draws] : report["counts"]["draws"].items()) {
    const auto completed = draws["completed"].get<std::uint64_t>();
    if (completed + sum_of(draws["failed"]) != draws["requested"].get<std::uint64_t>()) {
      return fmt::format("the draws of arm {} do not add up", arm);
    }
    for (const Json& behavior : report["behaviors"]) {
      const auto verdicts = behavior["verdicts"].find(arm);
      if (verdicts == behavior["verdicts"].end()) continue;
      const std::uint64_t graded =
          (*verdicts)["present"].get<std::uint64_t>() + (*verdicts)["absent"].get<std::uint64_t>();
      if (graded + sum_of((*verdicts)["ungradable"]) + sum_of((*verdicts)["not_graded"]) !=
          completed) {
        return fmt::format("the verdicts of {} in arm {} do not add up",
                           behavior["name"].get<std::string>(), arm);
      }
    }
  }
  return std::nullopt;
}

std::string_view role_of_arm(Arm arm) {
  return arm == Arm::kCandidate ? "candidate" : "deployed";
}

// What is in the store, as the models' watcher names it.
std::set<Asked> stored_requests(const Records& records, bool with_failures) {
  std::set<Asked> stored;
  for (const auto& [key, draw] : records.draws) {
    if (draw.failed && !with_failures) continue;
    stored.insert({.role = std::string(role_of_arm(unpack_draw_key(key).arm)),
                   .id = static_cast<std::uint64_t>(key)});
  }
  for (const auto& [key, verdict] : records.judgements) {
    if (verdict == Verdict::kNotGradedJudgeFailed && !with_failures) continue;
    stored.insert({.role = "judge", .id = question_id(key.first, key.second)});
  }
  return stored;
}

// One study of a seed, twice: without faults, and with.
class SeedRun {
 public:
  using Tell = std::function<void(const std::string&)>;
  SeedRun(std::uint64_t seed, const std::string& folder, SimStudy study, Canary canary,
          Tally& tally, const Tell& tell)
      : tell_(tell),
        seed_(seed),
        folder_(folder),
        canary_(canary),
        tally_(tally),
        rng_(seed, 0x5EED),
        study_(std::move(study)),
        responder_(study_.server, clock_),
        disk_("simulated", seed, [this] { take_time(); }) {
    if (canary == Canary::kNoSync) disk_.ignore_syncs();
    fs::remove_all(folder_ + "/whole");
    fs::remove_all(folder_ + "/broken");
    std::ofstream(study_.config.logs.paths[0], std::ios::binary) << study_.log;
  }

  /// Without faults. False: there is nothing to replay in this log.
  Result<bool> run_whole() {
    SimDisk disk("whole", 0);
    Traffic traffic;
    const SessionEnd end = run_session(study_, whole(), {}, disk, clock_, responder_, traffic);
    if (end.error && end.error->code == ErrorCode::kInput) return false;
    if (end.error) return unexpected(*end.error);
    operations_ = disk.operations();
    UNDERSTUDY_TRY(expected_, read(disk, whole(), SimDisk::View::kSeen, true));
    return true;
  }
  void expect(Records expected) { expected_ = std::move(expected); }
  [[nodiscard]] const Records& expected() const { return expected_; }

  /// One process under `plan`, on a disk with `fault`, and what must hold after it.
  Divergence session(const SessionPlan& plan, DiskFault fault, std::uint64_t operation) {
    Traffic traffic;
    traffic.stored = stored_requests(records_, !plan.options.retry_errors);
    disk_.set_fault(fault, operation);
    const SessionEnd end = run_session(study_, broken(), plan, disk_, clock_, responder_, traffic);
    fault_met_ = disk_.fault_met();
    ++tally_["sessions"];
    tell_(fmt::format("{} at operation {} of {}{}: {}", disk_fault_name(fault), operation,
                      disk_.operations(), fault_met_ ? ", met" : "",
                      end.error ? end.error->describe() : "done"));
    crashed_ = disk_.crashed();
    if (crashed_) {
      ++tally_["crashes"];
      disk_.restart();
    } else {
      if (fault_met_) ++tally_["disk errors"];
      disk_.stop_faults();
    }
    if (!traffic.violations.empty()) return traffic.violations.front();
    if (Divergence wrong = check_end(end, plan)) return wrong;
    if (canary_ == Canary::kLostDraw) lose_a_draw();
    return check_store(end, traffic);
  }

  /// All faults off: everything that is missing is asked for, and then nothing may differ.
  Divergence finish() {
    const SessionPlan plan{
        .network = {}, .options = {.limit = {}, .retry_errors = true}, .budget_tokens = {}};
    if (Divergence wrong = session(plan, DiskFault::kNone, 0)) return wrong;
    if (!finished_) return "it does not come to an end once the faults are off";
    const auto found = read(disk_, broken(), SimDisk::View::kSeen, true);
    if (!found) return found.error().message;
    return difference(*found, expected_);
  }

  Divergence run_broken() {
    const std::uint64_t rounds = 1 + rng_.below(6);
    for (std::uint64_t round = 0; round < rounds; ++round) {
      const std::uint64_t operation = 1 + rng_.below(1 + (operations_ >> rng_.below(6)));
      constexpr std::array<DiskFault, 6> kFaults = {
          DiskFault::kNone, DiskFault::kErrorOnce, DiskFault::kErrorFromThen,
          DiskFault::kFull, DiskFault::kCrash,     DiskFault::kCrash};
      const DiskFault fault = kFaults[rng_.below(kFaults.size())];
      if (Divergence wrong = session(make_plan(round), fault, operation)) {
        return told(fmt::format("session {}", round + 1), wrong);
      }
    }
    return told("with the faults off", finish());
  }

  [[nodiscard]] bool fault_met() const { return fault_met_; }

 private:
  [[nodiscard]] std::string whole() const { return folder_ + "/whole/study"; }
  [[nodiscard]] std::string broken() const { return folder_ + "/broken/study"; }

  void take_time() { clock_.sleep_ms(static_cast<std::int64_t>(rng_.below(20))); }

  SessionPlan make_plan(std::uint64_t round) {
    const std::uint64_t seed = hash64({std::to_string(seed_), std::to_string(round)});
    SessionPlan plan{.network = {}, .network_seed = seed, .options = {}, .budget_tokens = {}};
    if (rng_.below(4) > 0) plan.network = swarm_faults(seed);
    plan.options.retry_errors = rng_.below(3) == 0;
    if (rng_.below(6) == 0) plan.options.limit = 1 + rng_.below(10);
    if (rng_.below(8) == 0) plan.budget_tokens = rng_.below(5000);
    if (rng_.below(5) == 0) plan.stop_after = 1 + rng_.below(60);
    return plan;
  }

  // A copy is read, so that looking changes nothing.
  Result<Records> read(const SimDisk& disk, const std::string& directory, SimDisk::View view,
                       bool all) {
    SimDisk copy("copy", 0);
    copy.copy_from(disk, view);
    UNDERSTUDY_TRY(StudyStore store,
                   StudyStore::open(directory, StudyStore::Mode::kCreate, copy.vfs_name()));
    UNDERSTUDY_TRY(Records records, read_records(store, study_.config, all));
    if (!all) return records;
    for (const char* name : {"report.json", "report.html", "rejects.jsonl"}) {
      records.others.emplace(name, file_text(directory + "/" + name));
    }
    return records;
  }

  Divergence check_end(const SessionEnd& end, const SessionPlan& plan) {
    finished_ = !end.error.has_value();
    if (!end.error) return check_counts(end.report);
    const bool may_pause = plan.budget_tokens || plan.stop_after != SessionPlan::kNever;
    ++tally_[end.error->code == ErrorCode::kPaused ? "pauses" : "failed sessions"];
    if (end.error->code == ErrorCode::kPaused && may_pause) return std::nullopt;
    if (end.error->code == ErrorCode::kInfrastructure && fault_met_) return std::nullopt;
    return "it stopped without a cause: " + end.error->message;
  }

  Divergence check_store(const SessionEnd& end, const Traffic& traffic) {
    Result<Records> now = read(disk_, broken(), SimDisk::View::kSeen, false);
    if (!now) return "the study can not be read: " + now.error().message;
    records_ = std::move(*now);
    if (auto lost = loss(sure_, records_)) return lost;
    sure_ = records_;
    if (fault_met_ && !crashed_) {
      // A commit whose sync failed was not acknowledged: it can be seen and be lost at the next
      // crash, or be gone and come back with a log whose deletion was not synced.
      now = read(disk_, broken(), SimDisk::View::kSure, false);
      if (!now) return "what is sure can not be read: " + now.error().message;
      keep_common(sure_, *now);
    }
    if (auto wrong = contradiction(records_, expected_)) return wrong;
    const std::set<Asked> stored = stored_requests(records_, true);
    const auto unsaved = static_cast<std::size_t>(
        std::count_if(traffic.delivered.begin(), traffic.delivered.end(),
                      [&](const Asked& asked) { return !stored.contains(asked); }));
    tally_["asked in vain"] += unsaved + end.in_flight;
    const std::size_t limit = study_.config.replay.max_connections * study_.endpoints;
    if (unsaved + end.in_flight > limit) {
      return fmt::format("{} answers were lost and {} were in flight, {} allowed", unsaved,
                         end.in_flight, limit);
    }
    return std::nullopt;
  }

  void lose_a_draw() {
    auto database = Database::open(broken() + "/study.db", false, disk_.vfs_name());
    if (!database) return;
    // Where there is no table yet there is nothing to lose.
    (void)database->execute("DELETE FROM draw WHERE key = (SELECT min(key) FROM draw)").has_value();
  }

  const Tell& tell_;
  std::uint64_t seed_;
  std::string folder_;
  Canary canary_;
  Tally& tally_;
  Rng rng_;
  SimClock clock_;
  SimStudy study_;
  MockResponder responder_;
  SimDisk disk_;
  Records expected_;
  Records records_;  ///< after the last session
  Records sure_;     ///< of those, what no crash may take away
  std::uint64_t operations_ = 1;
  bool fault_met_ = false;
  bool crashed_ = false;
  bool finished_ = false;
};

}  // namespace

std::optional<std::string> Simulation::run_seed(std::uint64_t seed) {
  SeedRun run(seed, folder_, make_sim_study(seed, folder_ + "/logs.jsonl"), canary_, tally_, tell_);
  const Result<bool> whole = run.run_whole();
  if (!whole) return "without faults: " + whole.error().message;
  if (!*whole) {
    ++tally_["empty studies"];
    return std::nullopt;
  }
  return run.run_broken();
}

std::optional<std::string> Simulation::run_disk_fault(DiskFault fault, std::uint64_t operation,
                                                      bool& reached) {
  reached = false;
  SeedRun run(operation, folder_, make_sweep_study(folder_ + "/logs.jsonl"), canary_, tally_,
              tell_);
  if (sweep_records_ == nullptr) {
    const Result<bool> whole = run.run_whole();
    if (!whole) return "without faults: " + whole.error().message;
    if (!*whole) return "without faults: there is nothing to replay";
    sweep_records_ = std::make_shared<const Records>(run.expected());
  }
  run.expect(*sweep_records_);
  const Divergence wrong = run.session({}, fault, operation);
  reached = run.fault_met();
  return wrong ? wrong : told("with the faults off", run.finish());
}

}  // namespace understudy::simulation
