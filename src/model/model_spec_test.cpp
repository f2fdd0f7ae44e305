#include "model/model_spec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace understudy {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Environment environment(std::map<std::string, std::string, std::less<>> values) {
  return [values = std::move(values)](std::string_view name) -> std::optional<std::string> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
}

Result<std::vector<Endpoint>> resolve(std::string_view model, Environment from,
                                      const EgressList& allowed = {},
                                      const std::vector<std::string>& urls = {}) {
  return resolve_endpoints(*parse_model_spec(model), urls, from, allowed);
}

TEST(ModelSpec, ReadsEveryForm) {
  EXPECT_EQ(parse_model_spec("openai/gpt-5.1")->kind, ModelKind::kOpenAiChat);
  EXPECT_EQ(parse_model_spec("vllm/org/name")->name, "org/name");
  EXPECT_EQ(parse_model_spec("llama//models/a.gguf")->name, "/models/a.gguf");
  EXPECT_EQ(parse_model_spec("recorded/old-study")->kind, ModelKind::kRecorded);
  const auto generic = parse_model_spec("openai-api/my-host/large/v2");
  EXPECT_EQ(generic->provider, "my-host");
  EXPECT_EQ(generic->name, "large/v2");
}

TEST(ModelSpec, UnknownProviderSuggestsTheNearest) {
  const auto spec = parse_model_spec("opneai/gpt-5.1");
  ASSERT_FALSE(spec.has_value());
  EXPECT_THAT(spec.error().message, HasSubstr("did you mean \"openai\""));
}

TEST(ModelSpec, IncompleteNamesAreErrors) {
  for (const char* text : {"", "openai", "openai/", "openai-api/x", "openai-api//m", "gpt-5.1"}) {
    EXPECT_FALSE(parse_model_spec(text).has_value()) << text;
  }
}

TEST(Endpoints, ComeFromTheEnvironment) {
  const auto found = resolve("openai-api/my-host/m",
                             environment({{"MY_HOST_BASE_URL", "https://API.Example.com:8443/v1/"},
                                          {"MY_HOST_API_KEY", " k1 "}}),
                             {"api.example.com"});
  ASSERT_TRUE(found.has_value()) << found.error().message;
  EXPECT_EQ(found->at(0).base_url, "https://API.Example.com:8443/v1");
  EXPECT_EQ(found->at(0).host, "api.example.com");
  EXPECT_EQ(found->at(0).port, 8443);
  EXPECT_EQ(found->at(0).key, "k1");
  EXPECT_FALSE(found->at(0).loopback);
}

TEST(Endpoints, FlagOverridesTheEnvironment) {
  const auto found = resolve("openai/m", environment({{"OPENAI_BASE_URL", "https://x.example"}}),
                             {}, {"http://127.0.0.1:1/v1", "http://localhost:2/v1"});
  ASSERT_TRUE(found.has_value()) << found.error().message;
  ASSERT_EQ(found->size(), 2U);
  EXPECT_TRUE(found->at(1).loopback);
}

TEST(Endpoints, HostOffTheEgressListIsAnErrorThatSaysWhatToAdd) {
  const auto found = resolve("openai/m", environment({{"OPENAI_API_KEY", "k"}}), {"example.com"});
  ASSERT_FALSE(found.has_value());
  EXPECT_THAT(found.error().message, HasSubstr("allow = [\"api.openai.com\"]"));
}

TEST(Endpoints, EgressEntryMatchesTheWholeHostAndPort) {
  const Environment none = environment({});
  const std::vector<std::string> url = {"https://evil-example.com/v1"};
  EXPECT_FALSE(resolve("vllm/m", none, {"example.com"}, url).has_value());
  const std::vector<std::string> other_port = {"https://example.com:9/v1"};
  EXPECT_FALSE(resolve("vllm/m", none, {"example.com:443"}, other_port).has_value());
  EXPECT_TRUE(resolve("vllm/m", none, {"EXAMPLE.com"}, other_port).has_value());
  const std::vector<std::string> sub = {"https://a.example.com"};
  EXPECT_FALSE(resolve("vllm/m", none, {"example.com"}, sub).has_value());
}

TEST(Endpoints, OnlyRealLoopbackIsLoopback) {
  const Environment none = environment({});
  for (const char* url : {"http://127.0.0.1:80", "http://localhost", "http://[::1]:9/v1",
                          "http://127.8.9.1", "http://LOCALHOST:3"}) {
    EXPECT_TRUE(resolve("vllm/m", none, {}, {url}).has_value()) << url;
  }
  for (const char* url :
       {"http://127.0.0.1.example.com", "http://127.example", "http://10.0.0.1", "http://0.0.0.0",
        "http://localhost.example.com", "http://127.0.0.1@example.com"}) {
    EXPECT_FALSE(resolve("vllm/m", none, {}, {url}).has_value()) << url;
  }
}

TEST(Endpoints, SecretInABaseUrlIsRefusedAndNotRepeated) {
  for (const char* url : {"http://user:hunter2@127.0.0.1/v1", "http://127.0.0.1/v1?key=hunter2",
                          "ftp://hunter2/", "::hunter2::"}) {
    const auto found = resolve("vllm/m", environment({}), {}, {url});
    ASSERT_FALSE(found.has_value()) << url;
    EXPECT_THAT(found.error().message, Not(HasSubstr("hunter2")));
  }
}

TEST(Endpoints, MissingKeyNamesTheVariable) {
  const auto found = resolve("openai/m", environment({}), {"api.openai.com"});
  ASSERT_FALSE(found.has_value());
  EXPECT_THAT(found.error().message, HasSubstr("OPENAI_API_KEY"));
}

TEST(Endpoints, KeyWithALineBreakCannotAddAHeader) {
  EXPECT_FALSE(resolve("vllm/m", environment({{"VLLM_API_KEY", "a\r\nX-Evil: 1"}})).has_value());
}

TEST(Endpoints, OnlyOthersServersAreBilled) {
  const auto billed = [](std::string_view model, const std::vector<std::string>& urls) {
    const auto spec = parse_model_spec(model);
    const auto found = resolve_endpoints(*spec, urls, environment({{"OPENAI_API_KEY", "k"}}),
                                         {"api.openai.com", "gpu7"});
    return is_billed(*spec, *found);
  };
  EXPECT_TRUE(billed("openai/m", {}));
  EXPECT_FALSE(billed("openai/m", {"http://127.0.0.1:9/v1"}));
  EXPECT_FALSE(billed("vllm/m", {"http://gpu7:8000/v1"}));
}

}  // namespace
}  // namespace understudy
