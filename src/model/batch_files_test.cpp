#include "model/batch_files.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"

namespace understudy {
namespace {

std::unique_ptr<ChatProtocol> protocol() {
  return make_chat_protocol(*parse_model_spec("openai/m"));
}

TEST(BatchFiles, LineHoldsTheSameBodyAsALiveRequest) {
  ChatRequest request;
  request.messages.emplace_back().content = "two\nlines";
  const auto made = protocol();
  const auto line = batch_line("7-0", request, *made, BatchForm::kOpenAi);
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(line->find('\n'), line->size() - 1) << "one request, one line";
  const Json document = Json::parse(*line);
  EXPECT_EQ(document["custom_id"], "7-0");
  EXPECT_EQ(document["method"], "POST");
  EXPECT_EQ(document["url"], "/v1/chat/completions");
  EXPECT_EQ(document["body"], Json::parse(*made->request_body(request)));
}

TEST(BatchFiles, SplitsAtEitherLimit) {
  BatchSplitter by_count({.requests_max = 2, .bytes_max = 1000});
  EXPECT_EQ(*by_count.file_of(10), 0U);
  EXPECT_EQ(*by_count.file_of(10), 0U);
  EXPECT_EQ(*by_count.file_of(10), 1U);
  BatchSplitter by_bytes({.requests_max = 100, .bytes_max = 25});
  EXPECT_EQ(*by_bytes.file_of(15), 0U);
  EXPECT_EQ(*by_bytes.file_of(10), 0U);
  EXPECT_EQ(*by_bytes.file_of(1), 1U);
  EXPECT_FALSE(by_bytes.file_of(26).has_value());
}

TEST(BatchFiles, AnswerIsReadAsALiveOneIs) {
  const std::string body =
      R"({"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]})";
  const auto made = protocol();
  const auto answer =
      read_batch_line(R"({"id":"x","custom_id":"7-0","response":{"status_code":200,"body":)" +
                          body + R"(},"error":null})",
                      *made);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->custom_id, "7-0");
  EXPECT_EQ(answer->outcome, made->read_answer(body));
}

TEST(BatchFiles, WhatWentWrongIsATypedFailure) {
  const auto made = protocol();
  const auto reason = [&](const std::string& rest) {
    const auto answer = read_batch_line(R"({"custom_id":"7-0",)" + rest + "}", *made);
    EXPECT_TRUE(answer.has_value());
    return std::get<Failure>(answer->outcome).reason;
  };
  EXPECT_EQ(reason(R"("response":null,"error":{"code":"batch_expired","message":"m"})"),
            FailureReason::kTimeout);
  EXPECT_EQ(reason(R"("response":null,"error":null)"), FailureReason::kServerError);
  EXPECT_EQ(reason(R"("response":{"status_code":400,"body":{"error":{"message":"m"}}})"),
            FailureReason::kBadRequest);
  EXPECT_EQ(reason(R"("response":{"status_code":429,"body":{}})"), FailureReason::kRateLimited);
  EXPECT_EQ(reason(R"("response":{"status_code":200,"body":{}})"), FailureReason::kUnexpectedBody);
}

TEST(BatchFiles, LinesThatAreNoObjectsAreErrors) {
  const auto made = protocol();
  for (const char* line : {"", "{", "[]", "{\"custom_id\":\"7-0\",\"resp"}) {
    EXPECT_FALSE(read_batch_line(line, *made).has_value()) << line;
  }
  EXPECT_EQ(read_batch_line("{\"response\":null}", *made)->custom_id, "");
}

TEST(BatchFiles, OnlyWhatSaysNothingAboutTheDrawIsAskedAgain) {
  const auto made = protocol();
  const auto again = [&](const std::string& rest) {
    return read_batch_line(R"({"custom_id":"7-0",)" + rest + "}", *made)->ask_again;
  };
  EXPECT_TRUE(again(R"("response":null,"error":{"code":"batch_expired"})"));
  EXPECT_TRUE(again(R"("response":{"status_code":429,"body":{}})"));
  EXPECT_TRUE(again(R"("response":{"status_code":500,"body":{}})"));
  EXPECT_TRUE(again(R"("response":{"status_code":200,"body":{}})"));
  EXPECT_FALSE(again(R"("response":{"status_code":400,"body":{}})"));
  EXPECT_FALSE(
      again(R"("response":{"status_code":200,"body":{"choices":[{"message":{"content":"a"}}]}})"));
}

TEST(BatchFiles, AnthropicHasItsOwnForm) {
  const auto spec = parse_model_spec("anthropic/claude");
  const auto made = make_chat_protocol(*spec);
  EXPECT_EQ(batch_form(*spec), BatchForm::kAnthropic);
  ChatRequest request;
  request.messages.emplace_back().content = "hi";
  const Json line = Json::parse(*batch_line("7-0", request, *made, BatchForm::kAnthropic));
  EXPECT_EQ(line["params"], Json::parse(*made->request_body(request)));
  EXPECT_EQ(line.size(), 2U);
  const auto read = [&](const std::string& result) {
    return *read_batch_line(R"({"custom_id":"7-0","result":)" + result + "}", *made);
  };
  const BatchAnswer good =
      read(R"({"type":"succeeded","message":{"content":[{"type":"text","text":"a"}]}})");
  EXPECT_EQ(std::get<Completion>(good.outcome).content, "a");
  EXPECT_FALSE(good.ask_again);
  const BatchAnswer bad =
      read(R"({"type":"errored","error":{"type":"error","error":{"type":"invalid_request_error",)"
           R"("message":"the user's own words"}}})");
  EXPECT_EQ(std::get<Failure>(bad.outcome),
            (Failure{FailureReason::kBadRequest, "HTTP 400 invalid_request_error"}));
  EXPECT_FALSE(bad.ask_again);
  EXPECT_TRUE(read(R"({"type":"errored","error":{"error":{"type":"api_error"}}})").ask_again);
  const BatchAnswer late = read(R"({"type":"expired"})");
  EXPECT_EQ(std::get<Failure>(late.outcome).reason, FailureReason::kTimeout);
  EXPECT_TRUE(late.ask_again);
  EXPECT_TRUE(read(R"({"type":"canceled"})").ask_again);
}

TEST(BatchFiles, CustomIdReadsBack) {
  const CustomId largest{
      .tag = "0123cdef", .prefix_identity = UINT64_MAX, .draw_index = UINT32_MAX};
  EXPECT_EQ(*read_custom_id(custom_id_of(largest)), largest);
  EXPECT_LE(custom_id_of(largest).size(), 64U);
  for (const char* text :
       {"", "7-0", "0123cdef", "0123cdef-7", "0123cdef-7-", "0123cdef--0", "0123cdef-07-0",
        "0123cdef-7-0-1", "0123cdef-7-4294967296", "0123cdef-a-b", "0123cdef-+7-0", "123-7-0"}) {
    EXPECT_FALSE(read_custom_id(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace understudy
