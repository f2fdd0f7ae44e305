#include "store/study_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <unordered_map>

#include "records/codec.hpp"
#include "store/schema.hpp"

namespace understudy {
namespace {

constexpr int kPrefixBits = 44;
constexpr int kIndexBits = 16;
constexpr std::size_t kSharedTextSizeMin = 64;  // shorter ones cost less in place
// Compressed: in a small study the dictionary is a large part of the file. The other key is where
// it stood before, as it is.
constexpr std::string_view kDictionaryKey = "dictionary_zstd";
constexpr std::string_view kPlainDictionaryKey = "dictionary";

std::int64_t as_signed(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}
std::uint64_t as_unsigned(std::int64_t value) {
  return static_cast<std::uint64_t>(value);
}

Unexpected directory_error(const std::string& path, std::string_view doing,
                           std::string_view advice) {
  return unexpected(ErrorCode::kInfrastructure, fmt::format("could not {} {}: {}{}", doing, path,
                                                            std::strerror(errno), advice));
}

// One writer a study. The lock is taken twice, through two descriptions: where the second try
// succeeds as well, the file system's locks do not work, and SQLite's would not either.
Result<std::shared_ptr<void>> take_lock(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) return directory_error(path, "open", "; check the directory's permissions");
  std::shared_ptr<void> held(nullptr, [descriptor](void*) { ::close(descriptor); });
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return unexpected(
          ErrorCode::kInfrastructure,
          "another understudy process is working on this study: wait for it, or stop it");
    }
    return directory_error(path, "lock", "; keep the study on a local disk");
  }
  const int second = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  const bool works = second >= 0 && ::flock(second, LOCK_EX | LOCK_NB) != 0;
  if (second >= 0) ::close(second);
  if (!works) {
    return unexpected(ErrorCode::kInfrastructure,
                      "file locks do not work on the file system of this study, so its database "
                      "could be damaged: keep the study on a local disk");
  }
  return held;
}

// No cut is 0: where one stands first, every turn has its number of steps as well.
std::string pack_turns(const std::vector<FrameTurn>& turns) {
  Encoder out;
  const bool with_steps = !turns.empty() && turns.front().steps.has_value();
  if (with_steps) out.number(0);
  for (const FrameTurn& turn : turns) {
    UNDERSTUDY_ASSERT(turn.cut > 0 && turn.steps.has_value() == with_steps);
    out.number(turn.cut).number(turn.window_bytes ? *turn.window_bytes + 1 : 0);
    if (with_steps) out.number(*turn.steps);
  }
  return std::move(out).bytes();
}

std::vector<FrameTurn> unpack_turns(std::string_view bytes) {
  Decoder in(bytes);
  std::vector<FrameTurn> turns;
  const bool with_steps = bytes.starts_with('\0');
  if (with_steps) in.number();
  while (in.ok() && !in.at_end()) {
    FrameTurn turn;
    turn.cut = static_cast<std::uint32_t>(in.number());
    const std::uint64_t window = in.number();
    if (window > 0) turn.window_bytes = window - 1;
    if (with_steps) turn.steps = static_cast<std::uint32_t>(in.number());
    turns.push_back(turn);
  }
  return turns;
}

bool is_system(const Message& message) {
  return message.role == Role::kSystem || message.role == Role::kDeveloper;
}

}  // namespace

// Statements prepared once each; keyed by the literal's address, which is stable.
struct StudyStore::Cache {
  std::map<const char*, Statement> statements;
  std::unordered_map<std::int64_t, std::string> shared_texts;
};

std::int64_t pack_draw_key(const DrawKey& key) {
  UNDERSTUDY_ASSERT(key.prefix >= 0 && key.prefix < (std::int64_t{1} << kPrefixBits));
  UNDERSTUDY_ASSERT(key.index < kDrawsPerPrefixMax);
  return (static_cast<std::int64_t>(key.arm) << (kPrefixBits + kIndexBits)) |
         (key.prefix << kIndexBits) | static_cast<std::int64_t>(key.index);
}

DrawKey unpack_draw_key(std::int64_t packed) {
  return {.arm = static_cast<Arm>(packed >> (kPrefixBits + kIndexBits)),
          .prefix = (packed >> kIndexBits) & ((std::int64_t{1} << kPrefixBits) - 1),
          .index = static_cast<std::uint32_t>(packed & (kDrawsPerPrefixMax - 1))};
}

