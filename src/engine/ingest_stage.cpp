// Logs → conversations in the store: read, counted out where not eligible, de-identified.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <map>

#include "engine/log_options.hpp"
#include "engine/study.hpp"
#include "engine/study_files.hpp"
#include "ingest/deidentify/deidentifier.hpp"
#include "ingest/eligibility.hpp"
#include "ingest/log_reader.hpp"
#include "ingest/reject.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

constexpr int kIngestVersion = 1;
constexpr std::size_t kTrainingTextsMax = 4000;
constexpr std::size_t kTrainingBytesMax = std::size_t{12} << 20;

struct LogInput {
  LogFile file;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
};

struct LogInputs {
  std::vector<LogInput> files;
  std::vector<Error> unusable;  ///< paths of study.toml that lead nowhere
};

// One wrong path must not cost the rest; where all are wrong, there is nothing to do.
Result<LogInputs> log_inputs(const Study& study) {
  LogInputs inputs;
  std::vector<std::string> usable;
  for (const std::string& path : study.config.logs.paths) {
    const fs::path given(path);
    const std::string whole =
        given.is_absolute() ? path : (fs::path(study.directory()) / given).string();
    const auto expanded = expand_log_paths({whole});
    if (expanded) {
      usable.push_back(whole);
    } else {
      inputs.unusable.push_back(expanded.error());
      if (inputs.unusable.back().where.file.empty()) inputs.unusable.back().where.file = whole;
    }
  }
  if (usable.empty()) return unexpected(inputs.unusable.front());
  UNDERSTUDY_TRY(const std::vector<LogFile> files, expand_log_paths(usable));
  for (const LogFile& file : files) {
    struct stat info {};
    LogInput input{.file = file};
    if (::stat(file.path.c_str(), &info) == 0) {
      input.size = static_cast<std::uint64_t>(info.st_size);
      input.modified_ns = info.st_mtim.tv_sec * 1'000'000'000L + info.st_mtim.tv_nsec;
    }
    inputs.files.push_back(std::move(input));
  }
  return inputs;
}

}  // namespace

Result<LogOptions> log_options(const StudyConfig::Logs& logs) {
  LogOptions options;
  UNDERSTUDY_TRY(options.format, log_format_named(logs.format));
  options.cluster_path = logs.cluster;
  for (const auto& [path, wanted] : logs.eligible) {
    EligibleFilter filter{.path = path, .expected = false};
    if (wanted.is_boolean())
      filter.expected = wanted.get<bool>();
    else if (wanted.is_number())
      filter.expected = wanted.get<double>();
    else
      filter.expected = wanted.get<std::string>();
    options.eligible.push_back(std::move(filter));
  }
  return options;
}

namespace {

Digest ingest_fingerprint(const StudyConfig& config, const LogInputs& inputs,
                          const std::optional<LeaveOut>& leave_out) {
  Sha256 hash;
  hash.number(kIngestVersion).number(kDeidentifierVersion);
  hash.field(write_json(manifest_json(config)["logs"], JsonStyle::kCanonical));
  for (const LogInput& input : inputs.files) {
    hash.field(input.file.name).number(input.size);
    hash.number(static_cast<std::uint64_t>(input.modified_ns));
  }
  if (leave_out) hash.field(as_bytes(leave_out->identity));
  return hash.finish();
}

// rejects.jsonl appears whole, readable by its owner alone.
class RejectFile {
 public:
  [[nodiscard]] static Result<RejectFile> create(const std::string& directory) {
    RejectFile rejects;
    rejects.path_ = directory + "/rejects.jsonl";
    const int descriptor =
        ::open((rejects.path_ + ".part").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor < 0) {
      return unexpected(ErrorCode::kInfrastructure, "cannot write " + rejects.path_);
    }
    rejects.file_.reset(::fdopen(descriptor, "w"));
    return rejects;
  }
  void add(const Reject& reject) {
    ++counts_[std::string(reject_reason_name(reject.reason))];
    const std::string line = reject_line(reject);
    std::fwrite(line.data(), 1, line.size(), file_.get());
  }
  Result<void> close() {
    std::FILE* const file = file_.get();
    const bool failed =
        std::ferror(file) != 0 || std::fflush(file) != 0 || ::fsync(::fileno(file)) != 0;
    const bool closed = std::fclose(file_.release()) == 0;
    if (failed || !closed || !rename_for_good(path_ + ".part", path_)) {
      return unexpected(ErrorCode::kInfrastructure,
                        "cannot write " + path_ + ": is the disk full?");
    }
    return {};
  }
  [[nodiscard]] const std::map<std::string, std::uint64_t>& counts() const { return counts_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::map<std::string, std::uint64_t> counts_;
};

// Takes eligible conversations: the first few thousand teach the dictionary, then all are stored.
class ConversationWriter {
 public:
  ConversationWriter(StudyStore& store, const std::optional<LeaveOut>& leave_out)
      : store_(store), leave_out_(leave_out) {}

