// Every failure reason is reached through a real socket by a server that answers with raw bytes.

#include "model/http_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <fmt/format.h>

#include <cstdio>
#include <fstream>

#include "model/raw_server_test.hpp"
#include "model/tls_server_test.hpp"

namespace understudy {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
using Then = RawAnswer::Then;

const std::string kKey = "sk-very-secret";
const std::string kGood =
    R"({"choices":[{"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],)"
    R"("usage":{"prompt_tokens":3,"completion_tokens":5}})";

using MakeTransport = std::unique_ptr<Transport> (*)(const TransportOptions&, const Clock&);

class HttpModel : public ::testing::TestWithParam<MakeTransport> {};
INSTANTIATE_TEST_SUITE_P(Over, HttpModel,
                         ::testing::Values(make_plain_transport, make_curl_transport),
                         [](const auto& one) {
                           return one.param == make_plain_transport ? "Plain" : "Curl";
                         });

struct Fixture {
  SystemClock clock;
  MakeTransport make;
  HttpModelOptions options;
  TransportOptions transport;
  explicit Fixture(MakeTransport make_transport = make_curl_transport) : make(make_transport) {
    options.connections_max = 4;
    options.deadline_ms = 3'000;
    options.attempt_timeout_ms = 500;
    options.retry.base_ms = 1;
    options.retry.failures_max = 2;
    transport.connections_max = 4;
    transport.response_bytes_max = 1U << 20;
  }

  std::unique_ptr<ChatModel> model(const std::string& base_url) {
    const auto spec = parse_model_spec("openai-api/test/some-model");
    const auto endpoints =
        resolve_endpoints(*spec, std::vector<std::string>{base_url},
                          [](std::string_view) { return std::optional<std::string>(kKey); }, {});
    return make_http_model(options, *endpoints, make_openai_chat_protocol(*spec),
                           make(transport, clock), clock);
  }

  ChatOutcome ask(ChatModel& model) {
    ChatRequest request;
    request.id = 77;
    request.messages.emplace_back().content = "the user's own words";
    model.submit(request);
    for (int i = 0; i < 100; ++i) {
      std::vector<ChatOutcome> ended = model.poll(100);
      if (!ended.empty()) return std::move(ended.front());
    }
    ADD_FAILURE() << "the request never ended";
    return {};
  }

  /// The failure that the bytes lead to; checks that neither key nor text is in its detail.
  Failure failure_of(const std::string& bytes, Then then = Then::kClose) {
    RawServer server([&](std::size_t) { return RawAnswer{bytes, then}; });
    const auto http = model(server.base_url());
    const ChatOutcome ended = ask(*http);
    const auto* const failure = std::get_if<Failure>(&ended.outcome);
    if (failure == nullptr) {
      ADD_FAILURE() << "was not a failure";
      return {};
    }
    EXPECT_THAT(failure->detail, Not(AnyOf(HasSubstr("secret"), HasSubstr("own words"))));
    requests = server.requests();
    return *failure;
  }
  std::vector<std::string> requests;
};

TEST_P(HttpModel, ReadsAnAnswer) {
  Fixture f(GetParam());
  RawServer server([](std::size_t) { return RawAnswer{http_answer(200, kGood)}; });
  const auto model = f.model(server.base_url());
  const ChatOutcome ended = f.ask(*model);
  ASSERT_TRUE(std::holds_alternative<Completion>(ended.outcome));
  const auto& completion = std::get<Completion>(ended.outcome);
  EXPECT_EQ(ended.id, 77U);
  EXPECT_EQ(ended.attempts, 1U);
  EXPECT_EQ(completion.content, "hello");
  EXPECT_EQ(completion.finish, FinishReason::kStop);
  EXPECT_EQ(completion.usage.completion_tokens, 5U);
  EXPECT_EQ(model->status().completion_tokens, 5U);
  EXPECT_THAT(server.requests().at(0), HasSubstr("Authorization: Bearer " + kKey));
  EXPECT_THAT(server.requests().at(0), HasSubstr("POST /v1/chat/completions HTTP/1.1"));
}

