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
  const auto line = batch_line("7-0", request, *made);
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

TEST(BatchFiles, LinesThatNameNoRequestAreErrors) {
  const auto made = protocol();
  for (const char* line : {"", "{", "[]", "{\"response\":null}", "{\"custom_id\":\"7-0\",\"resp"}) {
    EXPECT_FALSE(read_batch_line(line, *made).has_value()) << line;
  }
}

TEST(BatchFiles, CustomIdReadsBack) {
  const CustomId largest{.prefix_identity = UINT64_MAX, .draw_index = UINT32_MAX};
  EXPECT_EQ(*read_custom_id(custom_id_of(UINT64_MAX, UINT32_MAX)), largest);
  for (const char* text : {"", "7", "7-", "-0", "07-0", "7-0-1", "7-4294967296", "a-b", "+7-0"}) {
    EXPECT_FALSE(read_custom_id(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace understudy