  Result<void> add(Conversation conversation) {
    Deidentifier deidentifier;
    deidentifier.apply(conversation);
    if (leave_out_ && leave_out_->holds(conversation)) {
      ++left_out_;
      return {};
    }
    for (std::size_t i = 0; i < kEntityKindCount; ++i) replaced_[i] += deidentifier.counts()[i];
    clusters_.insert(
        hash64({conversation.cluster.empty() ? conversation.id : conversation.cluster}));
    turns_ += turns_of(conversation.messages).size();
    content_.field(conversation.id).field(conversation.cluster).field(conversation.tools);
    content_.field(encode_messages(conversation.messages));
    ++count_;
    if (trained_) return store(conversation);
    waiting_bytes_ += 1;
    for (const Message& message : conversation.messages) waiting_bytes_ += message.content.size();
    waiting_.push_back(std::move(conversation));
    const bool enough = waiting_.size() >= kTrainingTextsMax || waiting_bytes_ >= kTrainingBytesMax;
    return enough ? train() : Result<void>();
  }

  Result<void> finish() {
    if (!trained_) UNDERSTUDY_CHECK(train());
    return {};
  }

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t left_out() const { return left_out_; }
  /// May be called once.
  [[nodiscard]] Json counts() {
    Json replaced = Json::object();
    for (std::size_t i = 0; i < kEntityKindCount; ++i) {
      replaced[std::string(entity_kind_name(static_cast<EntityKind>(i)))] = replaced_[i];
    }
    return {{"clusters", clusters_.size()},
            {"turns", turns_},
            {"deidentified", replaced},
            {"content", hex(content_.finish())}};
  }

 private:
  Result<void> train() {
    std::vector<std::string> texts;
    for (const Conversation& conversation : waiting_) {
      texts.push_back(encode_messages(conversation.messages));
    }
    UNDERSTUDY_CHECK(store_.set_dictionary(texts));
    trained_ = true;
    for (const Conversation& conversation : waiting_) UNDERSTUDY_CHECK(store(conversation));
    waiting_ = {};
    return {};
  }
  Result<void> store(const Conversation& conversation) {
    return store_.add_conversation(conversation);
  }

  StudyStore& store_;
  const std::optional<LeaveOut>& leave_out_;
  std::uint64_t left_out_ = 0;
  std::vector<Conversation> waiting_;
  std::size_t waiting_bytes_ = 0;
  bool trained_ = false;
  EntityCounts replaced_{};
  HashSet64 clusters_;
  Sha256 content_;  // of all that is kept: names the data in the manifest, wherever the files lie
  std::uint64_t turns_ = 0;
  std::uint64_t count_ = 0;
};

struct Ingest {
  Study& study;
  LogOptions options;
  Eligibility eligibility;
  RejectFile rejects;
  ConversationWriter writer;
  std::uint64_t bytes_total = 0;
  std::uint64_t bytes_before = 0;  // of files that are finished

  Result<void> file(const LogInput& input) {
    auto opened = LogReader::open(input.file, options);
    if (!opened) {
      pass_over(opened.error());
      return {};
    }
    LogReader reader = std::move(opened).value();
    while (true) {
      UNDERSTUDY_TRY(LogItem item, reader.next());
      if (std::holds_alternative<EndOfLog>(item)) break;
      if (const auto* reject = std::get_if<Reject>(&item)) {
        rejects.add(*reject);
      } else {
        LogRecord& record = std::get<LogRecord>(item);
        if (!eligibility.admit(record)) {
          UNDERSTUDY_CHECK(writer.add(std::move(record.conversation)));
        }
      }
      study.world.progress.update(state(reader.file_bytes_read()));
      if (study.world.stop.count() > 0) {
        return unexpected(ErrorCode::kPaused,
                          "stopped while reading the logs: nothing was kept, "
                          "`understudy run` begins again");
      }
    }
    bytes_before += input.size;
    return {};
  }

  // A whole file that can't be read is a reject like a record, and said at once.
  void pass_over(const Error& error) {
    rejects.add({.position = {.file = error.where.file}, .reason = RejectReason::kUnreadable});
    study.world.progress.say("ingest: left out: " + error.describe());
  }

