#include "model/llama_model.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace understudy {
namespace {

std::string cache_dir() {
  return UNDERSTUDY_CACHE_DIR;
}

TEST(LlamaWeights, UnknownNamesAreErrorsThatSuggestTheNearest) {
  const auto path = llama_weights_path("smollm2-135", "/nowhere");
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code, ErrorCode::kUsage);
  EXPECT_NE(path.error().message.find("did you mean \"smollm2-135m\""), std::string::npos)
      << path.error().message;
}

TEST(LlamaWeights, MissingFilesAreErrorsThatSayWhatToDo) {
  const auto packaged = llama_weights_path("smollm2-135m", "/nowhere");
  ASSERT_FALSE(packaged);
  EXPECT_NE(packaged.error().message.find("script/setup"), std::string::npos);
  const auto file = llama_weights_path("/nowhere/model.gguf", "/nowhere");
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("no such file"), std::string::npos);
}

#ifndef UNDERSTUDY_HAS_LLAMA
TEST(LlamaModel, SaysThatThisProgramIsBuiltWithoutIt) {
  SystemClock clock;
  const auto model = make_llama_model("smollm2-135m", {}, clock);
  ASSERT_FALSE(model);
  EXPECT_NE(model.error().message.find("script/setup"), std::string::npos);
}
#else

/// The real weights; the tests are skipped where they have not been downloaded.
class LlamaModelTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!llama_weights_path("smollm2-135m", cache_dir())) {
      GTEST_SKIP() << "the packaged weights are not in the cache; script/setup downloads them";
    }
  }
  std::unique_ptr<ChatModel> open(std::size_t workers, std::size_t parallel,
                                  std::size_t context_tokens = 512, bool reuse = true) {
    LlamaOptions options;
    options.reuse = reuse;
    options.cache_dir = cache_dir();
    options.workers = workers;
    options.parallel = parallel;
    options.context_tokens = context_tokens;
    auto model = make_llama_model("smollm2-135m", options, clock_);
    EXPECT_TRUE(model) << model.error().describe();
    return std::move(*model);
  }

  static ChatRequest ask(std::uint64_t id, std::string text, std::uint32_t max_tokens = 8,
                         double temperature = 0) {
    ChatRequest request;
    request.id = id;
    request.messages.emplace_back();
    request.messages.back().content = std::move(text);
    request.sampling.temperature = temperature;
    request.sampling.max_tokens = max_tokens;
    request.seed = id + 1;
    return request;
  }

  static std::map<std::uint64_t, DrawOutcome> answers(ChatModel& model,
                                                      std::vector<ChatRequest> requests) {
    std::map<std::uint64_t, DrawOutcome> ended;
    std::size_t sent = 0;
    while (ended.size() < requests.size()) {
      while (sent < requests.size() && model.free_slots() > 0) {
        model.submit(requests[sent++]);
      }
      for (ChatOutcome& outcome : model.poll(1000)) {
        EXPECT_TRUE(ended.emplace(outcome.id, std::move(outcome.outcome)).second)
            << "request " << outcome.id << " ended twice";
      }
    }
    EXPECT_EQ(model.status().in_flight, 0U);
    return ended;
  }

  static std::string text(const DrawOutcome& outcome) {
    const auto* completion = std::get_if<Completion>(&outcome);
    EXPECT_NE(completion, nullptr) << std::get<Failure>(outcome).detail;
    return completion == nullptr ? "" : completion->content;
  }

  SystemClock clock_;
};

const std::vector<std::string> kQuestions = {"What is the capital of France?",
                                             "Name a color.",
                                             "What is two plus two?",
                                             "Who wrote Hamlet?",
                                             "Say hello in Spanish.",
                                             "What do cows eat?",
                                             "Which planet is the largest?",
                                             "What is ice made of?",
                                             "Name a large city in Japan.",
                                             "What is the opposite of hot?",
                                             "How many legs has a cat?",
                                             "What color is grass?",
                                             "What is the first month?",
                                             "Name a fruit.",
                                             "What language is spoken in Peru?",
                                             "Is the sun a star?"};

/// Seconds each under sanitizers: left out of the fast suite.
class SlowLlamaModelTest : public LlamaModelTest {};

