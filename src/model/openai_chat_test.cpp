#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.hpp"
#include "model/chat_protocol.hpp"

namespace understudy {
namespace {

Json body_of(const ChatRequest& request, std::string_view model = "vllm/m") {
  const auto protocol = make_chat_protocol(*parse_model_spec(model));
  const auto body = protocol->request_body(request);
  EXPECT_TRUE(body.has_value());
  auto document = parse_json(*body);
  EXPECT_TRUE(document.has_value()) << *body;
  return *document;
}

Message message(Role role, std::string content) {
  Message made;
  made.role = role;
  made.content = std::move(content);
  return made;
}

DrawOutcome read(std::string_view body) {
  return make_chat_protocol(*parse_model_spec("vllm/m"))->read_answer(body);
}

TEST(OpenAiChat, SamplingIsSentOnlyWhenSet) {
  ChatRequest request;
  request.messages = {message(Role::kUser, "hi")};
  request.seed = 5ULL << 11;
  EXPECT_EQ(body_of(request), Json::parse(R"({"model":"m","seed":5,
      "messages":[{"role":"user","content":"hi"}]})"));
  request.sampling = {.temperature = 0.5, .top_p = 0.9, .max_tokens = 192};
  const Json body = body_of(request);
  EXPECT_EQ(body["temperature"], 0.5);
  EXPECT_EQ(body["top_p"], 0.9);
  EXPECT_EQ(body["max_tokens"], 192);
  EXPECT_EQ(body_of(request, "openai/m")["max_completion_tokens"], 192);
  EXPECT_FALSE(body_of(request, "openai/m").contains("max_tokens"));
}

TEST(OpenAiChat, DeveloperRoleIsSystemWhereItIsNotKnown) {
  ChatRequest request;
  request.messages = {message(Role::kDeveloper, "d")};
  EXPECT_EQ(body_of(request)["messages"][0]["role"], "system");
  EXPECT_EQ(body_of(request, "openai/m")["messages"][0]["role"], "developer");
}

TEST(OpenAiChat, ToolsAndTheirCallsGoOutAsLogged) {
  ChatRequest request;
  request.tools = R"([{"type":"function","function":{"name":"f","parameters":{"a":1}}}])";
  Message call = message(Role::kAssistant, "");
  call.tool_calls = {{.id = "c9", .name = "f", .arguments = "{\"x\": 1}"}};
  Message result = message(Role::kTool, "42");
  result.tool_call_id = "c9";
  request.messages = {message(Role::kUser, "u"), call, result};
  const Json body = body_of(request);
  EXPECT_EQ(body["tools"], Json::parse(request.tools));
  EXPECT_EQ(body["messages"][1], Json::parse(R"({"role":"assistant","content":null,"tool_calls":
      [{"id":"c9","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}}]})"));
  EXPECT_EQ(body["messages"][2],
            Json::parse(R"({"role":"tool","content":"42","tool_call_id":"c9"})"));
}

TEST(OpenAiChat, CallsLoggedWithoutIdsAreTiedToTheirResultsInOrder) {
  ChatRequest request;
  Message calls = message(Role::kAssistant, "");
  calls.tool_calls = {{.id = "", .name = "f", .arguments = "{}"},
                      {.id = "", .name = "g", .arguments = "{}"}};
  request.messages = {calls, message(Role::kTool, "of f"), message(Role::kTool, "of g")};
  const Json sent = body_of(request)["messages"];
  EXPECT_EQ(sent[0]["tool_calls"][0]["id"], sent[1]["tool_call_id"]);
  EXPECT_EQ(sent[0]["tool_calls"][1]["id"], sent[2]["tool_call_id"]);
  EXPECT_NE(sent[1]["tool_call_id"], sent[2]["tool_call_id"]);
}

TEST(OpenAiChat, ToolsOfOtherProvidersAreRewritten) {
  ChatRequest request;
  request.tools = R"([{"name":"f","description":"d","input_schema":{"type":"object"}},
                      {"type":"web_search_20250305","name":"web_search"}])";
  EXPECT_EQ(body_of(request)["tools"], Json::parse(R"([{"type":"function","function":
      {"name":"f","description":"d","parameters":{"type":"object"}}},
      {"type":"web_search_20250305","name":"web_search"}])"));
}

TEST(OpenAiChat, ToolChoiceGoesOutAsLogged) {
  const auto sent = [](const std::string& choice, std::string_view model) {
    ChatRequest request;
    request.tools =
        R"({"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":)" + choice + "}";
    const Json body = body_of(request, model);
    EXPECT_TRUE(body["tools"].is_array() && body["tools"].size() == 1) << body;
    return body.contains("tool_choice") ? body["tool_choice"] : Json("nothing");
  };
  const std::string chat_name = R"({"type":"function","function":{"name":"f"}})";
  const std::string flat_name = R"({"type":"function","name":"f"})";
  const std::string anthropic_name = R"({"type":"tool","name":"f"})";
  for (const std::string& logged : {chat_name, flat_name, anthropic_name}) {
    EXPECT_EQ(sent(logged, "vllm/m"), Json::parse(chat_name));
    EXPECT_EQ(sent(logged, "openai-responses/m"), Json::parse(flat_name));
    EXPECT_EQ(sent(logged, "anthropic/m"), Json::parse(anthropic_name));
  }
  for (const char* logged : {"\"required\"", R"({"type":"any"})"}) {
    EXPECT_EQ(sent(logged, "vllm/m"), "required");
    EXPECT_EQ(sent(logged, "openai-responses/m"), "required");
    EXPECT_EQ(sent(logged, "anthropic/m"), Json::parse(R"({"type":"any"})"));
  }
  EXPECT_EQ(sent("\"none\"", "vllm/m"), "none");
  EXPECT_EQ(sent("\"none\"", "anthropic/m"), Json::parse(R"({"type":"none"})"));
  const std::string own = R"({"type":"allowed_tools","mode":"auto"})";
  EXPECT_EQ(sent(own, "openai-responses/m"), Json::parse(own)) << "what we do not know, as it is";
}

TEST(OpenAiChat, WithoutAToolChoiceThereIsNone) {
  ChatRequest request;
  request.tools = R"([{"type":"function","function":{"name":"f"}}])";
  for (const char* model : {"vllm/m", "openai-responses/m", "anthropic/m"}) {
    EXPECT_FALSE(body_of(request, model).contains("tool_choice")) << model;
  }
}

TEST(OpenAiChat, LogprobsAreKeptWhereTheyAreAskedForAndOffered) {
  ChatRequest request;
  EXPECT_FALSE(body_of(request).contains("logprobs"));
  request.sampling.logprobs = true;
  EXPECT_EQ(body_of(request)["logprobs"], true);
  EXPECT_EQ(body_of(request, "openai-responses/m")["include"],
            Json::parse(R"(["message.output_text.logprobs"])"));
  EXPECT_FALSE(body_of(request, "anthropic/m").contains("logprobs"));
  const DrawOutcome outcome = read(R"({"choices":[{"message":{"content":"ab"},"logprobs":
      {"content":[{"token":"a","logprob":-0.12345},{"token":"b","logprob":-9999.0}]}}]})");
  EXPECT_THAT(std::get<Completion>(outcome).logprobs, ::testing::ElementsAre(-0.123, -1000));
  EXPECT_TRUE(std::get<Completion>(read(R"({"choices":[{"message":{"content":"a"},
      "logprobs":null}]})"))
                  .logprobs.empty());
}

