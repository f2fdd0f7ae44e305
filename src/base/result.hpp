#pragma once
// Result<T>: a value or an Error. Member names follow std::expected, so that it can become an alias
// of it once the project leaves C++20; unlike Debian's tl::expected, dropping one is a warning.
//
// An Error's text says what was tried, on what, what was found and what to do. It carries ids,
// lines and byte offsets, never conversation text or keys.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/assert.hpp"

namespace understudy {

enum class ErrorCode {
  kUsage,           ///< wrong flags or configuration: nothing was done
  kInput,           ///< input with nothing usable in it
  kInfrastructure,  ///< disk, database, lock: stopped, can be resumed
  kPaused,          ///< budget or Ctrl-C: `run` goes on
  kMismatch,        ///< a forecast, signature or manifest does not check
};

/// Where in a file; unknown parts stay empty. Lines count from 1, bytes from 0.
struct ErrorContext {
  std::string file;
  std::optional<std::uint64_t> line;
  std::optional<std::uint64_t> byte_offset;
};

struct Error {
  ErrorCode code = ErrorCode::kInput;
  std::string message;
  ErrorContext where;

  /// "file:line: message (byte N)", with the parts that are known.
  [[nodiscard]] std::string describe() const;
};

/// Makes Result<T>'s error side from anything: `return unexpected(Error{…})`.
struct Unexpected {
  Error error;
};

[[nodiscard]] inline Unexpected unexpected(Error error) {
  return Unexpected{std::move(error)};
}
[[nodiscard]] inline Unexpected unexpected(ErrorCode code, std::string message,
                                           ErrorContext where = {}) {
  return Unexpected{Error{code, std::move(message), std::move(where)}};
}

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}             // NOLINT
  Result(Unexpected bad) : state_(std::in_place_index<1>, std::move(bad.error)) {}  // NOLINT

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & { return check(), std::get<0>(state_); }
  const T& value() const& { return check(), std::get<0>(state_); }
  T&& value() && { return check(), std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error() & { return std::get<1>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

  template <class U>
  T value_or(U&& fallback) const& {
    return has_value() ? value() : static_cast<T>(std::forward<U>(fallback));
  }

 private:
  void check() const { UNDERSTUDY_ASSERT(has_value()); }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Unexpected bad) : error_(std::move(bad.error)) {}  // NOLINT

  [[nodiscard]] bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }
  void value() const { UNDERSTUDY_ASSERT(has_value()); }
  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return *std::move(error_); }

 private:
  std::optional<Error> error_;
};

#define UNDERSTUDY_CONCAT_INNER(a, b) a##b
#define UNDERSTUDY_CONCAT(a, b) UNDERSTUDY_CONCAT_INNER(a, b)

/// `UNDERSTUDY_TRY(auto x, f());` declares x from f()'s value, or returns f()'s error.
#define UNDERSTUDY_TRY(declaration, expression) \
  UNDERSTUDY_TRY_INNER(declaration, expression, UNDERSTUDY_CONCAT(us_result_, __LINE__))
#define UNDERSTUDY_TRY_INNER(declaration, expression, name)            \
  auto name = (expression);                                            \
  if (!name) return ::understudy::unexpected(std::move(name).error()); \
  declaration = std::move(name).value()

/// `UNDERSTUDY_CHECK(f());` for a Result whose value is not needed.
#define UNDERSTUDY_CHECK(expression) \
  UNDERSTUDY_CHECK_INNER(expression, UNDERSTUDY_CONCAT(us_checked_, __LINE__))
#define UNDERSTUDY_CHECK_INNER(expression, name)                         \
  do {                                                                   \
    auto name = (expression);                                            \
    if (!name) return ::understudy::unexpected(std::move(name).error()); \
  } while (false)

}  // namespace understudy
