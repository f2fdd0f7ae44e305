#include "store/schema.hpp"

#include <fmt/format.h>

#include <array>

namespace understudy {
namespace {

// Step k takes version k to k + 1. Steps are never edited once released: add one.
constexpr std::array<const char*, 5> kSteps = {R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

-- A stage that ended: the hash of all that went in, and what it counted (JSON).
CREATE TABLE stage (
  name TEXT PRIMARY KEY, fingerprint BLOB NOT NULL, detail TEXT NOT NULL) WITHOUT ROWID;

-- System prompts and tool schemas, once by content.
CREATE TABLE shared_text (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL);

-- cluster: 64-bit hash of who wrote it; the name itself is not kept.
-- bytes: encode_messages, compressed, with the system prompt and tools taken out.
CREATE TABLE conversation (
  id INTEGER PRIMARY KEY, external_id TEXT NOT NULL, cluster INTEGER NOT NULL, time_s INTEGER,
  model TEXT, system_text INTEGER, tools INTEGER, bytes BLOB NOT NULL);

-- The eligible turns of a conversation: varints (cut, bytes of the logged answer in the window).
CREATE TABLE frame (conversation INTEGER PRIMARY KEY, turns BLOB NOT NULL);

-- Ids follow the order of work. pi: inclusion probability under the design.
CREATE TABLE prefix (
  id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, cut INTEGER NOT NULL, pi REAL NOT NULL,
  content_hash BLOB NOT NULL);

-- key: arm, prefix and draw index in one integer (pack_draw_key). status: -1 completed, else the
-- FailureReason. window_bytes: how much of the answer is graded; null: all of it.
CREATE TABLE draw (key INTEGER PRIMARY KEY, status INTEGER NOT NULL, attempts INTEGER NOT NULL,
                   window_bytes INTEGER, bytes BLOB NOT NULL);
-- Holds (status, key): resuming reads this instead of every answer.
CREATE INDEX draw_by_status ON draw (status);

CREATE TABLE grader (id INTEGER PRIMARY KEY, behavior TEXT NOT NULL, layer INTEGER NOT NULL,
                     hash BLOB NOT NULL, UNIQUE (behavior, layer, hash));

-- A run of units of an arm in their canonical order, sparse in what is not absent.
CREATE TABLE verdict_block (
  grader INTEGER NOT NULL, arm INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
  bytes BLOB NOT NULL, PRIMARY KEY (grader, arm, first)) WITHOUT ROWID;

-- A judge's answer, paid for and therefore kept as it came.
CREATE TABLE judgement (
  grader INTEGER NOT NULL, key INTEGER NOT NULL, verdict INTEGER NOT NULL, bytes BLOB NOT NULL,
  PRIMARY KEY (grader, key)) WITHOUT ROWID;
)sql",
                                               R"sql(
-- The cluster of the conversation again: estimating reads the frame alone, not every text.
ALTER TABLE frame ADD COLUMN cluster INTEGER NOT NULL DEFAULT 0;
UPDATE frame SET cluster = (SELECT cluster FROM conversation WHERE id = frame.conversation);
)sql",
                                               R"sql(
-- The audit: answers that this screening grader passed, and that are verified all the same.
-- pi: inclusion probability among those that it passed in the arm.
CREATE TABLE audit (grader INTEGER NOT NULL, key INTEGER NOT NULL, pi REAL NOT NULL,
                    PRIMARY KEY (grader, key)) WITHOUT ROWID;
)sql",
                                               R"sql(
-- trajectory: how the draw ended, where its answer is the last of several; null: it is the only one.
ALTER TABLE draw ADD COLUMN trajectory BLOB;
-- The answers before the last, with what their tool calls gave. Also of draws that go on.
CREATE TABLE draw_step (key INTEGER NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL,
                        PRIMARY KEY (key, number)) WITHOUT ROWID;
)sql",
                                               R"sql(
-- Vectors of texts, by a hash of the text and of who embedded it. vector: 32-bit floats, little
-- end first, of length 1; failed: why there is none, else empty.
CREATE TABLE embedding (hash BLOB PRIMARY KEY, failed TEXT NOT NULL, vector BLOB NOT NULL);
)sql"};

}  // namespace

Result<void> apply_schema(Database& database) {
  UNDERSTUDY_TRY(const auto version, database.integer("PRAGMA user_version"));
  const std::int64_t newest = static_cast<std::int64_t>(kSteps.size());
  if (*version > newest) {
    return unexpected(
        ErrorCode::kInfrastructure,
        fmt::format("study.db has schema version {}, this program knows up to {}: use "
                    "the newer understudy that made it",
                    *version, newest));
  }
  for (std::int64_t step = *version; step < newest; ++step) {
    UNDERSTUDY_TRY(Transaction transaction, Transaction::begin(database));
    UNDERSTUDY_CHECK(database.execute(kSteps[static_cast<std::size_t>(step)]));
    UNDERSTUDY_CHECK(database.execute(fmt::format("PRAGMA user_version = {}", step + 1)));
    UNDERSTUDY_CHECK(transaction.commit());
  }
  return {};
}

}  // namespace understudy