std::string gzipped(const std::string& plain) {
  std::string packed(plain.size() / 100 + 1024, '\0');
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string in = plain;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

TEST_P(HttpModel, ReadsAGzippedAnswer) {
  const std::string packed = gzipped(kGood);
  Fixture f(GetParam());
  RawServer server([&](std::size_t) {
    return RawAnswer{http_answer(200, packed, "Content-Encoding: gzip\r\n")};
  });
  const auto model = f.model(server.base_url());
  EXPECT_TRUE(std::holds_alternative<Completion>(f.ask(*model).outcome));
}

TEST_P(HttpModel, HtmlIsNotJson) {
  EXPECT_EQ(
      Fixture(GetParam()).failure_of(http_answer(200, "<html>the user's own words</html>")).reason,
      FailureReason::kNotJson);
}

TEST_P(HttpModel, EmptyBodyIsNotJson) {
  EXPECT_EQ(Fixture(GetParam()).failure_of(http_answer(200, "")).reason, FailureReason::kNotJson);
}

TEST_P(HttpModel, HalfADocumentIsNotJson) {
  EXPECT_EQ(
      Fixture(GetParam()).failure_of(http_answer(200, kGood.substr(0, kGood.size() / 2))).reason,
      FailureReason::kNotJson);
}

TEST_P(HttpModel, ConnectionClosedInTheBodyIsAConnectionFailure) {
  const std::string whole = http_answer(200, kGood);
  EXPECT_EQ(Fixture(GetParam()).failure_of(whole.substr(0, whole.size() - 10)).reason,
            FailureReason::kConnection);
}

TEST_P(HttpModel, OtherJsonIsUnexpectedBody) {
  for (const char* body : {"[]", "3", "{}", R"({"choices":[]})", R"({"choices":[{}]})",
                           R"({"choices":[{"message":{}}]})"}) {
    EXPECT_EQ(Fixture(GetParam()).failure_of(http_answer(200, body)).reason,
              FailureReason::kUnexpectedBody)
        << body;
  }
}

TEST_P(HttpModel, ErrorInsideA200IsNamed) {
  const Failure failure =
      Fixture(GetParam())
          .failure_of(http_answer(
              200,
              R"({"error":{"message":"the user's own words sk-very-secret","code":"overloaded"}})"));
  EXPECT_EQ(failure.reason, FailureReason::kErrorInBody);
  EXPECT_EQ(failure.detail, "overloaded");
}

TEST_P(HttpModel, KeyEchoedAsAnErrorCodeIsDropped) {
  Fixture f(GetParam());
  const Failure failure =
      f.failure_of(http_answer(401, R"({"error":{"message":"no","code":"sk-very-secret"}})"));
  EXPECT_EQ(failure.reason, FailureReason::kUnauthorized);
  EXPECT_EQ(failure.detail, "HTTP 401");
  EXPECT_EQ(f.requests.size(), 1U) << "a refused key is not tried again";
}

TEST_P(HttpModel, HugeBodyIsCutOff) {
  EXPECT_EQ(Fixture(GetParam()).failure_of(http_answer(200, std::string(3U << 20, 'x'))).reason,
            FailureReason::kBodyTooLarge);
}

TEST_P(HttpModel, EndlessBodyIsCutOff) {
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n";
  const Failure failure =
      Fixture(GetParam()).failure_of(head + std::string(1U << 16, 'x'), Then::kEndless);
  EXPECT_EQ(failure.reason, FailureReason::kBodyTooLarge);
  EXPECT_EQ(failure.detail, "more than 1048576 bytes");
}

TEST_P(HttpModel, BodyThatUnpacksToTooMuchIsCutOff) {
  const std::string packed = gzipped(std::string(std::size_t{64} << 20, ' '));
  EXPECT_LT(packed.size(), std::size_t{1} << 20) << "it is small on the wire";
  EXPECT_EQ(
      Fixture(GetParam()).failure_of(http_answer(200, packed, "Content-Encoding: gzip\r\n")).reason,
      FailureReason::kBodyTooLarge);
}

TEST_P(HttpModel, EndlessHeadersAreCutOff) {
  std::string bytes = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 20'000; ++i) bytes += fmt::format("X-{}: {}\r\n", i, std::string(40, 'y'));
  EXPECT_EQ(Fixture(GetParam()).failure_of(bytes, Then::kHold).reason,
            FailureReason::kBodyTooLarge);
}

TEST_P(HttpModel, RedirectIsNotFollowedAndTheKeyStaysHere) {
  RawServer other([](std::size_t) { return RawAnswer{http_answer(200, kGood)}; });
  Fixture f(GetParam());
  const Failure failure = f.failure_of(
      http_answer(307, "", fmt::format("Location: http://localhost:{}/v1\r\n", other.port())));
  EXPECT_EQ(failure.reason, FailureReason::kRedirect);
  EXPECT_EQ(f.requests.size(), 1U);
  EXPECT_TRUE(other.requests().empty());
}

TEST_P(HttpModel, OtherClientErrorsAreBadRequests) {
  const Failure failure =
      Fixture(GetParam())
          .failure_of(http_answer(
              422, R"({"error":{"message":"m","type":"invalid_request_error","code":null}})"));
  EXPECT_EQ(failure.reason, FailureReason::kBadRequest);
  EXPECT_EQ(failure.detail, "HTTP 422 invalid_request_error");
}

TEST_P(HttpModel, PromptThatDoesNotFitIsContextOverflow) {
  for (const char* body :
       {R"({"error":{"message":"x","type":"invalid_request_error",)"
        R"("code":"context_length_exceeded"}})",
        R"({"object":"error","message":"This model's maximum context length is 8 tokens."})"}) {
    EXPECT_EQ(Fixture(GetParam()).failure_of(http_answer(400, body)).reason,
              FailureReason::kContextOverflow);
  }
}

TEST_P(HttpModel, PromptWithheldByAFilterIsAnAnswer) {
  RawServer server([](std::size_t) {
    return RawAnswer{http_answer(400, R"({"error":{"message":"m","code":"content_filter"}})")};
  });
  Fixture f(GetParam());
  const ChatOutcome ended = f.ask(*f.model(server.base_url()));
  ASSERT_TRUE(std::holds_alternative<Completion>(ended.outcome));
  EXPECT_EQ(std::get<Completion>(ended.outcome).finish, FinishReason::kContentFilter);
}

TEST_P(HttpModel, ServerErrorIsTriedAgain) {
  RawServer server([](std::size_t index) {
    return RawAnswer{index == 0 ? http_answer(503, "{}") : http_answer(200, kGood)};
  });
  Fixture f(GetParam());
  const ChatOutcome ended = f.ask(*f.model(server.base_url()));
  EXPECT_TRUE(std::holds_alternative<Completion>(ended.outcome));
  EXPECT_EQ(ended.attempts, 2U);
  ASSERT_EQ(server.requests().size(), 2U);
  EXPECT_EQ(server.requests()[0], server.requests()[1]) << "a retry asks the same";
}

TEST_P(HttpModel, ServerErrorsEndAtTheLimitOfFailures) {
  Fixture f(GetParam());
  const Failure failure = f.failure_of(http_answer(500, "<h1>oops</h1>"));
  EXPECT_EQ(failure.reason, FailureReason::kServerError);
  EXPECT_EQ(failure.detail, "HTTP 500");
  EXPECT_EQ(f.requests.size(), 2U);
}

TEST_P(HttpModel, RateLimitWaitsAsLongAsItIsTold) {
  RawServer server([](std::size_t index) {
    return RawAnswer{index < 2 ? http_answer(429, "{}", "Retry-After: 0.2\r\n")
                               : http_answer(200, kGood)};
  });
  Fixture f(GetParam());
  const auto model = f.model(server.base_url());
  const std::int64_t start_ms = f.clock.now_ms();
  const ChatOutcome ended = f.ask(*model);
  EXPECT_TRUE(std::holds_alternative<Completion>(ended.outcome));
  EXPECT_EQ(ended.attempts, 3U) << "429s do not count against the limit of failures";
  EXPECT_GE(f.clock.now_ms() - start_ms, 400);
}

TEST_P(HttpModel, RateLimitBeyondTheDeadlineIsAFailure) {
  Fixture f(GetParam());
  const std::int64_t start_ms = f.clock.now_ms();
  EXPECT_EQ(f.failure_of(http_answer(429, "{}", "Retry-After: 60\r\n")).reason,
            FailureReason::kRateLimited);
  EXPECT_LT(f.clock.now_ms() - start_ms, 1'000) << "there is no use in waiting";
}

TEST_P(HttpModel, UsedUpQuotaIsNotTriedAgain) {
  Fixture f(GetParam());
  const Failure failure =
      f.failure_of(http_answer(429, R"({"error":{"message":"m","code":"insufficient_quota"}})"));
  EXPECT_EQ(failure.reason, FailureReason::kRateLimited);
  EXPECT_EQ(failure.detail, "HTTP 429 insufficient_quota");
  EXPECT_EQ(f.requests.size(), 1U);
}

TEST_P(HttpModel, ResetIsAConnectionFailure) {
  EXPECT_EQ(Fixture(GetParam()).failure_of("", Then::kReset).reason, FailureReason::kConnection);
}

TEST_P(HttpModel, NobodyListeningIsAConnectionFailure) {
  int port = 0;
  {
    RawServer gone([](std::size_t) { return RawAnswer{}; });
    port = gone.port();
  }
  Fixture f(GetParam());
  const auto model = f.model(fmt::format("http://127.0.0.1:{}/v1", port));
  const ChatOutcome ended = f.ask(*model);
  ASSERT_TRUE(std::holds_alternative<Failure>(ended.outcome));
  EXPECT_EQ(std::get<Failure>(ended.outcome).reason, FailureReason::kConnection);
}

TEST_P(HttpModel, StallIsATimeout) {
  Fixture f(GetParam());
  EXPECT_EQ(f.failure_of("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", Then::kHold).reason,
            FailureReason::kTimeout);
}

TEST(HttpModelTls, ServerWithoutTlsIsATlsFailure) {
  RawServer server([](std::size_t) { return RawAnswer{http_answer(200, kGood)}; });
  Fixture f;
  const auto model = f.model(fmt::format("https://127.0.0.1:{}/v1", server.port()));
  const ChatOutcome ended = f.ask(*model);
  ASSERT_TRUE(std::holds_alternative<Failure>(ended.outcome));
  EXPECT_EQ(std::get<Failure>(ended.outcome).reason, FailureReason::kTls);
}

TEST(HttpModelTls, OnlyACertificateThatChecksGetsTheRequest) {
  const std::string answer = http_answer(200, kGood);
  const auto outcome = [&](const TestCertificate& certificate, bool trusted, int requests) {
    TlsServer server(certificate, answer);
    Fixture f;
    const std::string pem = testing::TempDir() + "understudy_test_ca.pem";
    std::ofstream(pem) << server.pem();
    if (trusted) f.transport.ca_file = pem;
    const ChatOutcome ended = f.ask(*f.model(server.base_url()));
    EXPECT_EQ(server.requests(), requests);
    std::remove(pem.c_str());
    return ended.outcome;
  };
  EXPECT_TRUE(std::holds_alternative<Completion>(outcome({}, true, 1)));
  const auto refused = [&](const TestCertificate& certificate, bool trusted) {
    const DrawOutcome ended = outcome(certificate, trusted, 0);
    return std::get<Failure>(ended).reason;
  };
  EXPECT_EQ(refused({}, false), FailureReason::kTls) << "signed by itself";
  EXPECT_EQ(refused({.host = "other.example"}, true), FailureReason::kTls) << "of another host";
  EXPECT_EQ(refused({.valid_for_s = -60}, true), FailureReason::kTls) << "expired";
}

TEST_P(HttpModel, NotHttpAtAllIsAConnectionFailure) {
  EXPECT_EQ(Fixture(GetParam()).failure_of("SSH-2.0-OpenSSH_9.2\r\n").reason,
            FailureReason::kConnection);
}

TEST_P(HttpModel, LoneSurrogateInAnAnswerIsReplaced) {
  RawServer server([](std::size_t) {
    return RawAnswer{http_answer(
        200, R"({"choices":[{"message":{"content":"a\ud83d b\ud83d\ude00 \\ud83d"}}]})")};
  });
  Fixture f(GetParam());
  const ChatOutcome ended = f.ask(*f.model(server.base_url()));
  ASSERT_TRUE(std::holds_alternative<Completion>(ended.outcome));
  EXPECT_EQ(std::get<Completion>(ended.outcome).content, "a\uFFFD b\U0001F600 \\ud83d");
}

TEST_P(HttpModel, InvalidToolsAreABadRequestThatIsNotSent) {
  RawServer server([](std::size_t) { return RawAnswer{http_answer(200, kGood)}; });
  Fixture f(GetParam());
  const auto model = f.model(server.base_url());
  model->submit({.id = 3, .messages = {}, .tools = "{not json", .sampling = {}, .json_schema = {}});
  const auto ended = model->poll(100);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(std::get<Failure>(ended[0].outcome).reason, FailureReason::kBadRequest);
  EXPECT_TRUE(server.requests().empty());
}

}  // namespace
}  // namespace understudy
