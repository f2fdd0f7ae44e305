// Anthropic's Messages and OpenAI's Responses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.hpp"
#include "model/chat_protocol.hpp"

namespace understudy {
namespace {

std::unique_ptr<ChatProtocol> protocol(std::string_view model) {
  return make_chat_protocol(*parse_model_spec(model));
}

ChatRequest tool_conversation() {
  ChatRequest request;
  request.tools = R"([{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}])";
  request.messages.resize(4);
  request.messages[0].role = Role::kSystem;
  request.messages[0].content = "be brief";
  request.messages[1].content = "what is it?";
  request.messages[2].role = Role::kAssistant;
  request.messages[2].content = "let me look";
  request.messages[2].tool_calls = {{.id = "", .name = "f", .arguments = "{\"x\":1}"}};
  request.messages[3].role = Role::kTool;
  request.messages[3].content = "42";
  request.sampling.max_tokens = 100;
  return request;
}

TEST(Anthropic, WritesSystemBlocksAndTools) {
  const auto body = protocol("anthropic/claude")->request_body(tool_conversation());
  ASSERT_TRUE(body.has_value());
  EXPECT_EQ(Json::parse(*body), Json::parse(R"({"model":"claude","max_tokens":100,
      "system":"be brief","tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[
      {"role":"user","content":[{"type":"text","text":"what is it?"}]},
      {"role":"assistant","content":[{"type":"text","text":"let me look"},
        {"type":"tool_use","id":"call_000001","name":"f","input":{"x":1}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"call_000001",
        "content":"42"}]}]})"));
}

TEST(Anthropic, KeyGoesIntoItsOwnHeader) {
  EXPECT_THAT(protocol("anthropic/claude")->headers("k1"), ::testing::Contains("x-api-key: k1"));
}

TEST(Anthropic, ReadsBlocksAndUsage) {
  const DrawOutcome outcome = protocol("anthropic/claude")->read_answer(R"({"type":"message",
      "content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"a"},
      {"type":"tool_use","id":"t1","name":"f","input":{"x":1}}],"stop_reason":"tool_use",
      "usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":5}})");
  ASSERT_TRUE(std::holds_alternative<Completion>(outcome));
  const auto& completion = std::get<Completion>(outcome);
  EXPECT_EQ(completion.content, "a");
  EXPECT_EQ(completion.reasoning, "hm");
  ASSERT_EQ(completion.tool_calls.size(), 1U);
  EXPECT_EQ(completion.tool_calls[0].arguments, R"({"x":1})");
  EXPECT_EQ(completion.finish, FinishReason::kToolCalls);
  EXPECT_EQ(completion.usage, (Usage{.prompt_tokens = 7, .completion_tokens = 5}));
}

TEST(Anthropic, SchemaIsDemandedAsAToolWhoseInputIsTheAnswer) {
  ChatRequest request = tool_conversation();
  request.tools.clear();
  request.json_schema = R"({"type":"object"})";
  const auto made = protocol("anthropic/claude");
  const Json body = Json::parse(*made->request_body(request));
  EXPECT_EQ(body["tool_choice"]["name"], body["tools"][0]["name"]);
  const DrawOutcome outcome = made->read_answer(R"({"content":[{"type":"tool_use","id":"t",
      "name":"answer","input":{"verdict":"absent"}}],"stop_reason":"tool_use"})");
  const auto& completion = std::get<Completion>(outcome);
  EXPECT_EQ(completion.content, R"({"verdict":"absent"})");
  EXPECT_TRUE(completion.tool_calls.empty());
  EXPECT_EQ(completion.finish, FinishReason::kStop);
}

TEST(Anthropic, ErrorsAreTyped) {
  const auto made = protocol("anthropic/claude");
  const auto reason = [&](std::string_view body) {
    return std::get<Failure>(made->read_answer(body)).reason;
  };
  EXPECT_EQ(reason("<html>"), FailureReason::kNotJson);
  EXPECT_EQ(reason("{}"), FailureReason::kUnexpectedBody);
  EXPECT_EQ(reason(R"({"type":"error","error":{"type":"overloaded_error","message":"m"}})"),
            FailureReason::kErrorInBody);
}

TEST(OpenAiResponses, WritesItemsAndFlatTools) {
  const auto body = protocol("openai-responses/gpt")->request_body(tool_conversation());
  ASSERT_TRUE(body.has_value());
  EXPECT_EQ(Json::parse(*body), Json::parse(R"({"model":"gpt","max_output_tokens":100,
      "store":false,"tools":[{"type":"function","name":"f","parameters":{"type":"object"}}],
      "input":[{"role":"system","content":"be brief"},{"role":"user","content":"what is it?"},
      {"role":"assistant","content":"let me look"},
      {"type":"function_call","call_id":"call_000001","name":"f","arguments":"{\"x\":1}"},
      {"type":"function_call_output","call_id":"call_000001","output":"42"}]})"));
}

TEST(OpenAiResponses, ReadsItemsAndUsage) {
  const DrawOutcome outcome = protocol("openai-responses/gpt")->read_answer(R"({"error":null,
      "status":"completed","output":[{"type":"reasoning","summary":[{"type":"summary_text",
      "text":"hm"}]},{"type":"message","content":[{"type":"output_text","text":"a"}]},
      {"type":"function_call","call_id":"c1","name":"f","arguments":"{}"}],
      "usage":{"input_tokens":3,"output_tokens":5}})");
  ASSERT_TRUE(std::holds_alternative<Completion>(outcome));
  const auto& completion = std::get<Completion>(outcome);
  EXPECT_EQ(completion.content, "a");
  EXPECT_EQ(completion.reasoning, "hm");
  ASSERT_EQ(completion.tool_calls.size(), 1U);
  EXPECT_EQ(completion.tool_calls[0].id, "c1");
  EXPECT_EQ(completion.finish, FinishReason::kToolCalls);
  EXPECT_EQ(completion.usage, (Usage{.prompt_tokens = 3, .completion_tokens = 5}));
}