TEST(OpenAiChat, ThinkingPartsAreReasoning) {
  const DrawOutcome outcome = read(R"({"choices":[{"message":{"content":[
      {"type":"thinking","thinking":[{"type":"text","text":"hm"}]},
      {"type":"text","text":"a"},{"type":"text","text":"b"}]}}]})");
  EXPECT_EQ(std::get<Completion>(outcome).content, "ab");
  EXPECT_EQ(std::get<Completion>(outcome).reasoning, "hm");
}

TEST(OpenAiChat, SchemaIsDemandedStrictly) {
  ChatRequest request;
  request.json_schema = R"({"type":"object"})";
  const Json format = body_of(request)["response_format"];
  EXPECT_EQ(format["type"], "json_schema");
  EXPECT_EQ(format["json_schema"]["strict"], true);
  EXPECT_EQ(format["json_schema"]["schema"]["type"], "object");
}

TEST(OpenAiChat, ReadsToolCallsReasoningAndUsage) {
  const DrawOutcome outcome = read(R"({"choices":[{"message":{"content":null,
      "reasoning_content":"think","tool_calls":[{"id":"a","type":"function","function":
      {"name":"f","arguments":"{\"x\":1}"}},{"id":"b","function":{"name":"g","arguments":
      {"y":2}}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":7}})");
  ASSERT_TRUE(std::holds_alternative<Completion>(outcome));
  const auto& completion = std::get<Completion>(outcome);
  EXPECT_EQ(completion.reasoning, "think");
  EXPECT_EQ(completion.finish, FinishReason::kToolCalls);
  ASSERT_EQ(completion.tool_calls.size(), 2U);
  EXPECT_EQ(completion.tool_calls[0].arguments, "{\"x\":1}");
  EXPECT_EQ(completion.tool_calls[1].arguments, "{\"y\":2}") << "an object becomes its text";
  EXPECT_EQ(completion.usage, (Usage{.prompt_tokens = 7, .completion_tokens = 0}));
}

TEST(OpenAiChat, MapsEveryFinishReason) {
  const std::vector<std::pair<std::string, FinishReason>> known = {
      {"\"stop\"", FinishReason::kStop},
      {"\"length\"", FinishReason::kLength},
      {"\"function_call\"", FinishReason::kToolCalls},
      {"\"content_filter\"", FinishReason::kContentFilter},
      {"\"new\"", FinishReason::kUnknown},
      {"null", FinishReason::kUnknown}};
  for (const auto& [name, finish] : known) {
    const auto outcome =
        read(R"({"choices":[{"message":{"content":"x"},"finish_reason":)" + name + "}]}");
    EXPECT_EQ(std::get<Completion>(outcome).finish, finish) << name;
  }
}

TEST(OpenAiChat, RefusalBesideASchemaIsTheAnswersText) {
  const auto outcome = read(R"({"choices":[{"message":{"content":null,"refusal":"I can't."}}]})");
  EXPECT_EQ(std::get<Completion>(outcome).content, "I can't.");
}

TEST(OpenAiChat, InvalidUtf8InAnAnswerIsReplaced) {
  const auto outcome = read("{\"choices\":[{\"message\":{\"content\":\"a\xFFz\"}}]}");
  EXPECT_EQ(std::get<Completion>(outcome).content, "a\uFFFDz");
}

TEST(SafeWord, RefusesWhatCouldBeTextOrAKey) {
  EXPECT_EQ(safe_word("rate_limit_exceeded"), "rate_limit_exceeded");
  EXPECT_EQ(safe_word("the user's words"), "");
  EXPECT_EQ(safe_word(std::string(65, 'a')), "");
}

}  // namespace
}  // namespace understudy
