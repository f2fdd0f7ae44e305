// The providers' batch interfaces through real sockets.
#include "model/batch_api.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "base/json.hpp"
#include "model/raw_server_test.hpp"

namespace understudy {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kKey = "sk-very-secret";

RemoteModel model_at(const std::string& spec, const std::string& base_url) {
  ModelOptions options;
  options.base_urls = {base_url};
  options.environment = [](std::string_view) { return std::optional<std::string>(kKey); };
  return std::move(*remote_model(spec, options, true));
}

std::string temporary(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + "understudy_batch_api_" + name;
  std::ofstream(path) << text;
  return path;
}

std::string read_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(BatchApi, OpenAiTakesAFileThenABatch) {
  RawServer server([](std::size_t index) {
    return RawAnswer{http_answer(
        200, index == 0 ? R"({"id":"file-1"})" : R"({"id":"batch_1","status":"validating"})")};
  });
  const auto api = make_batch_api(model_at("openai/m", server.base_url()));
  const auto batch = api->submit(temporary("in", "{\"custom_id\":\"a\"}\n"), "its-name");
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->id, "batch_1");
  EXPECT_FALSE(batch->over);
  const std::string upload = server.requests().at(0);
  EXPECT_THAT(upload, HasSubstr("POST /v1/files HTTP/1.1"));
  EXPECT_THAT(upload, HasSubstr("Authorization: Bearer " + kKey));
  EXPECT_THAT(upload, HasSubstr("Content-Type: multipart/form-data; boundary="));
  EXPECT_THAT(upload, Not(HasSubstr("Content-Type: application/json\r\n")));
  EXPECT_THAT(upload, HasSubstr("name=\"purpose\"\r\n\r\nbatch\r\n"));
  EXPECT_THAT(upload, HasSubstr("\r\n\r\n{\"custom_id\":\"a\"}\n\r\n"));
  const std::string start = server.requests().at(1);
  EXPECT_THAT(start, HasSubstr("POST /v1/batches HTTP/1.1"));
  EXPECT_EQ(Json::parse(start.substr(start.find("\r\n\r\n") + 4)),
            Json::parse(R"({"input_file_id":"file-1","endpoint":"/v1/chat/completions",
                            "completion_window":"24h","metadata":{"understudy":"its-name"}})"));
}

TEST(BatchApi, AnthropicTakesTheLinesAsOneDocument) {
  RawServer server([](std::size_t) {
    return RawAnswer{http_answer(200, R"({"id":"msgbatch_1","processing_status":"in_progress"})")};
  });
  const auto api = make_batch_api(model_at("anthropic/m", server.base_url()));
  std::string lines;
  for (int i = 0; i < 9000; ++i) {
    lines += fmt::format("{{\"custom_id\":\"{}\",\"params\":{{}}}}\n", i);
  }
  const auto batch = api->submit(temporary("lines", lines), "its-name");
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->id, "msgbatch_1");
  const std::string sent = server.requests().at(0);
  EXPECT_THAT(sent, HasSubstr("POST /v1/messages/batches HTTP/1.1"));
  EXPECT_THAT(sent, HasSubstr("x-api-key: " + kKey));
  const Json document = Json::parse(sent.substr(sent.find("\r\n\r\n") + 4));
  ASSERT_EQ(document["requests"].size(), 9000U);
  EXPECT_EQ(document["requests"][8999]["custom_id"], "8999");
}

TEST(BatchApi, SaysWhenABatchIsOverAndFetchesItsResults) {
  RawServer server([](std::size_t index) {
    if (index == 1) return RawAnswer{http_answer(200, "{\"custom_id\":\"a\"}\n")};
    return RawAnswer{http_answer(200, R"({"id":"batch_1","status":"expired",)"
                                      R"("output_file_id":"file-2","error_file_id":null})")};
  });
  const auto api = make_batch_api(model_at("openai/m", server.base_url()));
  const auto batch = api->state("batch_1");
  ASSERT_TRUE(batch.has_value());
  EXPECT_TRUE(batch->over);
  ASSERT_THAT(batch->results, ::testing::ElementsAre("file-2"));
  const std::string path = temporary("out", "");
  ASSERT_TRUE(api->download("file-2", path).has_value());
  EXPECT_EQ(read_file(path), "{\"custom_id\":\"a\"}\n");
  EXPECT_THAT(server.requests().at(1), HasSubstr("GET /v1/files/file-2/content HTTP/1.1"));
}

TEST(BatchApi, ResultsAddressOfTheServerIsNotUsed) {
  RawServer other([](std::size_t) { return RawAnswer{http_answer(200, "{}")}; });
  RawServer server([&](std::size_t) {
    return RawAnswer{http_answer(200, R"({"id":"msgbatch_1","processing_status":"ended",)"
                                      R"("results_url":")" +
                                          other.base_url() + "/x\"}")};
  });
  const auto api = make_batch_api(model_at("anthropic/m", server.base_url()));
  const auto batch = api->state("msgbatch_1");
  ASSERT_TRUE(batch.has_value());
  ASSERT_TRUE(api->download(batch->results.at(0), temporary("elsewhere", "")).has_value());
  EXPECT_TRUE(other.requests().empty());
  EXPECT_THAT(server.requests().at(1), HasSubstr("GET /v1/messages/batches/msgbatch_1/results"));
}

TEST(BatchApi, RefusalsAndRedirectsAreErrorsWithoutKeyOrText) {
  RawServer other([](std::size_t) { return RawAnswer{http_answer(200, R"({"id":"b"})")}; });
  const auto error = [&](const std::string& bytes) {
    RawServer server([&](std::size_t) { return RawAnswer{bytes}; });
    const auto api = make_batch_api(model_at("openai/m", server.base_url()));
    const auto state = api->state("batch_1");
    EXPECT_FALSE(state.has_value());
    EXPECT_THAT(state.error().message, Not(HasSubstr("secret")));
    return state.error();
  };
  const std::string echo = R"({"error":{"message":"sk-very-secret","code":"sk-very-secret"}})";
  EXPECT_EQ(error(http_answer(401, echo)).code, ErrorCode::kUsage);
  EXPECT_EQ(error(http_answer(503, echo)).code, ErrorCode::kInfrastructure);
  EXPECT_EQ(error(http_answer(200, "<html>")).code, ErrorCode::kInfrastructure);
  EXPECT_EQ(error(http_answer(200, R"({"id":"../../etc"})")).code, ErrorCode::kInfrastructure);
  EXPECT_EQ(error("").code, ErrorCode::kInfrastructure);
  const Error redirect =
      error(http_answer(307, "", fmt::format("Location: {}/batches\r\n", other.base_url())));
  EXPECT_THAT(redirect.message, HasSubstr("redirects are not followed"));
  EXPECT_TRUE(other.requests().empty());
}

TEST(BatchApi, FilesAloneNeedNoKeyAndNoPermission) {
  ModelOptions options;
  EXPECT_TRUE(remote_model("openai/m", options, false).has_value());
  const auto sends = remote_model("openai/m", options, true);
  ASSERT_FALSE(sends.has_value());
  EXPECT_THAT(sends.error().message, HasSubstr("egress"));
  options.egress_allow = {"api.openai.com"};
  EXPECT_THAT(remote_model("openai/m", options, true).error().message, HasSubstr("OPENAI_API_KEY"));
  EXPECT_FALSE(remote_model("llama/x", options, false).has_value());
}

}  // namespace
}  // namespace understudy
