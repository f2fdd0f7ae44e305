#include "store/sqlite.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <utility>

namespace understudy {
namespace {

Unexpected database_error(sqlite3* database, std::string_view doing) {
  const int code = database == nullptr ? SQLITE_NOMEM : sqlite3_extended_errcode(database);
  std::string advice;
  switch (code & 0xFF) {
    case SQLITE_FULL:
      advice = "; free some disk space and run again: what was stored is safe";
      break;
    case SQLITE_IOERR:
      advice = "; check the disk and run again: what was stored is safe";
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      advice = "; study.db is damaged or not a study: restore it from a copy";
      break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      advice = "; another program has study.db open: close it and run again";
      break;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      advice = "; check the permissions of the study directory";
      break;
    default:
      break;
  }
  return unexpected(ErrorCode::kInfrastructure,
                    fmt::format("the study database failed while {}: {} (SQLite {}){}", doing,
                                sqlite3_errstr(code & 0xFF), code, advice));
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}
void Database::Close::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}

Statement& Statement::bind(int position, std::int64_t value) {
  UNDERSTUDY_ASSERT(sqlite3_bind_int64(statement_.get(), position, value) == SQLITE_OK);
  return *this;
}

Statement& Statement::bind(int position, double value) {
  UNDERSTUDY_ASSERT(sqlite3_bind_double(statement_.get(), position, value) == SQLITE_OK);
  return *this;
}

Statement& Statement::bind_text(int position, std::string_view value) {
  UNDERSTUDY_ASSERT(sqlite3_bind_text64(statement_.get(), position, value.data(), value.size(),
                                        SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK);
  return *this;
}

Statement& Statement::bind_blob(int position, std::string_view value) {
  // A null pointer would bind NULL; an empty blob is a value.
  const char* data = value.data() == nullptr ? "" : value.data();
  UNDERSTUDY_ASSERT(sqlite3_bind_blob64(statement_.get(), position, data, value.size(),
                                        SQLITE_TRANSIENT) == SQLITE_OK);
  return *this;
}

Statement& Statement::bind_null(int position) {
  UNDERSTUDY_ASSERT(sqlite3_bind_null(statement_.get(), position) == SQLITE_OK);
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  auto error = database_error(database_, "running a statement");
  sqlite3_reset(statement_.get());
  return error;
}

Result<void> Statement::run() {
  UNDERSTUDY_TRY(const bool row, step());
  UNDERSTUDY_ASSERT(!row);
  reset();
  return {};
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::real(int column) const {
  return sqlite3_column_double(statement_.get(), column);
}

std::string_view Statement::bytes(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr ? std::string_view()
                         : std::string_view(data, static_cast<std::size_t>(size));
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

Result<Database> Database::open(const std::string& path, bool read_only, const char* vfs) {
  Database database;
  sqlite3* raw = nullptr;
  // One thread uses a connection, so it needs no mutex of its own, nor do the memory statistics
  // that nobody reads; each costs as much as a small insert.
  [[maybe_unused]] static const int configured = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  const int access = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int code = sqlite3_open_v2(path.c_str(), &raw, access | SQLITE_OPEN_NOMUTEX, vfs);
  database.database_.reset(raw);
  if (code != SQLITE_OK) return database_error(raw, fmt::format("opening {}", path));
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, 5000);
  return database;
}

Result<Statement> Database::prepare(std::string_view sql) {
  Statement statement;
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(database_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  if (code != SQLITE_OK) return database_error(database_.get(), "preparing a statement");
  statement.statement_.reset(raw);
  statement.database_ = database_.get();
  return statement;
}

Result<void> Database::execute(const std::string& sql) {
  if (sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return database_error(database_.get(), "running a statement");
  }
  return {};
}

Result<std::optional<std::int64_t>> Database::integer(std::string_view sql) {
  UNDERSTUDY_TRY(Statement statement, prepare(sql));
  UNDERSTUDY_TRY(const bool row, statement.step());
  if (!row || statement.is_null(0)) return std::optional<std::int64_t>();
  return std::optional<std::int64_t>(statement.integer(0));
}

std::int64_t Database::change_count() const {
  return sqlite3_changes64(database_.get());
}

std::int64_t Database::last_insert_id() const {
  return sqlite3_last_insert_rowid(database_.get());
}

Result<Transaction> Transaction::begin(Database& database) {
  UNDERSTUDY_CHECK(database.execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Result<Transaction> Transaction::begin_reading(Database& database) {
  UNDERSTUDY_CHECK(database.execute("BEGIN"));
  return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  if (database_ != nullptr) (void)database_->execute("ROLLBACK").has_value();
}

Result<void> Transaction::commit() {
  UNDERSTUDY_CHECK(database_->execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace understudy
