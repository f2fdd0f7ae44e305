// Open draws → files of requests, and on demand to the provider.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "engine/batch_replay.hpp"
#include "engine/study_files.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

/// One file of requests, readable by its owner alone; appears whole.
class RequestFile {
 public:
  [[nodiscard]] static Result<RequestFile> create(const std::string& path) {
    RequestFile out;
    out.path_ = path;
    const int descriptor =
        ::open((path + ".part").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor < 0) return unexpected(ErrorCode::kInfrastructure, "cannot write " + path);
    out.file_.reset(::fdopen(descriptor, "w"));
    return out;
  }
  void add(const std::string& line) { std::fwrite(line.data(), 1, line.size(), file_.get()); }
  Result<void> close() {
    const bool written = std::fflush(file_.get()) == 0 && std::ferror(file_.get()) == 0 &&
                         ::fsync(::fileno(file_.get())) == 0;
    const bool closed = std::fclose(file_.release()) == 0;
    if (!written || !closed || std::rename((path_ + ".part").c_str(), path_.c_str()) != 0) {
      return unexpected(ErrorCode::kInfrastructure,
                        "cannot write " + path_ + ": is the disk full?");
    }
    return {};
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

class BatchSubmit {
 public:
  BatchSubmit(Study& study, const BatchSubmitOptions& options)
      : study_(study),
        options_(options),
        folder_(options.folder.empty() ? study.directory() + "/batch" : options.folder) {}

  Result<BatchReport> run() {
    UNDERSTUDY_TRY(std::vector<BatchArm> arms, batch_arms(study_, options_.upload));
    UNDERSTUDY_TRY(files_, load_batches(study_.store));
    UNDERSTUDY_TRY(spending_, study_.spending());
    for (BatchArm& arm : arms) {
      UNDERSTUDY_CHECK(arm.draws.check_batches());
      UNDERSTUDY_CHECK(arm.draws.check_identity(arm.model.identity));
      UNDERSTUDY_CHECK(write(arm));
      // From here on what was written is out.
      UNDERSTUDY_TRY(std::vector<PrefixPlace> prefixes, prefix_places(study_.store));
      UNDERSTUDY_TRY(arm.draws, ArmDraws::load(study_, arm.draws.arm(), std::move(prefixes)));
      if (options_.upload) UNDERSTUDY_CHECK(upload(arm));
    }
    BatchReport report{.document = batch_document(arms, files_), .paused = {}};
    report.document["written"] = written_;
    report.document["uploaded"] = uploaded_;
    report.document["too_large"] = too_large_;
    if (held_back_) report.paused = held_back_;
    return report;
  }

 private:
  // How many more requests may be paid for. What is out counts as paid, other than `not_sent`.
  std::uint64_t allowance(const BatchArm& arm, std::uint64_t not_sent) const {
    RoleProgress progress = arm.draws.progress();
    progress.in_flight -= not_sent;
    const std::uint64_t asked = progress.done + progress.in_flight;
    const std::uint64_t pilot = kPilotDraws - std::min(kPilotDraws, asked);
    const auto& budget = study_.config.budget;
    std::uint64_t most = UINT64_MAX;
    if (budget.cost || budget.tokens) {
      // Nothing to judge by yet: a pilot tells what the rest will use.
      most = progress.done > 0 ? spending_->affordable(progress) : pilot;
    }
    const bool pilot_first =
        options_.upload && arm.model.costs_money && !budget.cost && !study_.options.limit;
    return pilot_first ? std::min(most, pilot) : most;
  }

  void hold_back(const BatchArm& arm, std::uint64_t count) {
    if (held_back_) return;
    held_back_ = Error{
        ErrorCode::kPaused,
        fmt::format("{} more draws of the {} arm would use {}: `understudy batch collect {}` what "
                    "is out, then raise [budget] (or set budget.cost and [prices]) and submit "
                    "again",
                    count, arm_name(arm.draws.arm()),
                    spending_->estimate_text(arm.draws.progress(), count), study_.directory()),
        {}};
  }

  // Requests stream through one open file; the ledger knows a file once it is whole.
  Result<void> write(BatchArm& arm) {
    const ArmDraws& draws = arm.draws;
    const std::uint64_t open = draws.total() - draws.done() - draws.out();
    std::uint64_t left = std::min(open, allowance(arm, 0));
    if (left < open) hold_back(arm, open - left);
    ProgressState state{.stage = "batch", .done = 0, .total = left, .unit = "requests"};
    BatchSplitter splitter;
    std::size_t part = 0;
    std::optional<RequestFile> file;
    BatchFile entry;
    for (std::size_t number = 0; number < draws.total() && left > 0; ++number) {
      if (!draws.is_open(number)) continue;
      if (study_.world.stop.count() > 0) {
        return unexpected(ErrorCode::kPaused,
                          "stopped while writing requests: whole files are kept, `batch submit` "
                          "goes on");
      }
      UNDERSTUDY_TRY(const auto line, line_of(arm, number));
      if (!line) continue;
      const auto place = splitter.file_of(line->size());
      if (!place) {
        ++too_large_;
        continue;
      }
      if (file && *place != part) {
        UNDERSTUDY_CHECK(finish(*file, entry));
        file.reset();
      }
      if (!file) {
        part = *place;
        entry = next_file(draws);
        UNDERSTUDY_CHECK(make_batch_folder(folder_));
        UNDERSTUDY_TRY(file, RequestFile::create(entry.path()));
      }
      file->add(*line);
      append_draw(entry.out, number);
      ++entry.asked;
      --left;
      ++state.done;
      study_.world.progress.update(state);
    }
    if (file) UNDERSTUDY_CHECK(finish(*file, entry));
    if (state.done > 0) study_.world.progress.finish(state);
    return {};
  }

  // Nothing for a request that can't be written: it has failed, as it would have live.
  Result<std::optional<std::string>> line_of(BatchArm& arm, std::size_t number) {
    UNDERSTUDY_TRY(const ChatRequest request, arm.draws.request(number));
    const std::string id = custom_id_of({.tag = arm.draws.tag(),
                                         .prefix_identity = request.prefix_identity,
                                         .draw_index = request.draw_index});
    Result<std::string> line =
        batch_line(id, request, *arm.model.protocol, batch_form(arm.model.spec));
    if (line) return std::optional<std::string>(std::move(*line));
    std::vector<ChatOutcome> failed;
    failed.push_back({.id = request.id,
                      .outcome = Failure{FailureReason::kBadRequest, line.error().message},
                      .attempts = 0});
    UNDERSTUDY_CHECK(arm.draws.store(std::move(failed)));
    return std::optional<std::string>();
  }

  [[nodiscard]] BatchFile next_file(const ArmDraws& draws) const {
    BatchFile file{.name = {},
                   .folder = folder_,
                   .arm = draws.arm(),
                   .tag = draws.tag(),
                   .frame = draws.frame(),
                   .draws = study_.config.sample.draws,
                   .out = {},
                   .remote = {},
                   .remote_status = {}};
    std::error_code ignored;
    std::size_t count = files_.size();
    do {
      file.name = fmt::format("batch-{:04}-{}.jsonl", ++count, arm_name(draws.arm()));
    } while (fs::exists(file.path(), ignored));
    return file;
  }

  Result<void> finish(RequestFile& file, const BatchFile& entry) {
    UNDERSTUDY_CHECK(file.close());
    files_.push_back(entry);
    written_.push_back(entry.path());
    return save_batches(study_.store, files_);
  }

  Result<void> upload(BatchArm& arm) {
    const std::unique_ptr<BatchApi> api = make_batch_api(arm.model);
    std::uint64_t not_sent = 0;
    for (BatchFile& file : files_) {
      if (!arm.draws.is_of_this_study(file)) continue;
      if (file.state == BatchState::kUploading) {
        UNDERSTUDY_CHECK(settle_upload(*api, file));
        UNDERSTUDY_CHECK(save_batches(study_.store, files_));
      }
      if (file.state == BatchState::kWritten) not_sent += count_draws(file.out);
    }
    std::uint64_t left = allowance(arm, std::min(not_sent, arm.draws.out()));
    for (BatchFile& file : files_) {
      const std::uint64_t count = count_draws(file.out);
      if (!arm.draws.is_of_this_study(file) || file.state != BatchState::kWritten || count == 0) {
        continue;
      }
      if (count > left) {
        hold_back(arm, count);
        continue;
      }
      left -= count;
      UNDERSTUDY_CHECK(send(*api, file));
    }
    return {};
  }

  // The state is on disk before the money is spent, so that no crash can spend it twice.
  Result<void> send(BatchApi& api, BatchFile& file) {
    study_.world.progress.say(fmt::format("batch: uploading {}", file.path()));
    file.state = BatchState::kUploading;
    UNDERSTUDY_CHECK(save_batches(study_.store, files_));
    Result<RemoteBatch> batch = api.submit(file.path(), remote_name(file));
    if (!batch) {
      if (batch.error().code == ErrorCode::kUsage) file.state = BatchState::kWritten;
      UNDERSTUDY_CHECK(save_batches(study_.store, files_));
      return unexpected(std::move(batch).error());
    }
    file.state = BatchState::kUploaded;
    file.remote = batch->id;
    file.remote_status = batch->status;
    uploaded_.push_back(file.name);
    return save_batches(study_.store, files_);
  }

  Study& study_;
  const BatchSubmitOptions& options_;
  std::string folder_;
  std::vector<BatchFile> files_;
  Spending* spending_ = nullptr;
  std::vector<std::string> written_;
  std::vector<std::string> uploaded_;
  std::uint64_t too_large_ = 0;
  std::optional<Error> held_back_;
};

}  // namespace

Result<BatchReport> batch_submit(Study& study, const BatchSubmitOptions& options) {
  return BatchSubmit(study, options).run();
}

}  // namespace understudy
