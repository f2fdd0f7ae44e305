#include "generated_logs.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <unordered_map>
#include <vector>

#include "base/assert.hpp"
#include "base/json.hpp"
#include "base/rng.hpp"
#include "ingest/log_reader.hpp"

namespace understudy {
namespace {

constexpr std::size_t kCorpusBytes = std::size_t{24} << 20;

struct MessageShape {
  Role role = Role::kUser;
  std::size_t bytes = 0;
};

// A chain of order two: from a place in the corpus, the next word is what followed one of the
// places where the last two words stand, all alike.
class WordChain {
 public:
  // Words come with the spaces that follow them. Texts of one role stand behind one another.
  void learn(Role role, std::string_view text) {
    if (words_.size() < 2) add("");
    starts_[role == Role::kUser ? 0 : 1].push_back(static_cast<std::uint32_t>(words_.size()));
    while (!text.empty()) {
      const std::size_t space = std::min(text.find_first_of(" \n"), text.size());
      const std::size_t end = std::min(text.find_first_not_of(" \n", space), text.size());
      add(text.substr(0, end));
      text.remove_prefix(end);
    }
  }

  // Sorts the places by the two words before them: those alike stand in a run.
  void finish() {
    order_.resize(words_.size() - 2);
    std::iota(order_.begin(), order_.end(), 2U);
    const auto before = [&](std::uint32_t place) {
      return (std::uint64_t{words_[place - 2]} << 32) | words_[place - 1];
    };
    std::sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) {
      return before(a) != before(b) ? before(a) < before(b) : a < b;
    });
    runs_.resize(words_.size());
    for (std::size_t first = 0; first < order_.size();) {
      std::size_t end = first;
      while (end < order_.size() && before(order_[end]) == before(order_[first])) ++end;
      for (std::size_t i = first; i < end; ++i) {
        runs_[order_[i]] = {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(end)};
      }
      first = end;
    }
  }

  // About `bytes` of text: whole words, at least one.
  void write(Role role, std::size_t bytes, Rng& rng, std::string& out) const {
    const std::vector<std::uint32_t>& starts = starts_[role == Role::kUser ? 0 : 1];
    std::size_t place = starts[rng.below(starts.size())];
    const std::size_t end = out.size() + std::max<std::size_t>(bytes, 1);
    while (out.size() < end) {
      out += texts_[words_[place]];
      ++place;
      if (place >= words_.size()) place = starts[rng.below(starts.size())];
      const Run run = runs_[place];
      if (run.end > run.first + 1) place = order_[run.first + rng.below(run.end - run.first)];
    }
  }

 private:
  struct Run {
    std::uint32_t first = 0;
    std::uint32_t end = 0;
  };
  void add(std::string_view word) {
    const auto [found, is_new] =
        ids_.try_emplace(std::string(word), static_cast<std::uint32_t>(texts_.size()));
    if (is_new) texts_.emplace_back(word);
    words_.push_back(found->second);
  }

  std::unordered_map<std::string, std::uint32_t> ids_;
  std::vector<std::string> texts_;
  std::vector<std::uint32_t> words_;  // the corpus
  std::vector<std::uint32_t> order_;
  std::vector<Run> runs_;  // of order_, by place
  std::vector<std::uint32_t> starts_[2];
};

struct Corpus {
  WordChain chain;
  std::vector<std::vector<MessageShape>> shapes;
};

Result<Corpus> learn(const std::string& path) {
  UNDERSTUDY_TRY(LogReader reader, LogReader::open({.path = path, .name = "corpus"}, {}));
  Corpus corpus;
  std::size_t learned = 0;
  while (true) {
    UNDERSTUDY_TRY(const LogItem item, reader.next());
    if (std::holds_alternative<EndOfLog>(item)) break;
    const auto* record = std::get_if<LogRecord>(&item);
    if (record == nullptr || record->conversation.messages.empty()) continue;
    if (record->conversation.messages.front().role != Role::kUser) continue;
    std::vector<MessageShape> shape;
    for (const Message& message : record->conversation.messages) {
      shape.push_back({message.role, message.content.size()});
      // Every fourth conversation, so that the words come from all over the corpus.
      if (corpus.shapes.size() % 4 != 0 || learned >= kCorpusBytes) continue;
      corpus.chain.learn(message.role, message.content);
      learned += message.content.size();
    }
    corpus.shapes.push_back(std::move(shape));
  }
  if (learned == 0) return unexpected(ErrorCode::kInput, "no conversation to learn from: " + path);
  corpus.chain.finish();
  return corpus;
}

// A file that is one zstd stream.
class ZstdFile {
 public:
  explicit ZstdFile(const std::string& path) : file_(std::fopen(path.c_str(), "wb")) {
    ZSTD_CCtx_setParameter(stream_, ZSTD_c_compressionLevel, 1);
  }
  ~ZstdFile() { ZSTD_freeCCtx(stream_); }
  ZstdFile(const ZstdFile&) = delete;
  ZstdFile& operator=(const ZstdFile&) = delete;

  void write(std::string_view text, ZSTD_EndDirective end = ZSTD_e_continue) {
    ZSTD_inBuffer in{text.data(), text.size(), 0};
    for (bool more = true; more;) {
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      const std::size_t left = ZSTD_compressStream2(stream_, &out, &in, end);
      UNDERSTUDY_ASSERT(ZSTD_isError(left) == 0);
      ok_ = ok_ && file_ && std::fwrite(out_.data(), 1, out.pos, file_.get()) == out.pos;
      more = end == ZSTD_e_end ? left > 0 : in.pos < in.size;
    }
  }
  [[nodiscard]] bool close() {
    write({}, ZSTD_e_end);
    return ok_ && std::fclose(file_.release()) == 0;
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_;
  ZSTD_CCtx* stream_ = ZSTD_createCCtx();
  std::string out_ = std::string(std::size_t{1} << 17, '\0');
  bool ok_ = true;
};

}  // namespace

Result<std::uint64_t> write_generated_log(const GeneratedLogOptions& options,
                                          const std::string& path) {
  UNDERSTUDY_TRY(const Corpus corpus, learn(options.corpus));
  ZstdFile file(path);
  std::uint64_t bytes = 0;
  std::string record, text;
  for (std::uint64_t i = 0; i < options.conversations; ++i) {
    Rng rng(options.seed, i);
    record = fmt::format(R"({{"id":"{:016x}","metadata":{{"user":"{}"}},"messages":[)", rng.next(),
                         rng.below(options.conversations / 3 + 1));
    for (const MessageShape& shape : corpus.shapes[rng.below(corpus.shapes.size())]) {
      text.clear();
      corpus.chain.write(shape.role, shape.bytes / options.shortened, rng, text);
      bytes += text.size();
      record += fmt::format(R"({{"role":"{}","content":)", role_name(shape.role));
      append_json_string(record, text);
      record += "},";
    }
    record.back() = ']';
    file.write(record += "}\n");
  }
  if (!file.close()) return unexpected(ErrorCode::kInfrastructure, "cannot write " + path);
  return bytes;
}

}  // namespace understudy