TEST(OpenAiResponses, ReadsOpenReasoningAndLogprobs) {
  const DrawOutcome outcome = protocol("openai-responses/gpt")->read_answer(R"({
      "status":"completed","output":[{"type":"reasoning","summary":[],"content":[
      {"type":"reasoning_text","text":"hm"}]},{"type":"message","content":[{"type":"output_text",
      "text":"a","logprobs":[{"token":"a","logprob":-0.5}]}]}]})");
  const auto& completion = std::get<Completion>(outcome);
  EXPECT_EQ(completion.reasoning, "hm");
  EXPECT_EQ(completion.content, "a");
  EXPECT_THAT(completion.logprobs, ::testing::ElementsAre(-0.5));
}

TEST(OpenAiResponses, IncompleteAnswersSayWhy) {
  const auto made = protocol("openai-responses/gpt");
  const auto finish = [&](std::string_view reason) {
    return std::get<Completion>(made->read_answer(R"({"status":"incomplete","output":[],)"
                                                  R"("incomplete_details":{"reason":")" +
                                                  std::string(reason) + "\"}}"))
        .finish;
  };
  EXPECT_EQ(finish("max_output_tokens"), FinishReason::kLength);
  EXPECT_EQ(finish("content_filter"), FinishReason::kContentFilter);
  EXPECT_EQ(finish("other"), FinishReason::kUnknown);
}

TEST(OpenAiResponses, FailedStatusIsAnErrorInTheBody) {
  const auto made = protocol("openai-responses/gpt");
  const auto failure = std::get<Failure>(
      made->read_answer(R"({"status":"failed","error":{"code":"server_error","message":"m"}})"));
  EXPECT_EQ(failure.reason, FailureReason::kErrorInBody);
  EXPECT_EQ(failure.detail, "server_error");
}

TEST(Moderations, SendTheLastMessageAndReadScores) {
  const auto moderations = make_moderation_protocol(*parse_model_spec("vllm/moderator"));
  ChatRequest request;
  request.messages.resize(1);
  request.messages[0].content = "a \"text\"";
  EXPECT_EQ(moderations->path(), "/moderations");
  EXPECT_EQ(Json::parse(*moderations->request_body(request)),
            Json::parse(R"({"model":"moderator","input":"a \"text\""})"));
  const DrawOutcome outcome = moderations->read_answer(
      R"({"results":[{"flagged":true,"category_scores":{"hate":0.9,"self-harm":0.1}}]})");
  ASSERT_TRUE(std::holds_alternative<Completion>(outcome));
  EXPECT_EQ(Json::parse(std::get<Completion>(outcome).content),
            Json::parse(R"({"hate":0.9,"self-harm":0.1})"));
  const auto reason = [&](std::string_view body) {
    return std::get<Failure>(moderations->read_answer(body)).reason;
  };
  EXPECT_EQ(reason("<html>"), FailureReason::kNotJson);
  EXPECT_EQ(reason(R"({"results":[]})"), FailureReason::kUnexpectedBody);
  EXPECT_EQ(reason(R"({"results":[{"flagged":true}]})"), FailureReason::kUnexpectedBody);
  EXPECT_EQ(reason(R"({"error":{"code":"x"}})"), FailureReason::kErrorInBody);
}

TEST(Embeddings, SendTheTextAndReadOneVector) {
  const auto embeddings = make_embedding_protocol(*parse_model_spec("vllm/embedder"));
  ChatRequest request;
  request.messages.resize(1);
  request.messages[0].content = "a \"text\"";
  EXPECT_EQ(embeddings->path(), "/embeddings");
  EXPECT_EQ(Json::parse(*embeddings->request_body(request)),
            Json::parse(R"({"model":"embedder","input":"a \"text\""})"));
  const auto said = [&](std::string_view body) {
    return std::get<Completion>(embeddings->read_answer(body));
  };
  const Completion good =
      said(R"({"data":[{"embedding":[0.5,-1]}],"usage":{"prompt_tokens":7,"total_tokens":7}})");
  EXPECT_EQ(Json::parse(good.content), Json::parse("[0.5,-1]"));
  EXPECT_EQ(good.usage, (Usage{.prompt_tokens = 7, .completion_tokens = 0}));
  // What is no vector is for the reader to refuse: asking again would not change it.
  EXPECT_EQ(said(R"({"data":[{"embedding":[0.5, NaN]}]})").content, "NaN");
  EXPECT_EQ(said(R"({"data":[{"embedding":"AAAA"}]})").content, "AAAA");
  const auto reason = [&](std::string_view body) {
    return std::get<Failure>(embeddings->read_answer(body)).reason;
  };
  EXPECT_EQ(reason("<html>"), FailureReason::kNotJson);
  EXPECT_EQ(reason(R"({"data":[]})"), FailureReason::kUnexpectedBody);
  EXPECT_EQ(reason(R"({"data":[{"index":0}]})"), FailureReason::kUnexpectedBody);
  EXPECT_EQ(reason(R"({"error":{"code":"x"}})"), FailureReason::kErrorInBody);
}

}  // namespace
}  // namespace understudy
