// The draws, verdicts and embeddings of a study: the second half of StudyStore.

#include <bit>
#include <cstring>

#include "store/study_store.hpp"

namespace understudy {
namespace {

constexpr std::int64_t kCompleted = -1;

// A study that is only read may be older than trajectories.
constexpr const char* kSelectDraws =
    "SELECT key, attempts, window_bytes, bytes, trajectory FROM draw WHERE key >= ? AND key < ? "
    "ORDER BY key";
constexpr const char* kSelectDrawsBefore =
    "SELECT key, attempts, window_bytes, bytes, NULL FROM draw WHERE key >= ? AND key < ? "
    "ORDER BY key";

std::int64_t first_key(Arm arm) {
  return pack_draw_key({.arm = arm, .prefix = 0, .index = 0});
}
std::int64_t end_key(Arm arm) {
  return first_key(static_cast<Arm>(static_cast<std::uint8_t>(arm) + 1));
}

std::int64_t status_of(const DrawOutcome& outcome) {
  const auto* failure = std::get_if<Failure>(&outcome);
  return failure == nullptr ? kCompleted : static_cast<std::int64_t>(failure->reason);
}

}  // namespace

Result<void> StudyStore::add_draw(const StoredDraw& draw) {
  const std::string bytes = compressor_->compress(encode_outcome(draw.outcome));
  const auto insert = [&](const char* sql) -> Result<void> {
    UNDERSTUDY_TRY(Statement* const statement, cached(sql));
    statement->bind(1, pack_draw_key(draw.key))
        .bind(2, status_of(draw.outcome))
        .bind(3, std::int64_t{draw.attempts})
        .bind_blob(5, bytes);
    draw.window_bytes ? statement->bind(4, static_cast<std::int64_t>(*draw.window_bytes))
                      : statement->bind_null(4);
    draw.trajectory ? statement->bind_blob(6, compressor_->compress(encode_end(*draw.trajectory)))
                    : statement->bind_null(6);
    return statement->run();
  };
  // REPLACE opens a savepoint for each row; only a draw that is asked again needs it.
  UNDERSTUDY_CHECK(insert("INSERT OR IGNORE INTO draw VALUES (?, ?, ?, ?, ?, ?)"));
  if (database_->change_count() > 0) return {};
  return insert("INSERT OR REPLACE INTO draw VALUES (?, ?, ?, ?, ?, ?)");
}

Result<std::int64_t> StudyStore::draw_count() {
  UNDERSTUDY_TRY(
      const auto count,
      database_->integer("SELECT (SELECT count(*) FROM draw) + (SELECT count(DISTINCT "
                         "key) FROM draw_step WHERE key NOT IN (SELECT key FROM draw))"));
  return count.value_or(0);
}

Result<void> StudyStore::add_step(const DrawKey& key, std::size_t number,
                                  const TrajectoryStep& step) {
  UNDERSTUDY_TRY(Statement* const insert,
                 cached("INSERT OR REPLACE INTO draw_step VALUES (?, ?, ?)"));
  return insert->bind(1, pack_draw_key(key))
      .bind(2, static_cast<std::int64_t>(number))
      .bind_blob(3, compressor_->compress(encode_step(step)))
      .run();
}

Result<void> StudyStore::remove_step(const DrawKey& key, std::size_t number) {
  UNDERSTUDY_TRY(Statement* const remove,
                 cached("DELETE FROM draw_step WHERE key = ? AND number = ?"));
  return remove->bind(1, pack_draw_key(key)).bind(2, static_cast<std::int64_t>(number)).run();
}

Result<std::vector<TrajectoryStep>> StudyStore::steps(const DrawKey& key) {
  UNDERSTUDY_TRY(Statement* const statement,
                 cached("SELECT bytes FROM draw_step WHERE key = ? ORDER BY number"));
  statement->bind(1, pack_draw_key(key));
  std::vector<TrajectoryStep> steps;
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement->step());
    if (!row) return steps;
    UNDERSTUDY_TRY(const std::string bytes, compressor_->decompress(statement->bytes(0)));
    UNDERSTUDY_TRY(TrajectoryStep step, decode_step(bytes));
    steps.push_back(std::move(step));
  }
}

