#pragma once
// The whole engine in a simulated world: one seed makes a study, runs it without faults, runs it
// again through sessions that the network, the disk and Ctrl-C cut short, and then, with all faults
// off, to the end. Both must have the same records.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "testing/sim_disk.hpp"

namespace understudy::simulation {

/// Rules that a seed breaks on purpose: the simulation is worth something only if it sees them.
enum class Canary : std::uint8_t {
  kNone,
  kLostDraw,  ///< a stored draw is gone after a session
  kNoSync,    ///< the disk says it has synced, and has not
};

/// How often each thing has happened, over all seeds: a fault that never comes tests nothing.
using Tally = std::map<std::string, std::uint64_t>;

struct Records;

class Simulation {
 public:
  /// `folder` is there, is empty, and is best in memory.
  Simulation(std::string folder, Canary canary) : folder_(std::move(folder)), canary_(canary) {}
  /// What each session met and how it ended, as it goes: to look into one seed.
  void tell(std::function<void(const std::string&)> tell) { tell_ = std::move(tell); }

  /// What went wrong; nothing when nothing did.
  [[nodiscard]] std::optional<std::string> run_seed(std::uint64_t seed);

  /// The same small study each time. Operation `operation` on the disk fails; then, without faults,
  /// the records must be those of a run without. `reached`: whether there was such an operation.
  [[nodiscard]] std::optional<std::string> run_disk_fault(DiskFault fault, std::uint64_t operation,
                                                          bool& reached);

  [[nodiscard]] const Tally& tally() const { return tally_; }

 private:
  std::string folder_;
  Canary canary_;
  Tally tally_;
  std::function<void(const std::string&)> tell_ = [](const std::string&) {};
  std::shared_ptr<const Records> sweep_records_;  ///< without a fault; made once
};

}  // namespace understudy::simulation
