// What a connection does between and within answers, over both kinds of transport. What an answer
// means is in http_model_test.cpp.

#include "model/transport.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "model/raw_server_test.hpp"

namespace understudy {
namespace {

using ::testing::HasSubstr;
using Then = RawAnswer::Then;

using MakeTransport = std::unique_ptr<Transport> (*)(const TransportOptions&, const Clock&);

std::string kept(const std::string& body) {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
}

class TransportTest : public ::testing::TestWithParam<MakeTransport> {
 protected:
  std::unique_ptr<Transport> transport(std::size_t connections_max = 4) {
    TransportOptions options;
    options.connections_max = connections_max;
    options.response_bytes_max = 1U << 20;
    return GetParam()(options, clock_);
  }

  /// Asks one after another; the results in order.
  std::vector<HttpResult> ask(Transport& transport, const std::vector<std::size_t>& targets,
                              const std::string& body = "{}") {
    std::vector<HttpResult> results;
    for (const std::size_t target : targets) {
      transport.submit({.id = results.size(), .target = target, .body = body, .timeout_ms = 2000});
      const std::size_t before = results.size();
      for (int i = 0; i < 100 && results.size() == before; ++i) transport.poll(100, results);
      EXPECT_EQ(results.size(), before + 1);
    }
    return results;
  }

  HttpResult answer_to(const std::string& bytes, Then then = Then::kClose) {
    RawServer server([&](std::size_t) { return RawAnswer{bytes, then}; });
    const auto one = transport();
    const std::size_t target = one->add_target({.url = server.base_url(), .headers = {}});
    return std::move(ask(*one, {target}).at(0));
  }

  SystemClock clock_;
};
INSTANTIATE_TEST_SUITE_P(Over, TransportTest,
                         ::testing::Values(make_plain_transport, make_curl_transport),
                         [](const auto& one) {
                           return one.param == make_plain_transport ? "Plain" : "Curl";
                         });

TEST_P(TransportTest, OneConnectionServesManyRequests) {
  RawServer server([](std::size_t index) {
    return RawAnswer{kept(std::to_string(index)), Then::kStay};
  });
  {
    const auto one = transport();
    const std::size_t target = one->add_target({.url = server.base_url(), .headers = {"X-Me: 7"}});
    const auto results = ask(*one, {target, target, target});
    EXPECT_THAT(results.at(2).body, "2");
    EXPECT_EQ(results.at(2).request_body, "{}") << "it is given back";
  }
  EXPECT_EQ(server.connections(), 1);
  const std::string request = server.requests().at(1);
  EXPECT_THAT(request, HasSubstr("POST /v1 HTTP/1.1\r\n"));
  EXPECT_THAT(request, HasSubstr(fmt::format("Host: 127.0.0.1:{}\r\n", server.port())));
  EXPECT_THAT(request, HasSubstr("X-Me: 7\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\n\r\n{}"));
}

TEST_P(TransportTest, ConnectionClosedWhileItWasIdleIsOpenedAgain) {
  RawServer server([](std::size_t) {
    return RawAnswer{kept("x")};  // and is closed without a word
  });
  const auto one = transport();
  const std::size_t target = one->add_target({.url = server.base_url(), .headers = {}});
  for (const HttpResult& result : ask(*one, {target, target, target})) {
    EXPECT_EQ(result.error, TransportError::kNone) << result.detail;
  }
  EXPECT_EQ(server.connections(), 3);
}

TEST_P(TransportTest, RequestIsSentOnceMoreNotForEver) {
  // The second request of a connection meets its end, and so does the first of the next one.
  RawServer server([](std::size_t index) {
    return index == 0 ? RawAnswer{kept("x"), Then::kStay} : RawAnswer{};
  });
  const auto one = transport();
  const std::size_t target = one->add_target({.url = server.base_url(), .headers = {}});
  const auto results = ask(*one, {target, target});
  EXPECT_EQ(results.at(1).error, TransportError::kConnection);
  EXPECT_EQ(server.requests().size(), 3U);
}

TEST_P(TransportTest, ChunksInterimAnswersAndUnstatedLengths) {
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
                      Then::kHold)
                .body,
            "abcde");
  EXPECT_EQ(answer_to("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                      Then::kHold)
                .body,
            "ok");
  EXPECT_EQ(answer_to("HTTP/1.0 200 OK\r\n\r\nto the end").body, "to the end");
  const HttpResult none = answer_to("HTTP/1.1 204 No Content\r\n\r\n", Then::kHold);
  EXPECT_EQ(none.status, 204);
  EXPECT_EQ(none.body, "");
}

TEST_P(TransportTest, AnswerCutOffInAChunkIsAConnectionFailure) {
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab").error,
            TransportError::kConnection);
}

