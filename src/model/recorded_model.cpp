#include "model/recorded_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "base/json.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::array<std::pair<std::string_view, FinishReason>, 5> kFinishNames = {{
    {"stop", FinishReason::kStop},
    {"length", FinishReason::kLength},
    {"tool_calls", FinishReason::kToolCalls},
    {"content_filter", FinishReason::kContentFilter},
    {"unknown", FinishReason::kUnknown},
}};

/// Reads members of one line and remembers the first thing that is wrong with it.
class LineReader {
 public:
  LineReader(std::string_view file, std::uint64_t line) : file_(file), line_(line) {}

  Result<void> read(std::string_view text, RecordedDraws& draws) {
    const Result<Json> document = parse_json(text);
    if (!document) return wrong(document.error().message);
    UNDERSTUDY_CHECK(only(*document, {"prefix", "draw", "completion", "failure"}));
    std::uint64_t prefix = 0;
    const std::string digits = text_of(*document, "prefix");
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
      return wrong("\"prefix\" must be a number written as a string");
    }
    const Json draw = document->value("draw", Json());
    if (!draw.is_number_unsigned() || draw.get<std::uint64_t>() > UINT32_MAX) {
      return wrong("\"draw\" must be a number from 0");
    }
    UNDERSTUDY_TRY(DrawOutcome outcome, read_outcome(*document));
    const auto key = std::pair(prefix, draw.get<std::uint32_t>());
    if (!draws.emplace(key, std::move(outcome)).second) {
      return wrong("this draw of this prefix is recorded a second time");
    }
    return {};
  }

 private:
  [[nodiscard]] Unexpected wrong(std::string message) const {
    return unexpected(ErrorCode::kInput, std::move(message),
                      {.file = std::string(file_), .line = line_, .byte_offset = {}});
  }

  Result<void> only(const Json& object, const std::vector<std::string>& keys) const {
    if (!object.is_object()) return wrong("expected a JSON object");
    for (const auto& [key, value] : object.items()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
        return wrong(fmt::format("unknown member{}", did_you_mean(key, keys)));
      }
    }
    return {};
  }

  static std::string text_of(const Json& object, const char* key) {
    const Json value = object.value(key, Json());
    return value.is_string() ? value.get<std::string>() : std::string();
  }

  Result<DrawOutcome> read_outcome(const Json& document) const {
    if (document.contains("completion") == document.contains("failure")) {
      return wrong("needs either \"completion\" or \"failure\"");
    }
    if (document.contains("completion")) return read_completion(document["completion"]);
    const Json& failure = document["failure"];
    UNDERSTUDY_CHECK(only(failure, {"reason", "detail"}));
    const std::string name = text_of(failure, "reason");
    for (std::uint8_t i = 0; i < kFailureReasonCount; ++i) {
      const auto reason = static_cast<FailureReason>(i);
      if (failure_name(reason) == name) {
        return DrawOutcome(Failure{reason, text_of(failure, "detail")});
      }
    }
    return wrong("unknown \"reason\" of a failure");
  }

  Result<DrawOutcome> read_completion(const Json& json) const {
    UNDERSTUDY_CHECK(
        only(json, {"content", "reasoning", "tool_calls", "finish", "usage", "logprobs"}));
    Completion completion;
    completion.content = text_of(json, "content");
    completion.reasoning = text_of(json, "reasoning");
    const std::string finish = json.contains("finish") ? text_of(json, "finish") : "unknown";
    const auto* const known = std::find_if(kFinishNames.begin(), kFinishNames.end(),
                                           [&](const auto& one) { return one.first == finish; });
    if (known == kFinishNames.end()) return wrong("unknown \"finish\"");
    completion.finish = known->second;
    if (const Json calls = json.value("tool_calls", Json::array()); calls.is_array()) {
      for (const Json& call : calls) {
        UNDERSTUDY_CHECK(only(call, {"id", "name", "arguments"}));
        completion.tool_calls.push_back({.id = text_of(call, "id"),
                                         .name = text_of(call, "name"),
                                         .arguments = text_of(call, "arguments")});
      }
    }
    if (const Json usage = json.value("usage", Json::object()); usage.is_object()) {
      const auto count = [&](const char* key) {
        const Json value = usage.value(key, Json());
        return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
      };
      completion.usage = {.prompt_tokens = count("prompt_tokens"),
                          .completion_tokens = count("completion_tokens")};
    }
    if (const Json logprobs = json.value("logprobs", Json::array()); logprobs.is_array()) {
      for (const Json& one : logprobs) {
        if (!one.is_number()) return wrong("\"logprobs\" must be numbers");
        completion.logprobs.push_back(rounded_logprob(one.get<double>()));
      }
    }
    return DrawOutcome(std::move(completion));
  }

  std::string_view file_;
  std::uint64_t line_;
};

