// How fast logs are read and de-identified, on the packaged conversations where script/setup has
// put them. Aim: de-identification at 100 MB/s of plain text or more.

#include <benchmark/benchmark.h>

#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "ingest/deidentify/deidentifier.hpp"
#include "ingest/log_reader.hpp"

namespace {

using namespace understudy;

const LogFile kLog = {
    .path = UNDERSTUDY_CACHE_DIR "/sharegpt/ShareGPT_V3_unfiltered_cleaned_split.json",
    .name = "log"};

/// Calls `take` with each whole record; the bytes of text in them.
template <class Take>
std::size_t read_log(const Take& take) {
  Result<LogReader> reader = LogReader::open(kLog, {});
  std::size_t text_bytes = 0;
  while (reader) {
    Result<LogItem> item = reader->next();
    if (!item || std::holds_alternative<EndOfLog>(*item)) break;
    LogRecord* const record = std::get_if<LogRecord>(&*item);
    if (record == nullptr) continue;
    for (const Message& message : record->conversation.messages) {
      text_bytes += message.content.size();
    }
    take(std::move(record->conversation));
  }
  return text_bytes;
}

void read_share_gpt(benchmark::State& state) {
  if (!std::filesystem::exists(kLog.path)) return state.SkipWithError("no packaged conversations");
  std::int64_t total = 0;
  for (auto round : state) {
    const std::size_t bytes = read_log([](Conversation&& c) { benchmark::DoNotOptimize(c); });
    total += static_cast<std::int64_t>(bytes);
  }
  state.SetBytesProcessed(total);
}
BENCHMARK(read_share_gpt)->Unit(benchmark::kMillisecond);

void deidentify_share_gpt(benchmark::State& state) {
  if (!std::filesystem::exists(kLog.path)) return state.SkipWithError("no packaged conversations");
  std::vector<Conversation> conversations;
  const std::size_t bytes =
      read_log([&](Conversation&& c) { conversations.push_back(std::move(c)); });
  std::int64_t total = 0;
  for (auto round : state) {
    for (const Conversation& conversation : conversations) {
      Deidentifier deidentifier;
      for (const Message& message : conversation.messages) {
        benchmark::DoNotOptimize(deidentifier.apply(message.content));
      }
    }
    total += static_cast<std::int64_t>(bytes);
  }
  state.SetBytesProcessed(total);
}
BENCHMARK(deidentify_share_gpt)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