/// About as many tokens as words.
std::string words(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += "word ";
  return text;
}

TEST_F(SlowLlamaModelTest, SixteenAtOnceAreAllAnsweredToTheirOwnQuestion) {
  const auto model = open(2, 16);
  std::vector<ChatRequest> requests;
  for (std::size_t i = 0; i < kQuestions.size(); ++i) requests.push_back(ask(i, kQuestions[i], 16));
  const auto ended = answers(*model, requests);
  EXPECT_NE(text(ended.at(0)).find("Paris"), std::string::npos) << text(ended.at(0));
  EXPECT_NE(text(ended.at(6)).find("Jupiter"), std::string::npos) << text(ended.at(6));
  const ModelStatus status = model->status();
  EXPECT_EQ(status.requests_sent, 16U);
  EXPECT_EQ(status.concurrency_limit, 16U + kLlamaWaitingMax);
  EXPECT_GT(status.prompt_tokens, 16U * 5);
}

TEST_F(SlowLlamaModelTest, GreedyAnswersAreTheSameAloneAndInABatch) {
  std::vector<ChatRequest> requests;
  for (std::size_t i = 0; i < 8; ++i) requests.push_back(ask(i, kQuestions[i]));
  const auto together = answers(*open(1, 8), requests);
  const auto alone = answers(*open(1, 1), requests);
  std::size_t same = 0;
  for (const ChatRequest& request : requests) {
    if (text(together.at(request.id)) == text(alone.at(request.id))) ++same;
  }
  // Not always all: another batch adds in another order, which can turn a tie.
  EXPECT_GE(same, 6U);
}

TEST_F(LlamaModelTest, TheSameSeedGivesTheSameAnswerAndAnotherSeedAnother) {
  const auto model = open(1, 1);
  ChatRequest request = ask(1, "Tell me a story.", 16, 1.0);
  const std::string first = text(answers(*model, {request}).at(1));
  EXPECT_EQ(text(answers(*model, {request}).at(1)), first);
  request.seed = 99;
  EXPECT_NE(text(answers(*model, {request}).at(1)), first);
}

TEST_F(SlowLlamaModelTest, EndsAtMaxTokensAndSaysSo) {
  const auto model = open(1, 2);
  const auto ended = answers(*model, {ask(1, "Write a long poem.", 5), ask(2, "Say hi.", 0)});
  const auto& cut = std::get<Completion>(ended.at(1));
  EXPECT_EQ(cut.finish, FinishReason::kLength);
  EXPECT_EQ(cut.usage.completion_tokens, 5U);
  EXPECT_GT(cut.usage.prompt_tokens, 5U);
  EXPECT_EQ(model->tokenizer()->first_tokens(cut.content, 5), cut.content);
  EXPECT_EQ(std::get<Completion>(ended.at(2)).content, "");
}

TEST_F(SlowLlamaModelTest, EndsWhereTheModelEndsItsAnswer) {
  const auto model = open(1, 1);
  const auto ended =
      answers(*model, {ask(1, "What is two plus two? Answer with one number.", 200)});
  const auto& whole = std::get<Completion>(ended.at(1));
  EXPECT_EQ(whole.finish, FinishReason::kStop);
  EXPECT_EQ(whole.content.find("<|im_end|>"), std::string::npos);
}

TEST_F(SlowLlamaModelTest, WhatDoesNotFitTheContextIsATypedFailure) {
  const auto model = open(1, 1, 256);
  const auto ended = answers(*model, {ask(1, words(400)), ask(2, "Say hi.", 255), ask(3, "Hi", 4)});
  EXPECT_EQ(std::get<Failure>(ended.at(1)).reason, FailureReason::kContextOverflow);
  EXPECT_EQ(std::get<Failure>(ended.at(1)).detail.find("word"), std::string::npos);
  EXPECT_EQ(std::get<Failure>(ended.at(2)).reason, FailureReason::kContextOverflow);
  EXPECT_TRUE(std::holds_alternative<Completion>(ended.at(3))) << "the next one is not affected";
}

