#pragma once
// ChatModel: anything that answers chat requests: the candidate, a judge, an auditor. One loop in
// engine/ drives every kind; a model never blocks it: `submit` takes a request, `poll` gives back
// what has ended. Thread rule: all calls from one thread.
//
// Every request ends exactly once, with a completion or a typed failure; retries happen inside.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "records/conversation.hpp"
#include "records/draw.hpp"
#include "records/tokenizer.hpp"

namespace understudy {

/// Unset means: what the server does by itself, as in production.
struct SamplingOptions {
  std::optional<double> temperature;        ///< >= 0; 0 is greedy
  std::optional<double> top_p;              ///< (0, 1]
  std::optional<std::uint32_t> max_tokens;  ///< of the answer
  bool logprobs = false;                    ///< ask for them, where the API offers them
  bool operator==(const SamplingOptions&) const = default;
};

struct ChatRequest {
  std::uint64_t id = 0;           ///< the caller's; returned with the outcome
  std::vector<Message> messages;  ///< the prefix
  std::string tools;              ///< as Conversation::tools; empty: none
  SamplingOptions sampling;
  std::uint64_t seed = 0;
  std::string json_schema;            ///< demand an answer of this JSON schema; empty: free text
  std::uint64_t prefix_identity = 0;  ///< for recorded models: which prefix this is …
  std::uint32_t draw_index = 0;       ///< … and which draw of it …
  std::uint32_t step = 0;             ///< … and which answer of a trajectory, from 0
};

struct ChatOutcome {
  std::uint64_t id = 0;
  DrawOutcome outcome;
  std::uint32_t attempts = 1;  ///< requests sent for it, for cost and diagnosis only
  double latency_ms = 0;       ///< of the last attempt
};

/// What the model loop shows while it runs.
struct ModelStatus {
  std::uint64_t in_flight = 0;          ///< taken and not ended
  std::uint64_t waiting = 0;            ///< of those, for their next attempt
  std::uint64_t concurrency_limit = 0;  ///< now
  std::uint64_t concurrency_max = 0;    ///< what the limit may grow to; 0: it stays
  std::uint64_t prompt_tokens = 0;      ///< so far, this process
  std::uint64_t completion_tokens = 0;
  std::uint64_t requests_sent = 0;  ///< retries included
  std::string note;  ///< why the limit is what it is, or why it is slow ("429: waits 12 s")
};

class ChatModel {
 public:
  virtual ~ChatModel() = default;
  /// What answers, for the manifest: "llama/<file> sha256:…", "openai/gpt-5.1 at https://…".
  [[nodiscard]] virtual std::string identity() const = 0;
  /// How many more requests it will take now; 0: poll first.
  [[nodiscard]] virtual std::size_t free_slots() const = 0;
  virtual void submit(ChatRequest request) = 0;
  /// So many places stay taken by answers that the caller has not stored yet: nothing is sent, also
  /// no retry, that would bring these and what is in flight beyond the most that may be.
  virtual void hold(std::size_t /*places*/) {}
  /// Waits at most `timeout_ms` for something to end. May return nothing.
  [[nodiscard]] virtual std::vector<ChatOutcome> poll(int timeout_ms) = 0;
  [[nodiscard]] virtual ModelStatus status() const = 0;
  /// The model's own tokenizer, or null.
  [[nodiscard]] virtual const Tokenizer* tokenizer() const { return nullptr; }
  /// Whether answering costs money: then `run` asks for a budget or does a pilot first.
  [[nodiscard]] virtual bool costs_money() const { return false; }
};

}  // namespace understudy
