#pragma once
// A thin, typed edge around SQLite: the only place that includes sqlite3.h. Failures are
// infrastructure errors: the run stops and can be resumed.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace understudy {

/// A prepared statement. Bind by position from 1; `step` gives true while there is a row.
class Statement {
 public:
  Statement& bind(int position, std::int64_t value);
  Statement& bind(int position, double value);
  Statement& bind_text(int position, std::string_view value);
  Statement& bind_blob(int position, std::string_view value);
  Statement& bind_null(int position);

  [[nodiscard]] Result<bool> step();
  /// Runs to the end and resets: for statements that give no rows.
  Result<void> run();
  void reset();

  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] double real(int column) const;
  /// Valid until the next step or reset. Text and blobs alike.
  [[nodiscard]] std::string_view bytes(int column) const;
  [[nodiscard]] bool is_null(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  sqlite3* database_ = nullptr;
};

class Database {
 public:
  /// `vfs`: a registered SQLite VFS, such as a simulated disk; null: the system's files.
  [[nodiscard]] static Result<Database> open(const std::string& path, bool read_only,
                                             const char* vfs = nullptr);

  [[nodiscard]] Result<Statement> prepare(std::string_view sql);
  /// One or more statements without parameters or rows.
  Result<void> execute(const std::string& sql);
  /// The first column of the first row, if there is one.
  [[nodiscard]] Result<std::optional<std::int64_t>> integer(std::string_view sql);
  [[nodiscard]] std::int64_t last_insert_id() const;
  /// Rows that the last INSERT, UPDATE or DELETE changed.
  [[nodiscard]] std::int64_t change_count() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  std::unique_ptr<sqlite3, Close> database_;
};

/// Rolls back unless committed.
class Transaction {
 public:
  [[nodiscard]] static Result<Transaction> begin(Database& database);
  /// For several reads of one state.
  [[nodiscard]] static Result<Transaction> begin_reading(Database& database);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Result<void> commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace understudy