  [[nodiscard]] ProgressState state(std::uint64_t bytes_in_file) const {
    ProgressState state;
    state.stage = "ingest";
    state.done = (bytes_before + bytes_in_file) >> 20;
    state.total = bytes_total >> 20;
    state.unit = "MB";
    return state;
  }
};

Result<void> check_overlap(const LeaveOut& leave_out, std::uint64_t left_out,
                           const Eligibility& eligibility) {
  const double share = static_cast<double>(left_out) / static_cast<double>(eligibility.eligible());
  if (share <= leave_out.share_max) return {};
  return unexpected(
      ErrorCode::kInput,
      fmt::format("{} of {} conversations are those that the forecast was made from, more than "
                  "{:.0f}%: these are not logs of the time after the release",
                  left_out, eligibility.eligible(), 100 * leave_out.share_max));
}

Result<Json> read_all(Study& study, const LogInputs& inputs) {
  UNDERSTUDY_TRY(LogOptions options, log_options(study.config.logs));
  UNDERSTUDY_TRY(RejectFile rejects, RejectFile::create(study.directory()));
  const auto duplicates =
      study.config.logs.duplicates_by_content ? DuplicateRule::kByContent : DuplicateRule::kById;
  Ingest ingest{.study = study,
                .options = options,
                .eligibility = Eligibility(duplicates, options.eligible),
                .rejects = std::move(rejects),
                .writer = ConversationWriter(study.store, study.options.leave_out)};
  for (const Error& error : inputs.unusable) ingest.pass_over(error);
  for (const LogInput& input : inputs.files) ingest.bytes_total += input.size;
  for (const LogInput& input : inputs.files) UNDERSTUDY_CHECK(ingest.file(input));
  UNDERSTUDY_CHECK(ingest.writer.finish());
  UNDERSTUDY_CHECK(ingest.rejects.close());
  Json detail = ingest.writer.counts();
  detail["read"] = ingest.eligibility.read();
  detail["eligible"] = ingest.eligibility.eligible();
  detail["excluded"] = ingest.eligibility.excluded();
  detail["rejected"] = ingest.rejects.counts();
  if (const std::uint64_t left_out = ingest.writer.left_out(); left_out > 0) {
    UNDERSTUDY_CHECK(check_overlap(*study.options.leave_out, left_out, ingest.eligibility));
    detail["eligible"] = ingest.eligibility.eligible() - left_out;
    detail["excluded"]["overlaps_forecast"] = left_out;
  }
  study.world.progress.finish(ingest.state(0));
  if (ingest.writer.count() == 0) {
    return unexpected(ErrorCode::kInput,
                      fmt::format("no eligible conversation in the logs: {} read, {} rejected; "
                                  "rejects.jsonl says where and why",
                                  ingest.eligibility.read(), detail["rejected"].dump()));
  }
  return detail;
}

}  // namespace

Result<StageOutcome> ingest_stage(Study& study) {
  const auto inputs = log_inputs(study);
  if (!inputs) {
    // The logs may be gone once they were read: the study holds what it needs.
    UNDERSTUDY_TRY(const auto earlier, study.store.stage("ingest"));
    if (!earlier) return unexpected(inputs.error());
    study.world.progress.say("ingest: the logs are no longer there; going on with what was read");
    UNDERSTUDY_TRY(Json detail, parse_json(earlier->detail));
    return StageOutcome{.up_to_date = true, .detail = std::move(detail)};
  }
  const Digest fingerprint = ingest_fingerprint(study.config, *inputs, study.options.leave_out);
  UNDERSTUDY_TRY(auto detail, stored_detail(study.store, "ingest", fingerprint));
  if (detail) return StageOutcome{.up_to_date = true, .detail = std::move(*detail)};
  UNDERSTUDY_TRY(const std::int64_t draws, study.store.draw_count());
  if (draws > 0) {
    return unexpected(ErrorCode::kUsage,
                      fmt::format("the logs, or [logs] in study.toml, changed after {} draws were "
                                  "made from them: start a new study, or put them back",
                                  draws));
  }
  UNDERSTUDY_TRY(Transaction transaction, study.store.transaction());
  UNDERSTUDY_CHECK(study.store.clear_conversations());
  UNDERSTUDY_TRY(Json counted, read_all(study, *inputs));
  UNDERSTUDY_CHECK(store_stage(study.store, "ingest", fingerprint, counted));
  UNDERSTUDY_CHECK(transaction.commit());
  return StageOutcome{.up_to_date = false, .detail = std::move(counted)};
}

}  // namespace understudy