TEST_F(SlowLlamaModelTest, WithoutMaxTokensAnAnswerEndsAtTheContextAtTheLatest) {
  const auto model = open(1, 1, 96);
  ChatRequest request = ask(1, "Count from one to one thousand, one number a line.");
  request.sampling.max_tokens.reset();
  const auto ended = answers(*model, {request});
  const auto& completion = std::get<Completion>(ended.at(1));
  EXPECT_LE(completion.usage.prompt_tokens + completion.usage.completion_tokens, 96U);
}

TEST_F(LlamaModelTest, ToolsAreRefusedAndNotIgnored) {
  const auto model = open(1, 1);
  ChatRequest request = ask(1, "Hi");
  request.tools = "[]";
  EXPECT_EQ(std::get<Failure>(answers(*model, {request}).at(1)).reason, FailureReason::kBadRequest);
}

TEST_F(LlamaModelTest, MemoryIsBoundedByFewerSequences) {
  LlamaOptions options;
  options.cache_dir = cache_dir();
  options.workers = 1;
  options.context_tokens = 512;
  options.cache_bytes_max = 64U << 20U;  // 512 tokens take 11.25 MiB
  const auto model = make_llama_model("smollm2-135m", options, clock_);
  ASSERT_TRUE(model) << model.error().describe();
  EXPECT_EQ((*model)->free_slots(), 5U + kLlamaWaitingMax);
}

TEST_F(SlowLlamaModelTest, WhereNotOneSequenceFitsTheMemoryTheContextIsShorter) {
  LlamaOptions options;
  options.cache_dir = cache_dir();
  options.cache_bytes_max = 12U << 20U;  // 512 tokens take 11.25 MiB
  options.context_tokens = 2048;
  const auto model = make_llama_model("smollm2-135m", options, clock_);
  ASSERT_TRUE(model) << model.error().describe();
  const auto ended = answers(**model, {ask(1, words(600)), ask(2, "Hi", 4)});
  EXPECT_EQ(std::get<Failure>(ended.at(1)).reason, FailureReason::kContextOverflow);
  EXPECT_TRUE(std::holds_alternative<Completion>(ended.at(2)));
}

TEST_F(LlamaModelTest, WhereNoContextFitsTheMemoryTheErrorNamesTheOption) {
  LlamaOptions options;
  options.cache_dir = cache_dir();
  options.cache_bytes_max = 5U << 20U;
  const auto model = make_llama_model("smollm2-135m", options, clock_);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kUsage);
  EXPECT_NE(model.error().message.find("replay.embedded_memory_mb"), std::string::npos);
}

TEST_F(LlamaModelTest, CanBeEndedInTheMiddleOfAnAnswer) {
  const auto model = open(2, 4);
  for (std::uint64_t i = 0; i < 4; ++i) model->submit(ask(i, "Write a long story.", 400, 1));
  EXPECT_EQ(model->free_slots(), kLlamaWaitingMax);
  EXPECT_LE(model->poll(50).size(), 4U);
}

TEST_F(LlamaModelTest, CanBeEndedInTheMiddleOfAPromptAndTellsThatItReadsOne) {
  const auto model = open(1, 2, 4096);
  model->submit(ask(1, words(3500)));
  std::string note;
  std::size_t ended = 0;
  while (note.empty() && ended == 0) {
    ended += model->poll(5).size();
    note = model->status().note;
  }
  EXPECT_EQ(ended, 0U);
  EXPECT_NE(note.find("tokens to go"), std::string::npos) << note;
}

TEST_F(SlowLlamaModelTest, AnAnswerGoesOnWhileALongPromptIsRead) {
  const auto model = open(1, 2, 2048);
  model->submit(ask(1, "Count to ten.", 3));
  model->submit(ask(2, words(1000), 1));
  std::vector<std::uint64_t> order;
  while (order.size() < 2) {
    for (const ChatOutcome& outcome : model->poll(1000)) order.push_back(outcome.id);
  }
  EXPECT_EQ(order, (std::vector<std::uint64_t>{1, 2}));
}

