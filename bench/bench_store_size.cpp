// How small a study is on disk: bytes of study.db over the bytes of its unique text in one stream
// of `zstd -3`. The aim is 1.4 or less.
//
//   bench_store_size               the packaged conversations, ingested and sampled here
//   bench_store_size [LOG|DIR]…    other logs likewise; folders are studies, taken as they are
//
// Unique text: every different text that the study holds, once, in the order of the store, as it is
// stored (de-identified): contents and reasoning of messages, names and arguments of tool calls,
// tool schemas; then the same of the draws' answers. Ids, roles, times and numbers are not text.

#include <fmt/format.h>
#include <zstd.h>

#include <filesystem>
#include <unordered_set>

#include "base/assert.hpp"
#include "engine/study.hpp"
#include "store/study_store.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

const std::string kShareGpt =
    UNDERSTUDY_CACHE_DIR "/sharegpt/ShareGPT_V3_unfiltered_cleaned_split.json";

// One zstd -3 stream of the texts that are given, each taken once.
class UniqueText {
 public:
  UniqueText() { ZSTD_CCtx_setParameter(stream_, ZSTD_c_compressionLevel, 3); }
  ~UniqueText() { ZSTD_freeCCtx(stream_); }
  UniqueText(const UniqueText&) = delete;
  UniqueText& operator=(const UniqueText&) = delete;

  void add(std::string_view text) {
    if (text.empty() || !seen_.insert(hash64({text})).second) return;
    bytes_ += text.size();
    compress(text, ZSTD_e_continue);
  }
  void add_calls(const std::vector<ToolCall>& calls) {
    for (const ToolCall& call : calls) {
      add(call.name);
      add(call.arguments);
    }
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  /// May be called once.
  [[nodiscard]] std::uint64_t compressed() {
    compress({}, ZSTD_e_end);
    return compressed_;
  }

 private:
  void compress(std::string_view text, ZSTD_EndDirective end) {
    ZSTD_inBuffer in{text.data(), text.size(), 0};
    for (bool more = true; more;) {
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      const std::size_t left = ZSTD_compressStream2(stream_, &out, &in, end);
      UNDERSTUDY_ASSERT(ZSTD_isError(left) == 0);
      compressed_ += out.pos;
      more = end == ZSTD_e_end ? left > 0 : in.pos < in.size;
    }
  }

  ZSTD_CCtx* stream_ = ZSTD_createCCtx();
  std::string out_ = std::string(std::size_t{1} << 17, '\0');
  std::unordered_set<std::uint64_t> seen_;
  std::uint64_t bytes_ = 0;
  std::uint64_t compressed_ = 0;
};

Result<void> add_texts(StudyStore& store, UniqueText& unique) {
  UNDERSTUDY_CHECK(store.for_each_conversation([&](const StoredConversation& stored) {
    unique.add(stored.conversation.tools);
    for (const Message& message : stored.conversation.messages) {
      unique.add(message.content);
      unique.add(message.reasoning);
      unique.add_calls(message.tool_calls);
    }
    return Result<void>();
  }));
  for (const Arm arm : {Arm::kCandidate, Arm::kDeployedReplay}) {
    UNDERSTUDY_CHECK(store.for_each_draw(arm, [&](const StoredDraw& draw) {
      if (const auto* answer = std::get_if<Completion>(&draw.outcome)) {
        unique.add(answer->content);
        unique.add(answer->reasoning);
        unique.add_calls(answer->tool_calls);
      }
      return Result<void>();
    }));
  }
  return {};
}

Result<void> print_size(const std::string& name, const std::string& directory) {
  UniqueText unique;
  {
    UNDERSTUDY_TRY(StudyStore store, StudyStore::open(directory, StudyStore::Mode::kRead));
    UNDERSTUDY_CHECK(add_texts(store, unique));
  }
  // Closed by its last writer, a study has no write-ahead log left: study.db is all there is.
  if (fs::exists(directory + "/study.db-wal") && fs::file_size(directory + "/study.db-wal") > 0) {
    return unexpected(ErrorCode::kUsage, directory + " is not closed: study.db-wal is there");
  }
  const auto stored = static_cast<double>(fs::file_size(directory + "/study.db"));
  const auto stream = static_cast<double>(unique.compressed());
  fmt::print("{:<20} unique text {:8.2f} MB, zstd -3 {:8.2f} MB, study.db {:8.2f} MB: {:.3f} x\n",
             name, static_cast<double>(unique.bytes()) / 1e6, stream / 1e6, stored / 1e6,
             stored / stream);
  std::fflush(stdout);
  return {};
}

class NeverStop final : public StopRequest {
 public:
  [[nodiscard]] int count() const override { return 0; }
};

// Ingests and samples a log with the default study, so that frame and prefixes are in it.
Result<void> ingest(const std::string& log, const std::string& directory) {
  SystemClock clock;
  const NeverStop stop;
  Progress progress(Display::kNone, clock, [](std::string_view) {});
  UNDERSTUDY_TRY(StudyConfig config,
                 parse_study_config(fmt::format("[logs]\npaths = [\"{}\"]\n[candidate]\nmodel = "
                                                "\"vllm/mock\"\nmax_tokens = 256\n",
                                                log),
                                    "study.toml"));
  UNDERSTUDY_TRY(StudyStore store, StudyStore::open(directory, StudyStore::Mode::kCreate));
  Study study{.config = std::move(config),
              .store = std::move(store),
              .world = {.clock = clock, .stop = stop, .progress = progress, .make_model = {}},
              .options = {},
              .models = {}};
  UNDERSTUDY_CHECK(ingest_stage(study));
  UNDERSTUDY_CHECK(sample_stage(study));
  return {};
}

Result<void> measure_log(const std::string& name, const std::string& log) {
  if (!fs::exists(log)) {
    fmt::print("{:<20} left out: there is no {}\n", name, log);
    return {};
  }
  const std::string directory =
      (fs::temp_directory_path() / ("understudy_bench_store_" + name)).string();
  fs::remove_all(directory);
  UNDERSTUDY_CHECK(ingest(log, directory));
  UNDERSTUDY_CHECK(print_size(name, directory));
  fs::remove_all(directory);
  return {};
}

Result<void> run(std::span<char* const> paths) {
  if (paths.empty()) return measure_log("ShareGPT", kShareGpt);
  for (const char* path : paths) {
    const std::string name = fs::path(path).filename().string();
    UNDERSTUDY_CHECK(fs::is_directory(path) ? print_size(name, path) : measure_log(name, path));
  }
  return {};
}

}  // namespace
}  // namespace understudy

int main(int count, char** arguments) {
  const std::span<char* const> all(arguments, static_cast<std::size_t>(count));
  if (const auto done = understudy::run(all.subspan(1)); !done) {
    fmt::print(stderr, "bench_store_size: {}\n", done.error().describe());
    return 1;
  }
  return 0;
}
