#pragma once
// `understudy verify`: the frozen measurement on the candidate's real traffic, in a study of its
// own, scored against the forecast. A study like any other: the same stages, resumable, with the
// graders that the forecast holds.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/study.hpp"
#include "estimate/history.hpp"

namespace understudy {

/// What is known of a forecast file: its document, checked, and where it lay.
struct ForecastFile {
  std::string path;
  std::string bytes;
  Json document;
  /// The study that made it, where it can be found (beside the file, or where FILE.study says).
  std::optional<std::string> study;
};

/// kMismatch: a section differs; a grader file of the study differs from the frozen one; another
/// rule engine, template or de-identifier made it (the message names what to install).
[[nodiscard]] Result<ForecastFile> read_forecast(const std::string& path);
/// FILE.sig against a public key in PEM. kMismatch: there is none, or it does not check.
Result<void> check_signature(const ForecastFile& forecast, const std::string& public_key_path);

/// Writes DIR/study.toml and DIR/behaviors/*.toml from the forecast; what is there already is
/// checked instead (kMismatch). `logs`: as `--logs`.
Result<void> prepare_verification(const ForecastFile& forecast, const std::string& directory,
                                  const std::vector<std::string>& logs);

/// Runs what reads a forecast's parts: one that is missing or of another type is kInput.
Result<void> of_our_shape(const std::function<Result<void>()>& use);

struct VerifyOptions {
  std::vector<std::string> logs;  ///< absolute; globs
  /// X answers the prefixes of its own traffic too: tells prefix shift from the rest.
  bool replay = false;
  double overlap_max = 0.2;  ///< share of the eligible conversations that the forecast knows
};

struct Verification {
  Json document;                 ///< understudy.verification/1
  std::string release;           ///< the ledger's name of this release
  std::vector<HistoryRow> rows;  ///< for the ledger
};
/// `study` is open on the prepared directory.
[[nodiscard]] Result<Verification> verify_study(Study& study, const ForecastFile& forecast,
                                                const VerifyOptions& options);

}  // namespace understudy