Result<void> StudyStore::for_each_begun(Arm arm,
                                        const std::function<Result<void>(const DrawKey&)>& visit) {
  UNDERSTUDY_TRY(Statement statement,
                 database_->prepare("SELECT DISTINCT key FROM draw_step WHERE key >= ?1 AND key < "
                                    "?2 AND key NOT IN (SELECT key FROM draw WHERE status = -1) "
                                    "ORDER BY key"));
  statement.bind(1, first_key(arm)).bind(2, end_key(arm));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    UNDERSTUDY_CHECK(visit(unpack_draw_key(statement.integer(0))));
  }
}

Result<void> StudyStore::for_each_draw_status(
    Arm arm, const std::function<Result<void>(const DrawStatus&)>& visit) {
  // The index alone answers this. It holds the completed draws in key order, so that only the
  // failures are sorted before the two are merged.
  UNDERSTUDY_TRY(Statement statement,
                 database_->prepare("SELECT key, status FROM draw INDEXED BY draw_by_status WHERE "
                                    "status = -1 AND key >= ?1 AND key < ?2 UNION ALL "
                                    "SELECT key, status FROM draw INDEXED BY draw_by_status WHERE "
                                    "status >= 0 AND key >= ?1 AND key < ?2 ORDER BY key"));
  statement.bind(1, first_key(arm)).bind(2, end_key(arm));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    DrawStatus status{.key = unpack_draw_key(statement.integer(0)), .failed = {}};
    if (statement.integer(1) != kCompleted) {
      status.failed = static_cast<FailureReason>(statement.integer(1));
    }
    UNDERSTUDY_CHECK(visit(status));
  }
}

Result<StoredDraw> StudyStore::read_draw(const Statement& row) {
  UNDERSTUDY_TRY(const std::string bytes, compressor_->decompress(row.bytes(3)));
  UNDERSTUDY_TRY(DrawOutcome outcome, decode_outcome(bytes));
  StoredDraw draw{.key = unpack_draw_key(row.integer(0)),
                  .attempts = static_cast<std::uint32_t>(row.integer(1)),
                  .outcome = std::move(outcome),
                  .window_bytes = {}};
  if (!row.is_null(2)) draw.window_bytes = static_cast<std::uint64_t>(row.integer(2));
  if (!row.is_null(4)) {
    UNDERSTUDY_TRY(const std::string end, compressor_->decompress(row.bytes(4)));
    UNDERSTUDY_TRY(draw.trajectory, decode_end(end));
    UNDERSTUDY_TRY(draw.trajectory->steps, steps(draw.key));
  }
  return draw;
}

Result<void> StudyStore::for_each_draw(
    Arm arm, const std::function<Result<void>(const StoredDraw&)>& visit) {
  UNDERSTUDY_TRY(Statement statement,
                 database_->prepare(has_trajectories_ ? kSelectDraws : kSelectDrawsBefore));
  statement.bind(1, first_key(arm)).bind(2, end_key(arm));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    UNDERSTUDY_TRY(const StoredDraw draw, read_draw(statement));
    UNDERSTUDY_CHECK(visit(draw));
  }
}

Result<std::optional<StoredDraw>> StudyStore::draw(const DrawKey& key) {
  UNDERSTUDY_TRY(Statement* const statement,
                 cached(has_trajectories_ ? kSelectDraws : kSelectDrawsBefore));
  statement->bind(2, pack_draw_key(key) + 1);
  UNDERSTUDY_TRY(const bool row, statement->bind(1, pack_draw_key(key)).step());
  if (!row) return std::optional<StoredDraw>();
  UNDERSTUDY_TRY(StoredDraw draw, read_draw(*statement));
  statement->reset();
  return std::optional<StoredDraw>(std::move(draw));
}

Result<std::int64_t> StudyStore::grader(std::string_view behavior, GradingLayer layer,
                                        const Digest& hash) {
  const auto layer_number = static_cast<std::int64_t>(layer);
  const bool only_reads = lock_.use_count() == 0;
  if (!only_reads) {
    UNDERSTUDY_TRY(Statement* const insert,
                   cached("INSERT OR IGNORE INTO grader (behavior, layer, hash) VALUES (?, ?, ?)"));
    UNDERSTUDY_CHECK(
        insert->bind_text(1, behavior).bind(2, layer_number).bind_blob(3, as_bytes(hash)).run());
  }
  UNDERSTUDY_TRY(Statement* const find,
                 cached("SELECT id FROM grader WHERE behavior = ? AND layer = ? AND hash = ?"));
  UNDERSTUDY_TRY(
      const bool row,
      find->bind_text(1, behavior).bind(2, layer_number).bind_blob(3, as_bytes(hash)).step());
  UNDERSTUDY_ASSERT(row || only_reads);
  const std::int64_t id = row ? find->integer(0) : 0;
  find->reset();
  return id;
}