Result<StudyStore> StudyStore::open(const std::string& directory, Mode mode, const char* vfs) {
  StudyStore store;
  store.directory_ = directory;
  store.cache_ = std::make_shared<Cache>();
  const std::string path = directory + "/study.db";
  std::error_code ignored;
  if (mode == Mode::kCreate && !std::filesystem::exists(directory, ignored)) {
    std::filesystem::create_directories(directory, ignored);
    if (::chmod(directory.c_str(), 0700) != 0) return directory_error(directory, "make", "");
  }
  if (mode != Mode::kCreate && !std::filesystem::exists(path, ignored)) {
    return unexpected(ErrorCode::kUsage,
                      fmt::format("{} is not a study: there is no study.db in it", directory));
  }
  if (mode != Mode::kRead) {
    UNDERSTUDY_TRY(store.lock_, take_lock(directory + "/.lock"));
    // Made before SQLite would, for its permissions.
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) return directory_error(path, "open", "; check the directory's permissions");
    ::close(descriptor);
  }
  UNDERSTUDY_TRY(Database database, Database::open(path, mode == Mode::kRead, vfs));
  store.database_ = std::make_unique<Database>(std::move(database));
  if (mode != Mode::kRead) {
    // Large pages: blobs of a few kilobytes leave less of each page empty.
    UNDERSTUDY_CHECK(store.database_->execute(
        "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF;"));
    UNDERSTUDY_CHECK(apply_schema(*store.database_));
  }
  UNDERSTUDY_TRY(const auto version, store.database_->integer("PRAGMA user_version"));
  store.has_trajectories_ = version.value_or(0) >= kTrajectorySchema;
  store.has_embeddings_ = version.value_or(0) >= kEmbeddingSchema;
  UNDERSTUDY_CHECK(store.load_dictionary());
  return store;
}

Result<std::unique_ptr<LogSync>> StudyStore::start_log_sync() {
  return LogSync::start(*database_, directory_ + "/study.db-wal");
}

Result<Statement*> StudyStore::cached(const char* sql) {
  const auto found = cache_->statements.find(sql);
  if (found != cache_->statements.end()) {
    found->second.reset();
    return &found->second;
  }
  UNDERSTUDY_TRY(Statement statement, database_->prepare(sql));
  return &cache_->statements.emplace(sql, std::move(statement)).first->second;
}

Result<void> StudyStore::load_dictionary() {
  UNDERSTUDY_TRY(auto dictionary, meta(kPlainDictionaryKey));
  UNDERSTUDY_TRY(const auto compressed, meta(kDictionaryKey));
  if (compressed) {
    UNDERSTUDY_TRY(dictionary, Compressor("").decompress(*compressed));
  }
  compressor_ = std::make_unique<Compressor>(dictionary.value_or(""));
  return {};
}

Result<std::optional<std::string>> StudyStore::meta(std::string_view key) {
  UNDERSTUDY_TRY(Statement* const statement, cached("SELECT value FROM meta WHERE key = ?"));
  UNDERSTUDY_TRY(const bool row, statement->bind_text(1, key).step());
  if (!row) return std::optional<std::string>();
  std::optional<std::string> value(std::string(statement->bytes(0)));
  statement->reset();
  return value;
}

Result<void> StudyStore::set_meta(std::string_view key, std::string_view value) {
  UNDERSTUDY_TRY(Statement* const statement, cached("INSERT OR REPLACE INTO meta VALUES (?, ?)"));
  return statement->bind_text(1, key).bind_blob(2, value).run();
}

Result<std::optional<StageRecord>> StudyStore::stage(std::string_view name) {
  UNDERSTUDY_TRY(Statement* const statement,
                 cached("SELECT fingerprint, detail FROM stage WHERE name = ?"));
  UNDERSTUDY_TRY(const bool row, statement->bind_text(1, name).step());
  if (!row || statement->bytes(0).size() != sizeof(Digest)) return std::optional<StageRecord>();
  StageRecord record;
  std::memcpy(record.fingerprint.data(), statement->bytes(0).data(), sizeof(Digest));
  record.detail = statement->bytes(1);
  statement->reset();
  return std::optional<StageRecord>(std::move(record));
}

Result<void> StudyStore::set_stage(std::string_view name, const StageRecord& record) {
  UNDERSTUDY_TRY(Statement* const statement,
                 cached("INSERT OR REPLACE INTO stage VALUES (?, ?, ?)"));
  return statement->bind_text(1, name)
      .bind_blob(2, as_bytes(record.fingerprint))
      .bind_text(3, record.detail)
      .run();
}

