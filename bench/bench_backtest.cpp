// A backtest end to end, two configurations of the packaged model on real questions: the first
// turns of packaged conversations, answered by the deployed configuration and by one with another
// system prompt and temperature. The second's behaviors are forecast from half of the prefixes,
// with the first's rates there as what is known, and verified on the other half; twenty halvings.
// The logged answers (ChatGPT's) are cut beside them and need no model.
//
//   bench_backtest [PREFIXES] [TOKENS]     default 200 prefixes, 48 tokens an answer: some minutes
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/json.hpp"
#include "ingest/log_reader.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kConversations = 3000;

int fail(const Error& error) {
  fmt::print(stderr, "{}\n", error.describe());
  return 4;
}

// The first question and its answer of each conversation that begins with them.
Result<void> write_first_turns(const std::string& from, const std::string& to) {
  UNDERSTUDY_TRY(LogReader reader, LogReader::open({.path = from, .name = "packaged"}, {}));
  std::ofstream out(to, std::ios::binary);
  for (std::size_t written = 0; written < kConversations;) {
    UNDERSTUDY_TRY(LogItem item, reader.next());
    if (std::holds_alternative<EndOfLog>(item)) break;
    const auto* const record = std::get_if<LogRecord>(&item);
    if (record == nullptr) continue;
    const auto& messages = record->conversation.messages;
    if (messages.size() < 2 || messages[0].role != Role::kUser ||
        messages[1].role != Role::kAssistant) {
      continue;
    }
    const Json line = {{"id", record->conversation.id},
                       {"messages",
                        {{{"role", "user"}, {"content", messages[0].content}},
                         {{"role", "assistant"}, {"content", messages[1].content}}}}};
    out << line.dump() << '\n';
    ++written;
  }
  return {};
}

int run(const std::string& prefixes, const std::string& tokens) {
  const std::string packaged =
      std::string(UNDERSTUDY_CACHE_DIR) + "/sharegpt/ShareGPT_V3_unfiltered_cleaned_split.json";
  if (!fs::exists(packaged)) {
    fmt::print("skipped: script/setup --demo-data fetches the packaged conversations\n");
    return 0;
  }
  std::string folder = (fs::temp_directory_path() / "understudy-backtest-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 4;
  if (const auto written = write_first_turns(packaged, folder + "/first_turns.jsonl"); !written) {
    return fail(written.error());
  }
  std::ofstream(folder + "/study.toml") << fmt::format(
      "[logs]\npaths = [\"first_turns.jsonl\"]\nduplicates = \"content\"\nmodel = \"ChatGPT\"\n"
      "[sample]\nprefixes = {0}\nprefix_tokens_max = 256\n"
      "[deployed]\nmodel = \"llama/smollm2-135m\"\ntemperature = 0.2\nmax_tokens = {1}\n"
      "[candidate]\nmodel = \"llama/smollm2-135m\"\ntemperature = 1.0\nmax_tokens = {1}\n"
      "system = \"Start every reply with the words: Great question!\"\n",
      prefixes, tokens);
  const std::string command =
      fmt::format("'{}' backtest '{}' --display none", UNDERSTUDY_PROGRAM, folder);
  const int status = std::system(command.c_str());
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return status == 0 ? 0 : 4;
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) {
  return understudy::run(argc > 1 ? argv[1] : "200", argc > 2 ? argv[2] : "48");
}
