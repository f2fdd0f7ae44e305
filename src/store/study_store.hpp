#pragma once
// The study database: one writer, everything that happened. Records go in and out as plain types;
// how they are packed is this module's business alone (schema.cpp, compressor.hpp).
//
// Errors are infrastructure: disk, lock, damage. What was committed survives kill -9 and power loss
// (WAL, synchronous = FULL). Thread rule: one thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.hpp"
#include "base/result.hpp"
#include "records/conversation.hpp"
#include "records/draw.hpp"
#include "records/frame.hpp"
#include "records/trajectory.hpp"
#include "records/verdict.hpp"
#include "store/compressor.hpp"
#include "store/log_sync.hpp"
#include "store/sqlite.hpp"

namespace understudy {

struct StoredConversation {
  std::int64_t id = 0;
  std::uint64_t cluster = 0;
  Conversation conversation;
  std::vector<FrameTurn> turns;  ///< of the frame; filled by for_each_framed
};

struct FrameRow {
  std::int64_t conversation = 0;
  std::uint64_t cluster = 0;
  std::string external_id;
  std::vector<FrameTurn> turns;
};

struct PrefixRow {
  std::int64_t id = 0;
  std::int64_t conversation = 0;
  std::uint32_t cut = 0;
  double pi = 1;  ///< inclusion probability, (0, 1]
  Digest content_hash{};
};

struct PrefixCluster {
  std::int64_t id = 0;
  std::int64_t conversation = 0;
  std::uint32_t cut = 0;
  std::uint64_t cluster = 0;
  double pi = 1;  ///< inclusion probability
};

struct DrawKey {
  Arm arm = Arm::kCandidate;
  std::int64_t prefix = 0;
  std::uint32_t index = 0;
  bool operator==(const DrawKey&) const = default;
};
inline constexpr std::uint32_t kDrawsPerPrefixMax = 1U << 16;
/// Arm, prefix and index as one integer that sorts in that order.
[[nodiscard]] std::int64_t pack_draw_key(const DrawKey& key);
[[nodiscard]] DrawKey unpack_draw_key(std::int64_t packed);

struct StoredDraw {
  DrawKey key;
  std::uint32_t attempts = 1;
  DrawOutcome outcome;
  std::optional<std::uint64_t> window_bytes;  ///< how much of the answer is graded; none: all
  std::optional<Trajectory> trajectory = {};  ///< where the answer is the last of a trajectory
};

struct DrawStatus {
  DrawKey key;
  std::optional<FailureReason> failed;
};

struct StageRecord {
  Digest fingerprint{};
  std::string detail;  ///< JSON: what the stage counted
};

class StudyStore {
 public:
  enum class Mode { kCreate, kWrite, kRead };
  /// kCreate makes the directory (0700) and the database (0600); kWrite and kRead want them there.
  /// A file system whose locks do not work is refused; so is a study that another process writes.
  /// `vfs`: as for Database::open.
  [[nodiscard]] static Result<StudyStore> open(const std::string& directory, Mode mode,
                                               const char* vfs = nullptr);

  [[nodiscard]] Result<std::optional<std::string>> meta(std::string_view key);
  Result<void> set_meta(std::string_view key, std::string_view value);
  [[nodiscard]] Result<std::optional<StageRecord>> stage(std::string_view name);
  Result<void> set_stage(std::string_view name, const StageRecord& record);

  /// Every change below needs an open transaction; group what belongs together.
  [[nodiscard]] Result<Transaction> transaction() { return Transaction::begin(*database_); }

  /// Several reads in one: each of its own locks the database and looks for news in the log.
  [[nodiscard]] Result<Transaction> reading() { return Transaction::begin_reading(*database_); }
  /// While it lives, commits are made durable beside the caller (log_sync.hpp). May be null.
  [[nodiscard]] Result<std::unique_ptr<LogSync>> start_log_sync();

  // Conversations ----------------------------------------------------------------------------
  /// Drops all that came from the logs: conversations, frame, prefixes. Draws must be none.
  Result<void> clear_conversations();
  /// Trains the dictionary; must come before the first conversation. `texts`: encode_messages.
  Result<void> set_dictionary(std::span<const std::string> texts);
  Result<void> add_conversation(const Conversation& conversation);
  [[nodiscard]] Result<StoredConversation> conversation(std::int64_t id);
  using ConversationVisitor = std::function<Result<void>(const StoredConversation&)>;
  Result<void> for_each_conversation(const ConversationVisitor& visit);

  /// What the logs say wrote them: up to three names, most frequent first; "" where they do not.
  [[nodiscard]] Result<std::string> logged_models();

  // Frame and prefixes -----------------------------------------------------------------------
  Result<void> clear_frame();
  Result<void> add_frame(std::int64_t conversation, const std::vector<FrameTurn>& turns);
  /// By conversation id; without the text. Passes over every conversation for its external id.
  Result<void> for_each_frame_row(const std::function<Result<void>(const FrameRow&)>& visit);
  /// The same without the external id: reads the frame alone.
  using FrameClusterVisitor = std::function<Result<void>(
      std::int64_t conversation, std::uint64_t cluster, const std::vector<FrameTurn>& turns)>;
  Result<void> for_each_frame_cluster(const FrameClusterVisitor& visit);
  /// When each conversation of the frame took place (Unix seconds, UTC), by id; without the text.
  using TimeVisitor =
      std::function<Result<void>(std::int64_t conversation, std::optional<std::int64_t> time_s)>;
  Result<void> for_each_frame_time(const TimeVisitor& visit);
  /// Conversations that have turns in the frame, with text.
  Result<void> for_each_framed(const ConversationVisitor& visit);
  [[nodiscard]] Result<StoredConversation> framed_conversation(std::int64_t id);
  /// Draws must be none.
  Result<void> clear_prefixes();
  Result<void> add_prefix(const PrefixRow& prefix);
  /// Same inclusion probability for all: the design gives every prefix the same.
  Result<void> set_inclusion_probability(double pi);
  /// Of one prefix, where the design weighs prefixes.
  Result<void> set_inclusion_probability(std::int64_t prefix, double pi);
  Result<void> for_each_prefix(const std::function<Result<void>(const PrefixRow&)>& visit);
  /// By prefix id, with the cluster of its conversation.
  using PrefixClusterVisitor = std::function<Result<void>(const PrefixCluster&)>;
  Result<void> for_each_prefix_cluster(const PrefixClusterVisitor& visit);