TEST_P(TransportTest, DamagedGzipIsAFailure) {
  EXPECT_EQ(answer_to(http_answer(200, "no gzip", "Content-Encoding: gzip\r\n")).error,
            TransportError::kConnection);
}

TEST_P(TransportTest, LongRequestAndAnswerGoThroughInParts) {
  const std::string body(4U << 20, 'q');
  RawServer server([](std::size_t) {
    return RawAnswer{kept(std::string(1U << 20, 'a')), Then::kStay};
  });
  const auto one = transport();
  const std::size_t target = one->add_target({.url = server.base_url(), .headers = {}});
  const auto results = ask(*one, {target, target}, body);
  EXPECT_EQ(results.at(1).body.size(), 1U << 20);
  EXPECT_EQ(server.connections(), 1);
  EXPECT_TRUE(server.requests().at(1).ends_with("\r\n\r\n" + body));
}

TEST_P(TransportTest, RateHeadersAreKept) {
  const HttpResult result =
      answer_to(http_answer(429, "{}", "retry-after:  7 \r\nX-RateLimit-Remaining-Tokens: 12\r\n"));
  EXPECT_EQ(result.status, 429);
  EXPECT_EQ(result.rate.retry_after, "7");
  EXPECT_EQ(result.rate.tokens_remaining, "12");
}

TEST_P(TransportTest, MoreTargetsThanConnections) {
  const auto stay = [](std::size_t) { return RawAnswer{kept("x"), Then::kStay}; };
  RawServer first(stay);
  RawServer second(stay);
  const auto one = transport(1);
  const std::size_t a = one->add_target({.url = first.base_url(), .headers = {}});
  const std::size_t b = one->add_target({.url = second.base_url(), .headers = {}});
  for (const HttpResult& result : ask(*one, {a, b, a})) EXPECT_EQ(result.status, 200);
  EXPECT_EQ(first.requests().size(), 2U);
  EXPECT_EQ(second.requests().size(), 1U);
}

TEST_P(TransportTest, CancelledRequestDoesNotComeBack) {
  RawServer server([](std::size_t index) {
    return index == 0 ? RawAnswer{"", Then::kHold} : RawAnswer{http_answer(200, "second")};
  });
  const auto one = transport();
  const std::size_t target = one->add_target({.url = server.base_url(), .headers = {}});
  one->submit({.id = 1, .target = target, .body = "{}", .timeout_ms = 2000});
  std::vector<HttpResult> results;
  one->poll(50, results);
  EXPECT_EQ(one->in_flight(), 1U);
  one->cancel(1);
  EXPECT_EQ(one->in_flight(), 0U);
  EXPECT_EQ(ask(*one, {target}).at(0).body, "second");
}

TEST(PlainTransport, IsForAddressesWithoutTls) {
  for (const char* url : {"http://127.0.0.1:80/v1", "http://[::1]:8000/v1", "http://localhost/v1",
                          "http://LOCALHOST:9/v1", "http://10.1.2.3:8000/v1"}) {
    EXPECT_TRUE(is_plain_url(url)) << url;
  }
  for (const char* url : {"https://127.0.0.1/v1", "http://example.com/v1",
                          "http://u:p@127.0.0.1/v1", "http://127.0.0.1/v1?a=b", "nonsense"}) {
    EXPECT_FALSE(is_plain_url(url)) << url;
  }
}

TEST(PlainTransport, LocalhostIsBothOfItsAddresses) {
  RawServer server([](std::size_t) { return RawAnswer{http_answer(200, "x")}; });
  const SystemClock clock;
  const auto one = make_plain_transport({}, clock);
  const std::size_t target =
      one->add_target({.url = fmt::format("http://localhost:{}/v1", server.port()), .headers = {}});
  one->submit({.id = 1, .target = target, .body = "{}", .timeout_ms = 2000});
  std::vector<HttpResult> results;
  for (int i = 0; i < 20 && results.empty(); ++i) one->poll(100, results);
  ASSERT_EQ(results.size(), 1U);
  EXPECT_EQ(results[0].status, 200) << results[0].detail;
}

}  // namespace
}  // namespace understudy
