#pragma once
// The life of one process that works on a study: it opens the store, runs the pipeline on a
// simulated network and disk, and ends, with the work done or in the middle of it.

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/study.hpp"
#include "sim_study.hpp"
#include "testing/sim_disk.hpp"
#include "testing/sim_transport.hpp"

namespace understudy::simulation {

struct SessionPlan {
  NetworkFaults network;
  std::uint64_t network_seed = 0;
  RunOptions options;
  std::optional<std::uint64_t> budget_tokens;
  std::uint64_t stop_after = kNever;  ///< looks at Ctrl-C until the first one; the second follows
  static constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();
};

/// A request as the study knows it: draws by arm and key, questions to a judge by what they ask.
struct Asked {
  std::string role;
  std::uint64_t id = 0;
  auto operator<=>(const Asked&) const = default;
};

/// What the models of one session have seen.
struct Traffic {
  std::set<Asked> stored;  ///< set before the session: what must not be asked again
  std::set<Asked> asked;
  std::set<Asked> delivered;  ///< an answer came back to the engine
  std::vector<SimTransport*> transports;
  std::vector<std::string> violations;
};

struct SessionEnd {
  std::optional<Error> error;
  Json report;
  std::size_t in_flight = 0;  ///< in the network when it ended
};

/// A judge's question about an answer; the attempts at it are one.
[[nodiscard]] std::uint64_t question_id(const std::string& behavior, std::int64_t key);

/// `directory`: of the study, on a real disk. `responder` and `clock` outlive the session.
[[nodiscard]] SessionEnd run_session(const SimStudy& study, const std::string& directory,
                                     const SessionPlan& plan, SimDisk& disk, SimClock& clock,
                                     MockResponder& responder, Traffic& traffic);

}  // namespace understudy::simulation
