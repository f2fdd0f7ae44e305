// Output and error files of batches → draws, as live replay would have stored them.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "base/text.hpp"
#include "engine/batch_replay.hpp"
#include "engine/study_files.hpp"

namespace understudy {
namespace {

constexpr std::size_t kLineBytesMax = std::size_t{64} << 20;
constexpr std::size_t kGroupSize = 512;  // answers in one transaction

struct Line {
  std::string_view text;  ///< without its break; valid until the next one
  std::uint64_t number = 0;
  std::uint64_t byte_offset = 0;
  bool is_whole = false;   ///< ended by a line break
  bool too_large = false;  ///< `text` is only its beginning
};

/// Lines of a file, the last one perhaps cut off; one too long for memory is passed over.
class LineReader {
 public:
  [[nodiscard]] static Result<LineReader> open(const std::string& path) {
    LineReader reader;
    reader.file_.reset(std::fopen(path.c_str(), "re"));
    if (reader.file_ == nullptr || std::getc(reader.file_.get()) == EOF) {
      if (reader.file_ != nullptr && std::ferror(reader.file_.get()) == 0) return reader;  // empty
      return unexpected(ErrorCode::kUsage, "can't read this file of answers",
                        {.file = path, .line = {}, .byte_offset = {}});
    }
    std::rewind(reader.file_.get());
    return reader;
  }

  [[nodiscard]] std::optional<Line> next() {
    Line line{.text = {}, .number = ++number_, .byte_offset = offset_};
    text_.clear();
    bool any = false;
    while (!line.is_whole) {
      if (at_ == end_) {
        end_ = std::fread(buffer_.data(), 1, buffer_.size(), file_.get());
        at_ = 0;
        if (end_ == 0) break;
      }
      const std::string_view rest(buffer_.data() + at_, end_ - at_);
      const std::size_t found = rest.find('\n');
      const std::string_view piece = rest.substr(0, found);
      line.is_whole = found != std::string_view::npos;
      line.too_large = line.too_large || text_.size() + piece.size() > kLineBytesMax;
      if (!line.too_large) text_.append(piece);
      const std::size_t taken = piece.size() + (line.is_whole ? 1 : 0);
      at_ += taken;
      offset_ += taken;
      any = true;
    }
    if (!any) return std::nullopt;
    line.text = text_;
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (line.number == 1 && line.text.starts_with(kByteOrderMark)) line.text.remove_prefix(3);
    return line;
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  LineReader() : buffer_(std::size_t{1} << 16, '\0') {}
  std::unique_ptr<std::FILE, Close> file_;
  std::string buffer_;
  std::size_t at_ = 0;
  std::size_t end_ = 0;
  std::string text_;
  std::uint64_t number_ = 0;
  std::uint64_t offset_ = 0;
};

/// What collecting needs of an arm besides its draws.
struct ArmAnswers {
  explicit ArmAnswers(BatchArm of_arm) : arm(std::move(of_arm)) {}

  BatchArm arm;
  std::vector<std::pair<std::uint64_t, std::int64_t>> prefixes;  ///< (identity, id), sorted
  std::vector<bool> taken;                  ///< by draw number: waits to be stored
  std::vector<bool> reopen;                 ///< by draw number: the server was too ill to answer
  std::map<std::size_t, Failure> failures;  ///< by draw number: unless an answer comes as well
  std::vector<ChatOutcome> waiting;

  [[nodiscard]] std::optional<std::size_t> number_of(const CustomId& id) const {
    const auto found = std::lower_bound(prefixes.begin(), prefixes.end(),
                                        std::pair(id.prefix_identity, std::int64_t{0}));
    if (found == prefixes.end() || found->first != id.prefix_identity) return std::nullopt;
    return arm.draws.number_of(found->second, id.draw_index);
  }
};

class BatchCollect {
 public:
  BatchCollect(Study& study, BatchRest rest) : study_(study), rest_(rest) {}

  Result<BatchReport> run(std::vector<std::string> files) {
    UNDERSTUDY_TRY(ledger_, load_batches(study_.store));
    bool from_provider = files.empty() && has_uploads();
    if (const auto loaded = load_arms(from_provider); !loaded) {
      // Giving up needs neither a key nor a provider that answers.
      if (!from_provider || rest_ == BatchRest::kWait) return unexpected(loaded.error());
      study_.world.progress.say("batch: the provider is not asked: " + loaded.error().describe());
      from_provider = false;
      UNDERSTUDY_CHECK(load_arms(false));
    }
    if (from_provider) {
      UNDERSTUDY_TRY(files, fetch());
    }
    if (files.empty() && !from_provider && rest_ == BatchRest::kWait) {
      return unexpected(ErrorCode::kUsage,
                        "nothing was uploaded: name the output and error files of the batch");
    }
    // A wrong name is said before anything is stored.
    for (const std::string& path : files) UNDERSTUDY_CHECK(LineReader::open(path));
    for (const std::string& path : files) UNDERSTUDY_CHECK(read(path));
    for (ArmAnswers& arm : arms_) UNDERSTUDY_CHECK(store_failures(arm));
    UNDERSTUDY_CHECK(update_ledger());
    return report();
  }