/// All cuts of a conversation, as a log has it: answers that are not this model's own.
std::vector<ChatRequest> cuts_of_a_conversation() {
  const std::vector<std::string> lines = {
      "I am planning a trip to Italy. Which cities should I see first, and why these?",
      "Rome for its ruins and fountains, Florence for its painters, Venice for its canals.",
      "How many days does each of them need if I like to walk slowly and eat well?",
      "Four for Rome, three for Florence, two for Venice; add a day wherever the food is good.",
      "Is a train better than a car between them, with two large bags?",
      "The train: it takes you from center to center, and a car is no use in any of the three.",
      "What should I read before I go? Nothing longer than three hundred pages, please."};
  // Pieces of a prompt of 64 tokens or more are computed alike, wherever they begin.
  const std::string more =
      " There are five of us, two of them children who tire early; we have been to Spain, France "
      "and Portugal in other years, always in the spring, and would rather see three places well "
      "than ten in a hurry. Museums are fine as long as there is a garden or a market close by.";
  std::vector<ChatRequest> requests;
  std::vector<Message> messages;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    messages.emplace_back();
    messages.back().role = i % 2 == 0 ? Role::kUser : Role::kAssistant;
    messages.back().content = lines[i] + more;
    if (i % 2 != 0) continue;
    ChatRequest request;
    request.id = i;
    request.messages = messages;
    request.sampling.temperature = 0;
    request.sampling.max_tokens = 12;
    requests.push_back(std::move(request));
  }
  return requests;
}

TEST_F(SlowLlamaModelTest, CutsOfAConversationAreReadOnceAndAnsweredTheSame) {
  const std::vector<ChatRequest> cuts = cuts_of_a_conversation();
  const auto plain = open(1, 1, 1024, /*reuse=*/false);
  const auto expected = answers(*plain, cuts);
  std::uint64_t prompt_tokens = 0;
  for (const auto& [id, outcome] : expected) {
    prompt_tokens += std::get<Completion>(outcome).usage.prompt_tokens;
  }
  EXPECT_EQ(plain->status().prompt_tokens, prompt_tokens);
  const std::uint64_t longest =
      std::get<Completion>(expected.at(cuts.back().id)).usage.prompt_tokens;
  for (const std::size_t parallel : {1U, 4U}) {
    const auto model = open(1, parallel, 1024);
    const auto ended = answers(*model, cuts);
    // Each cut's answer header is no part of the next one, nor a token that joins two texts.
    EXPECT_LE(model->status().prompt_tokens, longest + 4 * cuts.size());
    std::size_t same = 0;
    for (const auto& [id, outcome] : expected) {
      if (text(outcome) == text(ended.at(id))) ++same;
      EXPECT_EQ(std::get<Completion>(outcome).usage.prompt_tokens,
                std::get<Completion>(ended.at(id)).usage.prompt_tokens);
    }
    EXPECT_GE(same, cuts.size() - 1) << "another batch can turn a tie";
  }
}

TEST_F(SlowLlamaModelTest, DrawsOfOnePrefixReadItOnceAndDiffer) {
  ChatRequest request = cuts_of_a_conversation().back();
  request.sampling.temperature = 1;
  std::vector<ChatRequest> draws;
  for (std::uint64_t i = 0; i < 8; ++i) {
    request.id = i;
    request.seed = i;
    draws.push_back(request);
  }
  const auto model = open(1, 4, 1024);
  const auto ended = answers(*model, draws);
  const std::uint64_t size = std::get<Completion>(ended.at(0)).usage.prompt_tokens;
  EXPECT_EQ(model->status().prompt_tokens, size + 7) << "and the last token of each";
  EXPECT_NE(text(ended.at(0)), text(ended.at(1)));
}

TEST_F(SlowLlamaModelTest, TwoWorkersShareAConversationAndAnswerAllOfIt) {
  const std::vector<ChatRequest> cuts = cuts_of_a_conversation();
  const auto model = open(2, 4, 1024);
  const auto ended = answers(*model, cuts);
  for (const ChatRequest& cut : cuts) EXPECT_NE(text(ended.at(cut.id)), "");
}

TEST_F(LlamaModelTest, AFileThatIsNoModelIsAnError) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("understudy_not_a_model_" + std::to_string(::getpid()) + ".gguf");
  { std::ofstream(path) << "not a model"; }
  const auto model = make_llama_model(path.string(), {}, clock_);
  std::filesystem::remove(path);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().where.file, path.string());
}
#endif

}  // namespace
}  // namespace understudy
