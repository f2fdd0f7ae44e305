#pragma once
// The tools of one trajectory: a chain of sources, of which the first that can answer wins, over
// one state of the world. Worlds share nothing that a call can change.
//
// The last of the chain may be a model, which the world never asks itself, so that one event loop
// can drive any number of worlds:
//
//   ToolReply reply = world.ask(call);
//   while (auto* question = std::get_if<SimulatorQuestion>(&reply)) {
//     DrawOutcome outcome = …;             // of the simulator, to question->messages
//     reply = world.accept(outcome);       // an answer, or the question again with its fault named
//   }
//   ToolAnswer& answer = std::get<ToolAnswer>(reply);   // kNone: `trouble` says why
//
// A world has one open question at a time: calls that a model makes at once are answered in their
// order. What is asked is a function of the logs, the key and the calls so far alone.
//
// Thread rule: one thread a world.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "environment/recorded_calls.hpp"
#include "environment/tool_rules.hpp"
#include "environment/world_facts.hpp"
#include "environment/world_state.hpp"
#include "records/draw.hpp"

namespace understudy {

/// Which level of the chain answered.
enum class ToolLevel : std::uint8_t {
  kRecorded,   ///< the same call in this state of the same trajectory
  kKeyed,      ///< the same call elsewhere in the logs, without a write in between
  kServer,     ///< a stateful MCP server of the trajectory's own
  kCommand,    ///< a command in the sandbox
  kConnector,  ///< a server of the real world, which is only read
  kInjected,   ///< a failure as the logs show them
  kSimulated,  ///< made up by a model
  kNone,       ///< nobody could
};
inline constexpr std::size_t kToolLevelCount = 8;
/// "recorded", "keyed", "server", "command", "connector", "injected", "simulated", "none".
[[nodiscard]] std::string_view tool_level_name(ToolLevel level);

/// Why a source that should have answered did not.
enum class ToolTrouble : std::uint8_t {
  kNone,
  kNoSource,              ///< no level knows the answer
  kServerDied,            ///< ended, or closed its output; over HTTP: could not be reached
  kServerHung,            ///< no answer in time
  kServerFlooded,         ///< more output than its limit
  kServerBroken,          ///< answered what is not the protocol
  kSandboxRefused,        ///< no sandbox to be had here
  kServerRedirected,      ///< sent us elsewhere, where we don't go
  kSimulationFailed,      ///< what the simulator said can't be a result of this tool, twice
  kSimulatorRefused,      ///< it excused itself, twice
  kSimulatorAsked,        ///< it asked the user for something, twice
  kSimulatorUnavailable,  ///< the request to it failed
};
/// As the enumerators, in words with "_"; kSimulationFailed is "tool_simulation_failed".
[[nodiscard]] std::string_view tool_trouble_name(ToolTrouble trouble);

struct ToolAnswer {
  ToolLevel level = ToolLevel::kNone;
  std::string result{};      ///< empty where level is kNone
  bool repeated = false;     ///< asked before in this state: the answer given then
  bool asked_again = false;  ///< kSimulated: the first answer could not be one of this tool's
  std::uint32_t contradictions = 0;              ///< facts that contradict what was said before
  ToolTrouble trouble = ToolTrouble::kNoSource;  ///< kNone where there is a result
};

struct ToolQuestion {
  const ToolCall& call;
  std::string_view canonical;
  const WorldState& state;
  std::uint32_t number = 0;           ///< calls of this trajectory before this one
  const WorldFacts* facts = nullptr;  ///< what was said before; null: not kept
};

/// What a model is asked in a tool's stead.
struct SimulatorQuestion {
  std::vector<Message> messages;
  std::uint64_t seed = 0;
  std::uint32_t attempt = 0;  ///< 1: asked again
};
using ToolReply = std::variant<ToolAnswer, SimulatorQuestion>;

class ToolSource {
 public:
  virtual ~ToolSource() = default;
  /// Nothing: this source can't say; the next one is asked. An answer with level kNone ends the
  /// chain, because what comes after would not know what has happened here.
  [[nodiscard]] virtual std::optional<ToolAnswer> answer(const ToolQuestion& question) = 0;
  /// This source's answer was taken, and the state is now this.
  virtual void taken(const WorldState&) {}
};

/// Level (d), for one trajectory (simulated_tool.hpp).
class ToolSimulator {
 public:
  virtual ~ToolSimulator() = default;
  [[nodiscard]] virtual SimulatorQuestion question(const ToolQuestion& question) = 0;
  /// Reads what the model said to the last question: an answer, or another question.
  [[nodiscard]] virtual ToolReply read(const ToolQuestion& question,
                                       const DrawOutcome& outcome) = 0;
  /// A call of the trajectory that has its result, whoever answered it.
  virtual void happened(const ToolCall& call, const std::optional<std::string>& result) = 0;
};

class ToolWorld {
 public:
  /// Rules, sources, simulator and kinds outlive the world. Without a simulator, what no source
  /// knows is not answered; without kinds, contradictions are not looked for.
  ToolWorld(const ToolRules& rules, std::vector<ToolSource*> sources,
            ToolSimulator* simulator = nullptr, const FactKinds* kinds = nullptr)
      : rules_(rules), sources_(std::move(sources)), simulator_(simulator) {
    if (kinds != nullptr) facts_.emplace(*kinds);
  }