 private:
  [[nodiscard]] bool has_uploads() const {
    return std::any_of(ledger_.begin(), ledger_.end(), [](const BatchFile& file) {
      return file.state == BatchState::kUploaded || file.state == BatchState::kUploading;
    });
  }

  Result<void> load_arms(bool sends) {
    arms_.clear();
    UNDERSTUDY_TRY(std::vector<BatchArm> arms, batch_arms(study_, sends));
    UNDERSTUDY_TRY(const std::vector<PrefixPlace> places, prefix_places(study_.store));
    UNDERSTUDY_TRY(const std::vector<std::uint64_t> identities,
                   prefix_identities(study_.store, study_.config.logs.source, places));
    for (BatchArm& arm : arms) {
      const bool is_new = arm.draws.done() + arm.draws.out() == 0;
      UNDERSTUDY_CHECK(
          arm.draws.check_identity(is_new ? std::optional(arm.model.identity) : std::nullopt));
      ArmAnswers answers(std::move(arm));
      answers.taken.assign(answers.arm.draws.total(), false);
      answers.reopen.assign(answers.arm.draws.total(), false);
      for (std::size_t i = 0; i < identities.size(); ++i) {
        answers.prefixes.emplace_back(identities[i], static_cast<std::int64_t>(i) + 1);
      }
      std::sort(answers.prefixes.begin(), answers.prefixes.end());
      arms_.push_back(std::move(answers));
    }
    return {};
  }

  // The results of uploaded batches that are over; whatever they do not answer never will be.
  Result<std::vector<std::string>> fetch() {
    std::vector<std::string> paths;
    for (const ArmAnswers& arm : arms_) {
      const std::unique_ptr<BatchApi> api = make_batch_api(arm.arm.model);
      for (BatchFile& file : ledger_) {
        if (!arm.arm.draws.is_of_this_study(file)) continue;
        if (file.state == BatchState::kUploading) {
          const auto settled = settle_upload(*api, file);
          if (!settled && rest_ == BatchRest::kWait) return unexpected(settled.error());
        }
        if (file.state != BatchState::kUploaded) continue;
        UNDERSTUDY_TRY(const RemoteBatch batch, api->state(file.remote));
        file.remote_status = batch.status;
        if (!batch.over) continue;
        for (const std::string& result : batch.results) {
          paths.push_back(fmt::format("{}.answers-{}", file.path(), paths.size() + 1));
          study_.world.progress.say("batch: fetching " + paths.back());
          UNDERSTUDY_CHECK(api->download(result, paths.back()));
        }
        over_.push_back(file.name);
      }
    }
    return paths;
  }

  Result<void> read(const std::string& path) {
    UNDERSTUDY_TRY(LineReader reader, LineReader::open(path));
    ProgressState state{.stage = "batch", .unit = "answers"};
    while (const std::optional<Line> line = reader.next()) {
      if (line->too_large) {
        reject(path, *line, "too_large");
        continue;
      }
      if (trimmed(line->text).empty()) continue;
      ++lines_;
      UNDERSTUDY_CHECK(take(path, *line));
      state.done = lines_;
      study_.world.progress.update(state);
      if (study_.world.stop.count() > 0) {
        return unexpected(ErrorCode::kPaused,
                          "stopped while reading answers: what is stored stays, `batch collect` "
                          "the same files again");
      }
    }
    study_.world.progress.finish(state);
    return {};
  }

  Result<void> take(const std::string& path, const Line& line) {
    for (ArmAnswers& arm : arms_) {
      Result<BatchAnswer> answer = read_batch_line(line.text, *arm.arm.model.protocol);
      if (!answer) {
        reject(path, line, line.is_whole ? "invalid_json" : "truncated");
        return {};
      }
      const Result<CustomId> id = read_custom_id(answer->custom_id);
      if (!id || id->tag != arm.arm.draws.tag()) continue;
      const auto number = arm.number_of(*id);
      if (!number) break;
      return keep(arm, *number, std::move(*answer));
    }
    reject(path, line, "unknown_custom_id");
    return {};
  }

  Result<void> keep(ArmAnswers& arm, std::size_t number, BatchAnswer answer) {
    if (arm.arm.draws.is_finished(number) || arm.taken[number]) {
      ++duplicates_;
      return {};
    }
    if (answer.ask_again && rest_ != BatchRest::kFailed) {
      if (!arm.reopen[number]) ++again_;
      arm.reopen[number] = true;
      return {};
    }
    if (arm.reopen[number]) --again_;
    arm.reopen[number] = false;
    if (auto* const failure = std::get_if<Failure>(&answer.outcome)) {
      if (!arm.failures.try_emplace(number, std::move(*failure)).second) ++duplicates_;
      return {};
    }
    return add(arm, number, std::move(answer.outcome));
  }