Result<void> StudyStore::clear_verdicts(std::int64_t grader, Arm arm) {
  UNDERSTUDY_TRY(Statement* const remove,
                 cached("DELETE FROM verdict_block WHERE grader = ? AND arm = ?"));
  return remove->bind(1, grader).bind(2, static_cast<std::int64_t>(arm)).run();
}

Result<void> StudyStore::add_verdicts(std::int64_t grader, Arm arm, std::uint64_t first,
                                      std::uint64_t count,
                                      const std::vector<SparseVerdict>& verdicts) {
  UNDERSTUDY_TRY(Statement* const insert,
                 cached("INSERT INTO verdict_block VALUES (?, ?, ?, ?, ?)"));
  return insert->bind(1, grader)
      .bind(2, static_cast<std::int64_t>(arm))
      .bind(3, static_cast<std::int64_t>(first))
      .bind(4, static_cast<std::int64_t>(count))
      .bind_blob(5, pack_verdicts(verdicts))
      .run();
}

Result<void> StudyStore::for_each_verdict_block(std::int64_t grader, Arm arm,
                                                const VerdictVisitor& visit) {
  UNDERSTUDY_TRY(
      Statement statement,
      database_->prepare("SELECT first, count, bytes FROM verdict_block WHERE grader = ? "
                         "AND arm = ? ORDER BY first"));
  statement.bind(1, grader).bind(2, static_cast<std::int64_t>(arm));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    bool ok = false;
    const std::vector<SparseVerdict> verdicts = unpack_verdicts(statement.bytes(2), ok);
    if (!ok) return unexpected(ErrorCode::kInfrastructure, "a stored verdict block is damaged");
    UNDERSTUDY_CHECK(visit(static_cast<std::uint64_t>(statement.integer(0)),
                           static_cast<std::uint64_t>(statement.integer(1)), verdicts));
  }
}

Result<void> StudyStore::add_judgement(std::int64_t grader, const DrawKey& key, Verdict verdict,
                                       const DrawOutcome& answer) {
  UNDERSTUDY_TRY(Statement* const insert,
                 cached("INSERT OR REPLACE INTO judgement VALUES (?, ?, ?, ?)"));
  return insert->bind(1, grader)
      .bind(2, pack_draw_key(key))
      .bind(3, static_cast<std::int64_t>(verdict))
      .bind_blob(4, compressor_->compress(encode_outcome(answer)))
      .run();
}

Result<void> StudyStore::for_each_judgement(
    std::int64_t grader, Arm arm,
    const std::function<Result<void>(const DrawKey&, Verdict)>& visit) {
  UNDERSTUDY_TRY(Statement statement,
                 database_->prepare("SELECT key, verdict FROM judgement WHERE grader = ? AND "
                                    "key >= ? AND key < ? ORDER BY key"));
  statement.bind(1, grader).bind(2, first_key(arm)).bind(3, end_key(arm));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    UNDERSTUDY_CHECK(
        visit(unpack_draw_key(statement.integer(0)), static_cast<Verdict>(statement.integer(1))));
  }
}

Result<void> StudyStore::for_each_judged(
    const std::function<Result<void>(std::string_view, GradingLayer, std::int64_t, const DrawKey&)>&
        visit) {
  UNDERSTUDY_TRY(Statement statement,
                 database_->prepare("SELECT g.behavior, g.layer, j.grader, j.key FROM judgement "
                                    "j JOIN grader g ON g.id = j.grader "
                                    "ORDER BY j.grader, j.key"));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    UNDERSTUDY_CHECK(visit(statement.bytes(0), static_cast<GradingLayer>(statement.integer(1)),
                           statement.integer(2), unpack_draw_key(statement.integer(3))));
  }
}

Result<std::optional<DrawOutcome>> StudyStore::judge_answer(std::int64_t grader,
                                                            const DrawKey& key) {
  UNDERSTUDY_TRY(Statement* const statement,
                 cached("SELECT bytes FROM judgement WHERE grader = ? AND key = ?"));
  UNDERSTUDY_TRY(const bool row, statement->bind(1, grader).bind(2, pack_draw_key(key)).step());
  if (!row) return std::optional<DrawOutcome>();
  UNDERSTUDY_TRY(const std::string bytes, compressor_->decompress(statement->bytes(0)));
  statement->reset();
  UNDERSTUDY_TRY(DrawOutcome outcome, decode_outcome(bytes));
  return std::optional<DrawOutcome>(std::move(outcome));
}