  /// A call of the prefix, with the result that the log holds.
  void observe(const ToolCall& call, const std::optional<std::string>& result);

  /// A call of this trajectory that was answered in an earlier session: as if it had been now.
  void restore(const ToolCall& call, const ToolAnswer& answer);

  /// A call that was asked before in this state, and left it as it was, has the answer it had then.
  /// No question is open.
  [[nodiscard]] ToolReply ask(const ToolCall& call);
  /// What became of the open question.
  [[nodiscard]] ToolReply accept(const DrawOutcome& outcome);
  /// Of a world without a simulator.
  [[nodiscard]] ToolAnswer call(const ToolCall& call);

  [[nodiscard]] const WorldState& state() const { return state_; }

 private:
  struct DigestHash {
    std::size_t operator()(const Digest& digest) const { return first64(digest); }
  };
  struct Open {
    ToolCall call;
    std::string canonical;
    std::uint32_t number = 0;
  };
  [[nodiscard]] ToolQuestion question_of(const Open& open) const {
    return {.call = open.call,
            .canonical = open.canonical,
            .state = state_,
            .number = open.number,
            .facts = facts_ ? &*facts_ : nullptr};
  }
  ToolAnswer settle(const Open& open, ToolAnswer answer, ToolSource* source);

  const ToolRules& rules_;
  std::vector<ToolSource*> sources_;
  ToolSimulator* simulator_;
  WorldState state_;
  std::optional<WorldFacts> facts_;
  std::unordered_map<Digest, ToolAnswer, DigestHash> given_;
  std::optional<Open> open_;
  std::uint32_t calls_ = 0;
};

/// Level (a) for one trajectory of the logs.
class RecordedSource final : public ToolSource {
 public:
  RecordedSource(const RecordedCalls& calls, std::uint32_t trajectory)
      : calls_(calls), trajectory_(trajectory) {}
  [[nodiscard]] std::optional<ToolAnswer> answer(const ToolQuestion& question) override;

 private:
  const RecordedCalls& calls_;
  std::uint32_t trajectory_;
};

/// Level (b).
class KeyedSource final : public ToolSource {
 public:
  KeyedSource(const RecordedCalls& calls, std::optional<std::uint32_t> trajectory,
              RecordedCalls::Donors donors = RecordedCalls::Donors::kOtherTrajectories)
      : calls_(calls), trajectory_(trajectory), donors_(donors) {}
  [[nodiscard]] std::optional<ToolAnswer> answer(const ToolQuestion& question) override;

 private:
  const RecordedCalls& calls_;
  std::optional<std::uint32_t> trajectory_;
  RecordedCalls::Donors donors_;
};

/// What level (c) has in common: a world of its own that must hear of every change, also of those
/// that other levels answered. It is told before it is asked; if it fails, it is begun anew once
/// and told everything again, and then given up.
class StatefulSource : public ToolSource {
 public:
  [[nodiscard]] std::optional<ToolAnswer> answer(const ToolQuestion& question) final;
  void taken(const WorldState& state) final { told_ = state.changes().size(); }

 protected:
  /// A call made; kNone with the trouble when it could not be.
  [[nodiscard]] virtual ToolAnswer perform(const ToolCall& call) = 0;
  [[nodiscard]] virtual bool knows(const std::string& tool) = 0;
  /// Back to the world as it was at the start.
  virtual void restart() = 0;

 private:
  [[nodiscard]] ToolAnswer attempt(const ToolQuestion& question);
  std::size_t told_ = 0;  // changes of the state that this source has made as well
  ToolTrouble broken_ = ToolTrouble::kNone;  // failed twice: it is not tried again
};

}  // namespace understudy