  // Draws ------------------------------------------------------------------------------------
  /// Its steps are there already: add_step.
  Result<void> add_draw(const StoredDraw& draw);
  /// Finished ones and those that have a step.
  [[nodiscard]] Result<std::int64_t> draw_count();
  /// Step `number` of a draw that goes on, from 0; replaces what is there.
  Result<void> add_step(const DrawKey& key, std::size_t number, const TrajectoryStep& step);
  /// The last step became the draw's answer.
  Result<void> remove_step(const DrawKey& key, std::size_t number);
  [[nodiscard]] Result<std::vector<TrajectoryStep>> steps(const DrawKey& key);
  /// Draws that have steps and no answer yet, in key order.
  Result<void> for_each_begun(Arm arm, const std::function<Result<void>(const DrawKey&)>& visit);
  /// Who has ended and how, in key order, without reading answers.
  Result<void> for_each_draw_status(Arm arm,
                                    const std::function<Result<void>(const DrawStatus&)>& visit);
  /// In key order.
  Result<void> for_each_draw(Arm arm, const std::function<Result<void>(const StoredDraw&)>& visit);
  [[nodiscard]] Result<std::optional<StoredDraw>> draw(const DrawKey& key);

  // Verdicts ---------------------------------------------------------------------------------
  /// The row of this grader, made if new; where one only reads: 0, which has no verdicts.
  [[nodiscard]] Result<std::int64_t> grader(std::string_view behavior, GradingLayer layer,
                                            const Digest& hash);
  Result<void> clear_verdicts(std::int64_t grader, Arm arm);
  /// Units [first, first + count) of the arm in canonical order; the screen layer leaves out absent
  /// ones, the verified layer lists all that were verified.
  Result<void> add_verdicts(std::int64_t grader, Arm arm, std::uint64_t first, std::uint64_t count,
                            const std::vector<SparseVerdict>& verdicts);
  using VerdictVisitor = std::function<Result<void>(std::uint64_t first, std::uint64_t count,
                                                    const std::vector<SparseVerdict>& verdicts)>;
  Result<void> for_each_verdict_block(std::int64_t grader, Arm arm, const VerdictVisitor& visit);

  Result<void> add_judgement(std::int64_t grader, const DrawKey& key, Verdict verdict,
                             const DrawOutcome& answer);
  Result<void> for_each_judgement(
      std::int64_t grader, Arm arm,
      const std::function<Result<void>(const DrawKey&, Verdict)>& visit);

  /// Who was judged for which behavior, by any judge, in the order of judges.
  Result<void> for_each_judged(
      const std::function<Result<void>(std::string_view behavior, GradingLayer layer,
                                       std::int64_t grader, const DrawKey&)>& visit);
  /// The judge's answer as it came.
  [[nodiscard]] Result<std::optional<DrawOutcome>> judge_answer(std::int64_t grader,
                                                                const DrawKey& key);
  /// The graders of a behavior in a layer that have verdicts in the arm, in the order in which they
  /// were first used.
  struct GraderRow {
    std::int64_t id = 0;
    Digest hash{};
    std::uint64_t units = 0;   ///< that its verdict blocks are of; 0: it is no rule
    std::uint64_t judged = 0;  ///< answers that it judged; 0: it is no judge
  };
  [[nodiscard]] Result<std::vector<GraderRow>> graders(std::string_view behavior,
                                                       GradingLayer layer, Arm arm);

  /// An answer that the screen passed, drawn for verification; pi in (0, 1].
  struct Audited {
    DrawKey key;
    double pi = 1;
  };
  /// Replaces the audit of the grader in this arm.
  Result<void> set_audit(std::int64_t grader, Arm arm, const std::vector<Audited>& audit);
  /// In key order.
  [[nodiscard]] Result<std::vector<Audited>> audit(std::int64_t grader, Arm arm);

  // Embeddings -------------------------------------------------------------------------------
  struct Embedding {
    std::string failed;         ///< why there is no vector; empty: there is one
    std::vector<float> vector;  ///< of length 1
  };
  /// `hash`: of the text and of who embeds it. Replaces what is there.
  Result<void> add_embedding(const Digest& hash, const Embedding& embedding);
  [[nodiscard]] Result<std::optional<Embedding>> embedding(const Digest& hash);

  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  StudyStore() = default;
  [[nodiscard]] Result<std::optional<std::int64_t>> shared_text(std::string_view text);
  [[nodiscard]] Result<std::string> shared_text_bytes(std::int64_t id);
  [[nodiscard]] Result<StoredConversation> read_conversation(const Statement& row);
  [[nodiscard]] Result<StoredDraw> read_draw(const Statement& row);
  Result<void> load_dictionary();
  Result<Statement*> cached(const char* sql);

  std::string directory_;
  bool has_trajectories_ = true;  // the schema knows them
  bool has_embeddings_ = true;
  std::shared_ptr<void> lock_;  // held while open for writing
  std::unique_ptr<Database> database_;
  std::unique_ptr<Compressor> compressor_;
  struct Cache;
  std::shared_ptr<Cache> cache_;
};

}  // namespace understudy