Result<std::vector<StudyStore::GraderRow>> StudyStore::graders(std::string_view behavior,
                                                               GradingLayer layer, Arm arm) {
  UNDERSTUDY_TRY(
      Statement* const statement,
      cached("SELECT g.id, g.hash, (SELECT sum(count) FROM verdict_block WHERE grader = g.id AND "
             "arm = ?3), (SELECT count(*) FROM judgement WHERE grader = g.id AND key >= ?4 AND "
             "key < ?5) FROM grader g WHERE g.behavior = ?1 AND g.layer = ?2 ORDER BY g.id"));
  statement->bind_text(1, behavior)
      .bind(2, static_cast<std::int64_t>(layer))
      .bind(3, static_cast<std::int64_t>(arm))
      .bind(4, first_key(arm))
      .bind(5, end_key(arm));
  std::vector<GraderRow> rows;
  while (true) {
    UNDERSTUDY_TRY(const bool more, statement->step());
    if (!more) return rows;
    GraderRow row{.id = statement->integer(0),
                  .hash = {},
                  .units = static_cast<std::uint64_t>(statement->integer(2)),
                  .judged = static_cast<std::uint64_t>(statement->integer(3))};
    if (row.units + row.judged == 0) continue;
    UNDERSTUDY_ASSERT(statement->bytes(1).size() == sizeof(Digest));
    std::memcpy(row.hash.data(), statement->bytes(1).data(), sizeof(Digest));
    rows.push_back(row);
  }
}

Result<void> StudyStore::set_audit(std::int64_t grader, Arm arm,
                                   const std::vector<Audited>& audit) {
  UNDERSTUDY_TRY(Statement* const remove,
                 cached("DELETE FROM audit WHERE grader = ? AND key >= ? AND key < ?"));
  UNDERSTUDY_CHECK(remove->bind(1, grader).bind(2, first_key(arm)).bind(3, end_key(arm)).run());
  for (const Audited& one : audit) {
    UNDERSTUDY_TRY(Statement* const insert, cached("INSERT INTO audit VALUES (?, ?, ?)"));
    UNDERSTUDY_CHECK(insert->bind(1, grader).bind(2, pack_draw_key(one.key)).bind(3, one.pi).run());
  }
  return {};
}

Result<std::vector<StudyStore::Audited>> StudyStore::audit(std::int64_t grader, Arm arm) {
  UNDERSTUDY_TRY(Statement* const statement,
                 cached("SELECT key, pi FROM audit WHERE grader = ? AND key >= ? AND key < ? "
                        "ORDER BY key"));
  statement->bind(1, grader).bind(2, first_key(arm)).bind(3, end_key(arm));
  std::vector<Audited> rows;
  while (true) {
    UNDERSTUDY_TRY(const bool more, statement->step());
    if (!more) return rows;
    rows.push_back({unpack_draw_key(statement->integer(0)), statement->real(1)});
  }
}

Result<void> StudyStore::add_embedding(const Digest& hash, const Embedding& embedding) {
  static_assert(std::endian::native == std::endian::little);
  UNDERSTUDY_TRY(Statement* const insert,
                 cached("INSERT OR REPLACE INTO embedding VALUES (?, ?, ?)"));
  const std::string_view bytes(reinterpret_cast<const char*>(embedding.vector.data()),
                               embedding.vector.size() * sizeof(float));
  return insert->bind_blob(1, as_bytes(hash))
      .bind_text(2, embedding.failed)
      .bind_blob(3, bytes)
      .run();
}

Result<std::optional<StudyStore::Embedding>> StudyStore::embedding(const Digest& hash) {
  if (!has_embeddings_) return std::optional<Embedding>();
  UNDERSTUDY_TRY(Statement* const statement,
                 cached("SELECT failed, vector FROM embedding WHERE hash = ?"));
  UNDERSTUDY_TRY(const bool row, statement->bind_blob(1, as_bytes(hash)).step());
  if (!row) return std::optional<Embedding>();
  const std::string_view bytes = statement->bytes(1);
  Embedding embedding{.failed = std::string(statement->bytes(0)), .vector = {}};
  embedding.vector.resize(bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(embedding.vector.data(), bytes.data(), bytes.size());
  statement->reset();
  return std::optional(std::move(embedding));
}

}  // namespace understudy