Result<void> StudyStore::clear_conversations() {
  UNDERSTUDY_TRY(const std::int64_t draws, draw_count());
  UNDERSTUDY_ASSERT(draws == 0);
  cache_->shared_texts.clear();
  return database_->execute(
      "DELETE FROM conversation; DELETE FROM shared_text; DELETE FROM frame; DELETE FROM prefix;"
      "DELETE FROM verdict_block; DELETE FROM judgement; DELETE FROM audit; DELETE FROM stage;"
      "DELETE FROM meta WHERE key IN ('dictionary', 'dictionary_zstd');");
}

Result<void> StudyStore::set_dictionary(std::span<const std::string> texts) {
  const std::string dictionary = train_dictionary(texts);
  UNDERSTUDY_CHECK(set_meta(kDictionaryKey, Compressor("").compress(dictionary)));
  return load_dictionary();
}

Result<std::optional<std::int64_t>> StudyStore::shared_text(std::string_view text) {
  if (text.size() < kSharedTextSizeMin) return std::optional<std::int64_t>();
  const Digest hash = sha256(text);
  UNDERSTUDY_TRY(Statement* const find, cached("SELECT id FROM shared_text WHERE hash = ?"));
  UNDERSTUDY_TRY(const bool row, find->bind_blob(1, as_bytes(hash)).step());
  if (row) {
    const std::int64_t id = find->integer(0);
    find->reset();
    return std::optional<std::int64_t>(id);
  }
  UNDERSTUDY_TRY(Statement* const insert,
                 cached("INSERT INTO shared_text (hash, bytes) VALUES (?, ?)"));
  UNDERSTUDY_CHECK(
      insert->bind_blob(1, as_bytes(hash)).bind_blob(2, compressor_->compress(text)).run());
  return std::optional<std::int64_t>(database_->last_insert_id());
}

Result<std::string> StudyStore::shared_text_bytes(std::int64_t id) {
  const auto found = cache_->shared_texts.find(id);
  if (found != cache_->shared_texts.end()) return found->second;
  UNDERSTUDY_TRY(Statement* const statement, cached("SELECT bytes FROM shared_text WHERE id = ?"));
  UNDERSTUDY_TRY(const bool row, statement->bind(1, id).step());
  if (!row) return unexpected(ErrorCode::kInfrastructure, "a stored system prompt is missing");
  UNDERSTUDY_TRY(std::string text, compressor_->decompress(statement->bytes(0)));
  statement->reset();
  // A few prompts serve most conversations; a log in which every one differs must not fill memory.
  if (cache_->shared_texts.size() >= 256) cache_->shared_texts.clear();
  return cache_->shared_texts.emplace(id, std::move(text)).first->second;
}

Result<void> StudyStore::add_conversation(const Conversation& conversation) {
  std::optional<std::int64_t> system;
  std::string messages;
  if (!conversation.messages.empty() && is_system(conversation.messages.front())) {
    UNDERSTUDY_TRY(system, shared_text(conversation.messages.front().content));
  }
  if (system) {
    std::vector<Message> rest = conversation.messages;
    rest.front().content.clear();
    messages = encode_messages(rest);
  } else {
    messages = encode_messages(conversation.messages);
  }
  // Tools always go by content, however short.
  std::optional<std::int64_t> tools;
  if (!conversation.tools.empty()) {
    std::string padded = conversation.tools;
    if (padded.size() < kSharedTextSizeMin) padded.resize(kSharedTextSizeMin, ' ');
    UNDERSTUDY_TRY(tools, shared_text(padded));
  }
  UNDERSTUDY_TRY(
      Statement* const insert,
      cached("INSERT INTO conversation (external_id, cluster, time_s, model, system_text, "
             "tools, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)"));
  const std::string& cluster =
      conversation.cluster.empty() ? conversation.id : conversation.cluster;
  insert->bind_text(1, conversation.id).bind(2, as_signed(hash64({"cluster", cluster})));
  conversation.time_s ? insert->bind(3, *conversation.time_s) : insert->bind_null(3);
  conversation.model.empty() ? insert->bind_null(4) : insert->bind_text(4, conversation.model);
  system ? insert->bind(5, *system) : insert->bind_null(5);
  tools ? insert->bind(6, *tools) : insert->bind_null(6);
  return insert->bind_blob(7, compressor_->compress(messages)).run();
}