class RecordedModel final : public ChatModel {
 public:
  RecordedModel(std::string identity, RecordedLookup lookup)
      : identity_(std::move(identity)), lookup_(std::move(lookup)) {}

  [[nodiscard]] std::string identity() const override { return identity_; }
  [[nodiscard]] std::size_t free_slots() const override {
    constexpr std::size_t kBatch = 1024;
    return ended_.size() >= kBatch ? 0 : kBatch - ended_.size();
  }

  void submit(ChatRequest request) override {
    std::optional<DrawOutcome> outcome =
        lookup_(request.prefix_identity, request.draw_index, request.step);
    if (!outcome) {
      outcome = Failure{FailureReason::kNotRecorded,
                        fmt::format("draw {} of this prefix", request.draw_index)};
    } else if (const auto* const completion = std::get_if<Completion>(&*outcome)) {
      status_.prompt_tokens += completion->usage.prompt_tokens;
      status_.completion_tokens += completion->usage.completion_tokens;
    }
    ended_.push_back({.id = request.id, .outcome = std::move(*outcome)});
  }

  [[nodiscard]] std::vector<ChatOutcome> poll(int /*timeout_ms*/) override {
    return std::exchange(ended_, {});
  }

  [[nodiscard]] ModelStatus status() const override {
    ModelStatus status = status_;
    status.in_flight = ended_.size();
    status.concurrency_limit = free_slots() + ended_.size();
    return status;
  }

 private:
  std::string identity_;
  RecordedLookup lookup_;
  std::vector<ChatOutcome> ended_;
  ModelStatus status_;
};

}  // namespace

std::unique_ptr<ChatModel> make_recorded_model(std::string identity, RecordedLookup lookup) {
  return std::make_unique<RecordedModel>(std::move(identity), std::move(lookup));
}

Result<RecordedDraws> parse_recorded(std::string_view jsonl, std::string_view file) {
  RecordedDraws draws;
  std::uint64_t number = 0;
  for (const std::string_view line : split(jsonl, '\n')) {
    ++number;
    if (trimmed(line).empty()) continue;
    UNDERSTUDY_CHECK(LineReader(file, number).read(line, draws));
  }
  return draws;
}

std::string recorded_line(std::uint64_t prefix_identity, std::uint32_t draw,
                          const DrawOutcome& outcome) {
  Json line = {{"prefix", std::to_string(prefix_identity)}, {"draw", draw}};
  if (const auto* const failure = std::get_if<Failure>(&outcome)) {
    line["failure"] = {{"reason", failure_name(failure->reason)}, {"detail", failure->detail}};
  } else {
    const auto& completion = std::get<Completion>(outcome);
    Json calls = Json::array();
    for (const ToolCall& call : completion.tool_calls) {
      calls.push_back({{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
    }
    Json& json = line["completion"];
    json = {{"content", completion.content},
            {"usage",
             {{"prompt_tokens", completion.usage.prompt_tokens},
              {"completion_tokens", completion.usage.completion_tokens}}}};
    if (!completion.reasoning.empty()) json["reasoning"] = completion.reasoning;
    if (!calls.empty()) json["tool_calls"] = std::move(calls);
    if (!completion.logprobs.empty()) json["logprobs"] = completion.logprobs;
    const auto* const known =
        std::find_if(kFinishNames.begin(), kFinishNames.end(),
                     [&](const auto& one) { return one.second == completion.finish; });
    json["finish"] = known->first;
  }
  return write_json(line, JsonStyle::kCanonical) + "\n";
}

}  // namespace understudy
