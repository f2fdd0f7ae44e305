#pragma once
// The tools of one trajectory: a chain of sources, of which the first that can answer wins, over
// one state of the world. Worlds share nothing that a call can change.
//
// Thread rule: one thread a world.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "environment/recorded_calls.hpp"
#include "environment/tool_rules.hpp"
#include "environment/world_state.hpp"

namespace understudy {

/// Which level of the chain answered.
enum class ToolLevel : std::uint8_t {
  kRecorded,  ///< the same call in this state of the same trajectory
  kKeyed,     ///< the same call elsewhere in the logs, without a write in between
  kServer,    ///< a stateful MCP server
  kCommand,   ///< a command in the sandbox
  kInjected,  ///< a failure as the logs show them
  kNone,      ///< nobody could
};
/// "recorded", "keyed", "server", "command", "injected", "none".
[[nodiscard]] std::string_view tool_level_name(ToolLevel level);

/// Why a source that should have answered did not.
enum class ToolTrouble : std::uint8_t {
  kNone,
  kNoSource,        ///< no level knows the answer
  kServerDied,      ///< ended, or closed its output
  kServerHung,      ///< no answer in time
  kServerFlooded,   ///< more output than its limit
  kServerBroken,    ///< answered what is not the protocol
  kSandboxRefused,  ///< no sandbox to be had here
};
[[nodiscard]] std::string_view tool_trouble_name(ToolTrouble trouble);

struct ToolAnswer {
  ToolLevel level = ToolLevel::kNone;
  std::string result{};   ///< empty where level is kNone
  bool repeated = false;  ///< asked before in this state: the answer given then
  ToolTrouble trouble = ToolTrouble::kNoSource;  ///< kNone where there is a result
};

struct ToolQuestion {
  const ToolCall& call;
  std::string_view canonical;
  const WorldState& state;
  std::uint32_t number = 0;  ///< calls of this trajectory before this one
};

class ToolSource {
 public:
  virtual ~ToolSource() = default;
  /// Nothing: this source can't say; the next one is asked. An answer with level kNone ends the
  /// chain, because what comes after would not know what has happened here.
  [[nodiscard]] virtual std::optional<ToolAnswer> answer(const ToolQuestion& question) = 0;
  /// This source's answer was taken, and the state is now this.
  virtual void taken(const WorldState&) {}
};

class ToolWorld {
 public:
  /// Rules and sources outlive the world.
  ToolWorld(const ToolRules& rules, std::vector<ToolSource*> sources)
      : rules_(rules), sources_(std::move(sources)) {}

  /// A call of the prefix, with the result that the log holds.
  void observe(const ToolCall& call, const std::optional<std::string>& result);

  /// A call of this trajectory that was answered in an earlier session: as if it had been now.
  void restore(const ToolCall& call, const ToolAnswer& answer);

  /// A read that was asked before in this state has the answer it had then.
  [[nodiscard]] ToolAnswer call(const ToolCall& call);

  [[nodiscard]] const WorldState& state() const { return state_; }

 private:
  struct DigestHash {
    std::size_t operator()(const Digest& digest) const { return first64(digest); }
  };
  const ToolRules& rules_;
  std::vector<ToolSource*> sources_;
  WorldState state_;
  std::unordered_map<Digest, ToolAnswer, DigestHash> given_;
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