namespace {
constexpr const char* kConversationColumns =
    "c.id, c.external_id, c.cluster, c.time_s, c.model, c.system_text, c.tools, c.bytes";
}

Result<StoredConversation> StudyStore::read_conversation(const Statement& row) {
  StoredConversation stored;
  stored.id = row.integer(0);
  stored.cluster = as_unsigned(row.integer(2));
  stored.conversation.id = row.bytes(1);
  if (!row.is_null(3)) stored.conversation.time_s = row.integer(3);
  stored.conversation.model = row.bytes(4);
  UNDERSTUDY_TRY(const std::string bytes, compressor_->decompress(row.bytes(7)));
  UNDERSTUDY_TRY(stored.conversation.messages, decode_messages(bytes));
  if (!row.is_null(5)) {
    UNDERSTUDY_ASSERT(!stored.conversation.messages.empty());
    UNDERSTUDY_TRY(stored.conversation.messages.front().content, shared_text_bytes(row.integer(5)));
  }
  if (!row.is_null(6)) {
    UNDERSTUDY_TRY(std::string tools, shared_text_bytes(row.integer(6)));
    tools.erase(tools.find_last_not_of(' ') + 1);
    stored.conversation.tools = std::move(tools);
  }
  return stored;
}

Result<StoredConversation> StudyStore::conversation(std::int64_t id) {
  static const std::string sql =
      fmt::format("SELECT {} FROM conversation c WHERE c.id = ?", kConversationColumns);
  UNDERSTUDY_TRY(Statement* const statement, cached(sql.c_str()));
  UNDERSTUDY_TRY(const bool row, statement->bind(1, id).step());
  if (!row) return unexpected(ErrorCode::kInfrastructure, "a stored conversation is missing");
  auto stored = read_conversation(*statement);
  statement->reset();
  return stored;
}

Result<void> StudyStore::for_each_conversation(const ConversationVisitor& visit) {
  UNDERSTUDY_TRY(Statement statement,
                 database_->prepare(fmt::format("SELECT {} FROM conversation c ORDER BY c.id",
                                                kConversationColumns)));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    UNDERSTUDY_TRY(const StoredConversation stored, read_conversation(statement));
    UNDERSTUDY_CHECK(visit(stored));
  }
}

Result<std::string> StudyStore::logged_models() {
  UNDERSTUDY_TRY(Statement statement,
                 database_->prepare("SELECT model, count(*) FROM conversation WHERE model IS NOT "
                                    "NULL GROUP BY model ORDER BY count(*) DESC, model LIMIT 4"));
  std::string names;
  for (int named = 0;; ++named) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return names;
    if (named == 3) return names + ", …";
    if (named > 0) names += ", ";
    names += statement.bytes(0);
  }
}

Result<void> StudyStore::clear_frame() {
  return database_->execute(
      "DELETE FROM frame; DELETE FROM prefix; DELETE FROM verdict_block; DELETE FROM audit;");
}

Result<void> StudyStore::add_frame(std::int64_t conversation, const std::vector<FrameTurn>& turns) {
  UNDERSTUDY_TRY(Statement* const insert,
                 cached("INSERT INTO frame (conversation, turns, cluster) VALUES (?1, ?2, "
                        "(SELECT cluster FROM conversation WHERE id = ?1))"));
  return insert->bind(1, conversation).bind_blob(2, pack_turns(turns)).run();
}

Result<void> StudyStore::for_each_frame_row(
    const std::function<Result<void>(const FrameRow&)>& visit) {
  UNDERSTUDY_TRY(Statement statement,
                 database_->prepare("SELECT f.conversation, f.cluster, c.external_id, f.turns FROM "
                                    "frame f JOIN conversation c ON c.id = f.conversation "
                                    "ORDER BY f.conversation"));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    UNDERSTUDY_CHECK(visit({.conversation = statement.integer(0),
                            .cluster = as_unsigned(statement.integer(1)),
                            .external_id = std::string(statement.bytes(2)),
                            .turns = unpack_turns(statement.bytes(3))}));
  }
}

Result<void> StudyStore::for_each_frame_cluster(const FrameClusterVisitor& visit) {
  UNDERSTUDY_TRY(
      Statement statement,
      database_->prepare("SELECT conversation, cluster, turns FROM frame ORDER BY conversation"));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    UNDERSTUDY_CHECK(visit(statement.integer(0), as_unsigned(statement.integer(1)),
                           unpack_turns(statement.bytes(2))));
  }
}