  Result<void> add(ArmAnswers& arm, std::size_t number, DrawOutcome outcome) {
    arm.taken[number] = true;
    arm.waiting.push_back(
        {.id = static_cast<std::uint64_t>(pack_draw_key(arm.arm.draws.key_of(number))),
         .outcome = std::move(outcome)});
    return arm.waiting.size() >= kGroupSize ? flush(arm) : Result<void>();
  }

  Result<void> flush(ArmAnswers& arm) {
    if (arm.waiting.empty()) return {};
    stored_ += arm.waiting.size();
    std::vector<ChatOutcome> group;
    group.swap(arm.waiting);
    return arm.arm.draws.store(std::move(group));
  }

  // Last, so that no record depends on the order of lines: an answer goes before a failure.
  Result<void> store_failures(ArmAnswers& arm) {
    const ArmDraws& draws = arm.arm.draws;
    UNDERSTUDY_CHECK(flush(arm));
    for (auto& [number, failure] : arm.failures) {
      if (arm.taken[number]) {
        ++duplicates_;
      } else {
        UNDERSTUDY_CHECK(add(arm, number, std::move(failure)));
      }
    }
    UNDERSTUDY_CHECK(flush(arm));
    if (rest_ != BatchRest::kFailed) return {};
    for (std::size_t number = 0; number < draws.total(); ++number) {
      if (draws.is_open(number) || draws.is_finished(number) || arm.taken[number]) continue;
      UNDERSTUDY_CHECK(
          add(arm, number, Failure{FailureReason::kTimeout, "no answer in the batch"}));
    }
    return flush(arm);
  }

  // Keeps as out what is still waited for. A crash before this costs nothing: what is stored is
  // known, and collecting the same files again gives the same.
  Result<void> update_ledger() {
    for (BatchFile& file : ledger_) {
      for (const ArmAnswers& arm : arms_) {
        if (arm.arm.draws.is_of_this_study(file)) file.out = still_out(file, arm);
      }
      const bool is_over = rest_ != BatchRest::kWait ||
                           std::find(over_.begin(), over_.end(), file.name) != over_.end();
      if (is_over) file.out.clear();
      if (file.out.empty()) file.state = BatchState::kClosed;
    }
    return save_batches(study_.store, ledger_);
  }

  static DrawRuns still_out(const BatchFile& file, const ArmAnswers& arm) {
    DrawRuns out;
    for (const auto& [first, count] : file.out) {
      for (std::uint64_t at = first; at < first + count; ++at) {
        const auto number = arm.arm.draws.number_of(static_cast<std::int64_t>(at / file.draws) + 1,
                                                    at % file.draws);
        if (number && (arm.arm.draws.is_finished(*number) || arm.reopen[*number])) continue;
        append_draw(out, at);
      }
    }
    return out;
  }

  void reject(const std::string& path, const Line& line, const char* reason) {
    ++rejected_[reason];
    rejects_ += write_json({{"file", path},
                            {"line", line.number},
                            {"byte_offset", line.byte_offset},
                            {"reason", reason}},
                           JsonStyle::kCanonical) +
                "\n";
  }

  Result<BatchReport> report() {
    std::uint64_t rejected = 0;
    for (const auto& [reason, count] : rejected_) rejected += count;
    if (rejected > 0) {
      const std::string folder = study_.directory() + "/batch";
      UNDERSTUDY_CHECK(make_batch_folder(folder));
      UNDERSTUDY_CHECK(write_whole_file(folder + "/rejects.jsonl", rejects_));
      if (stored_ + duplicates_ + again_ == 0) {
        return unexpected(
            ErrorCode::kInput,
            fmt::format("no line of these files is an answer of this study under its settings: "
                        "{}/rejects.jsonl says where and why",
                        folder));
      }
      study_.world.progress.say(
          fmt::format("batch: {} lines left out, see {}/rejects.jsonl", rejected, folder));
    }
    std::vector<BatchArm> arms;
    UNDERSTUDY_TRY(arms, batch_arms(study_, false));
    BatchReport report{.document = batch_document(arms, ledger_), .paused = {}};
    report.document["collected"] = {{"stored", stored_},
                                    {"duplicates", duplicates_},
                                    {"ask_again", again_},
                                    {"rejected", rejected_}};
    return report;
  }

  Study& study_;
  BatchRest rest_;
  std::vector<BatchFile> ledger_;
  std::vector<ArmAnswers> arms_;
  std::vector<std::string> over_;  ///< names of files whose batch is over
  std::uint64_t lines_ = 0;
  std::uint64_t stored_ = 0;
  std::uint64_t duplicates_ = 0;
  std::uint64_t again_ = 0;
  std::map<std::string, std::uint64_t> rejected_;
  std::string rejects_;
};

}  // namespace

Result<BatchReport> batch_collect(Study& study, const std::vector<std::string>& files,
                                  BatchRest rest) {
  return BatchCollect(study, rest).run(files);
}

}  // namespace understudy