Result<void> StudyStore::for_each_frame_time(const TimeVisitor& visit) {
  UNDERSTUDY_TRY(Statement statement,
                 database_->prepare("SELECT c.id, c.time_s FROM frame f JOIN conversation c "
                                    "ON c.id = f.conversation ORDER BY c.id"));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    std::optional<std::int64_t> time_s;
    if (!statement.is_null(1)) time_s = statement.integer(1);
    UNDERSTUDY_CHECK(visit(statement.integer(0), time_s));
  }
}

Result<void> StudyStore::for_each_framed(const ConversationVisitor& visit) {
  UNDERSTUDY_TRY(Statement statement, database_->prepare(fmt::format(
                                          "SELECT {}, f.turns FROM conversation c JOIN frame f "
                                          "ON f.conversation = c.id ORDER BY c.id",
                                          kConversationColumns)));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    UNDERSTUDY_TRY(StoredConversation stored, read_conversation(statement));
    stored.turns = unpack_turns(statement.bytes(8));
    UNDERSTUDY_CHECK(visit(stored));
  }
}

Result<StoredConversation> StudyStore::framed_conversation(std::int64_t id) {
  UNDERSTUDY_TRY(StoredConversation stored, conversation(id));
  UNDERSTUDY_TRY(Statement* const statement,
                 cached("SELECT turns FROM frame WHERE conversation = ?"));
  UNDERSTUDY_TRY(const bool row, statement->bind(1, id).step());
  if (row) stored.turns = unpack_turns(statement->bytes(0));
  statement->reset();
  return stored;
}

Result<void> StudyStore::clear_prefixes() {
  return database_->execute("DELETE FROM prefix");
}

Result<void> StudyStore::add_prefix(const PrefixRow& prefix) {
  UNDERSTUDY_TRY(Statement* const insert, cached("INSERT INTO prefix VALUES (?, ?, ?, ?, ?)"));
  return insert->bind(1, prefix.id)
      .bind(2, prefix.conversation)
      .bind(3, std::int64_t{prefix.cut})
      .bind(4, prefix.pi)
      .bind_blob(5, as_bytes(prefix.content_hash))
      .run();
}

Result<void> StudyStore::set_inclusion_probability(double pi) {
  UNDERSTUDY_TRY(Statement* const update, cached("UPDATE prefix SET pi = ?"));
  return update->bind(1, pi).run();
}

Result<void> StudyStore::set_inclusion_probability(std::int64_t prefix, double pi) {
  UNDERSTUDY_TRY(Statement* const update, cached("UPDATE prefix SET pi = ? WHERE id = ?"));
  return update->bind(1, pi).bind(2, prefix).run();
}

Result<void> StudyStore::for_each_prefix(
    const std::function<Result<void>(const PrefixRow&)>& visit) {
  UNDERSTUDY_TRY(
      Statement statement,
      database_->prepare("SELECT id, conversation, cut, pi, content_hash FROM prefix ORDER BY id"));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    PrefixRow prefix{.id = statement.integer(0),
                     .conversation = statement.integer(1),
                     .cut = static_cast<std::uint32_t>(statement.integer(2)),
                     .pi = statement.real(3),
                     .content_hash = {}};
    UNDERSTUDY_ASSERT(statement.bytes(4).size() == sizeof(Digest));
    std::memcpy(prefix.content_hash.data(), statement.bytes(4).data(), sizeof(Digest));
    UNDERSTUDY_CHECK(visit(prefix));
  }
}

Result<void> StudyStore::for_each_prefix_cluster(const PrefixClusterVisitor& visit) {
  UNDERSTUDY_TRY(Statement statement,
                 database_->prepare("SELECT p.id, p.conversation, p.cut, f.cluster, p.pi FROM "
                                    "prefix p JOIN frame f ON f.conversation = p.conversation "
                                    "ORDER BY p.id"));
  while (true) {
    UNDERSTUDY_TRY(const bool row, statement.step());
    if (!row) return {};
    UNDERSTUDY_CHECK(visit({.id = statement.integer(0),
                            .conversation = statement.integer(1),
                            .cut = static_cast<std::uint32_t>(statement.integer(2)),
                            .cluster = as_unsigned(statement.integer(3)),
                            .pi = statement.real(4)}));
  }
}

}  // namespace understudy
