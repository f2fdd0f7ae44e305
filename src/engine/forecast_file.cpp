// Reading a frozen forecast, and whether this program and these files still measure what it did.

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/file.hpp"
#include "base/text.hpp"
#include "engine/forecast_graders.hpp"
#include "engine/study_files.hpp"
#include "engine/verify_study.hpp"
#include "forecast/frozen.hpp"
#include "forecast/signature.hpp"
#include "grading/judge.hpp"
#include "grading/rule_graders.hpp"
#include "ingest/deidentify/deidentifier.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> study_of(const std::string& path) {
  const fs::path beside = fs::absolute(path).parent_path();
  std::error_code error;
  if (fs::exists(beside / "study.db", error)) return beside.string();
  if (const auto pointer = file_bytes(path + ".study")) {
    const std::string directory(trimmed(*pointer));
    if (fs::exists(fs::path(directory) / "study.db", error)) return directory;
  }
  return std::nullopt;
}

Unexpected mismatch(std::string message) {
  return unexpected(ErrorCode::kMismatch, std::move(message));
}

// Another version of the code gives other verdicts: the forecast names the one to install.
Result<void> check_versions(const Json& document) {
  const Json& measurement = document.at("measurement");
  const auto made_by = document.at("understudy_version").get<std::string>();
  struct Version {
    const char* what;
    Json theirs, ours;
  };
  const std::vector<Version> versions = {
      {"rule engine", measurement.at("rule_engine"), kRuleEngineVersion},
      {"judge template", document.at("prompts").at("judge_template"), kJudgeTemplateVersion},
      {"de-identifier", measurement.at("deidentifier"), kDeidentifierVersion},
      {"content hash", measurement.at("content_hash"), kContentHashVersion},
      {"behavior format", measurement.at("behavior_format"), kBehaviorFormat}};
  for (const Version& version : versions) {
    if (version.theirs == version.ours) continue;
    return mismatch(fmt::format(
        "measurement: the forecast was made with {} {}, this program has {}: install understudy "
        "{} to verify it",
        version.what, terminal_safe(version.theirs.dump()), version.ours.dump(),
        terminal_safe(made_by)));
  }
  return {};
}

std::string toml_text(const std::string& text) {
  return write_json(Json(text), JsonStyle::kCanonical);  // TOML basic strings escape as JSON does
}

std::string value_toml(const Json& value) {
  return value.is_string() ? toml_text(value.get<std::string>()) : value.dump();
}

// A model's keys; where it is reached is no part of a measurement.
std::vector<std::string> model_toml(const Json& model, const std::string& base_url) {
  std::vector<std::string> lines = {"model = " + value_toml(model.at("model"))};
  if (!base_url.empty()) lines.push_back("base_url = " + toml_text(base_url));
  for (const char* key : {"temperature", "top_p", "max_tokens", "logprobs", "system"}) {
    if (model.contains(key)) lines.push_back(fmt::format("{} = {}", key, value_toml(model[key])));
  }
  return lines;
}

std::string list_toml(const std::vector<std::string>& texts) {
  std::vector<std::string> each;
  for (const std::string& text : texts) each.push_back(toml_text(text));
  return fmt::format("[{}]", fmt::join(each, ", "));
}

std::string logs_toml(const Json& logs, const std::vector<std::string>& paths) {
  std::string text = fmt::format(
      "[logs]\npaths = {}\nsource = \"production\"\nformat = {}\ncluster = {}\nduplicates = {}\n",
      list_toml(paths), value_toml(logs.at("format")), value_toml(logs.at("cluster")),
      value_toml(logs.at("duplicates")));
  if (!logs.at("eligible").empty()) text += "[logs.eligible]\n";
  for (const auto& [path, wanted] : logs.at("eligible").items()) {
    text += fmt::format("{} = {}\n", toml_text(path), value_toml(wanted));
  }
  return text;
}

std::string sample_toml(const Json& measurement, const Json& design) {
  std::string text = fmt::format("[sample]\nunit = {}\nprefixes = {}\nseed = {}\n",
                                 value_toml(measurement.at("unit")),
                                 value_toml(design.at("prefixes")), value_toml(design.at("seed")));
  if (!measurement.at("prefix_tokens_max").is_null()) {
    text += fmt::format("prefix_tokens_max = {}\n", value_toml(measurement["prefix_tokens_max"]));
  }
  if (measurement.at("tokenizer").get<std::string>().starts_with("llama/")) {
    text += fmt::format("tokenizer = {}\n", value_toml(measurement["tokenizer"]));
  }
  if (measurement.contains("cut"))
    text += fmt::format("cut = {}\n", value_toml(measurement["cut"]));
  if (measurement.contains("max_steps")) {
    text += fmt::format("[tools]\nmax_steps = {}\n", value_toml(measurement["max_steps"]));
  }
  return text;
}

Result<std::string> verification_toml(const ForecastFile& forecast,
                                      const std::vector<std::string>& logs) {
  const Json& document = forecast.document;
  const Json& measurement = document.at("measurement");
  // Where roles are reached and what may be sent where is no part of a measurement: as the study
  // that made the forecast has it, if it is to be had.
  StudyConfig original;
  if (forecast.study) {
    if (auto config = load_study_config(*forecast.study)) original = std::move(*config);
  }
  std::string text =
      "# Made by `understudy verify`: the measurement that the forecast froze. Only base_url,\n"
      "# [egress] and [budget] may be changed.\n";
  text += logs_toml(measurement.at("logs"), logs) + sample_toml(measurement, document.at("design"));
  text += fmt::format(
      "[candidate]\n{}\n",
      fmt::join(model_toml(document.at("models").at("candidate"), original.candidate.base_url),
                "\n"));
  text += "[roles]\n";
  for (const auto& [role, model] : measurement.at("roles").items()) {
    const auto found = original.roles.find(role);
    const std::string base_url = found == original.roles.end() ? "" : found->second.base_url;
    text += fmt::format("{} = {{ {} }}\n", toml_text(role),
                        fmt::join(model_toml(model, base_url), ", "));
  }
  UNDERSTUDY_TRY(const std::vector<std::string> files, grader_paths(document));
  text += fmt::format("[grade]\nbehaviors = {}\naudit = {}\n", list_toml(files),
                      value_toml(measurement.at("audit")));
  for (const char* key : {"window_tokens", "behaviors_per_call", "oracle_budget"}) {
    const Json value = measurement.value(key, Json());
    if (!value.is_null()) text += fmt::format("{} = {}\n", key, value_toml(value));
  }
  if (!original.egress_allow.empty()) {
    text += fmt::format("[egress]\nallow = {}\n", list_toml(original.egress_allow));
  }
  return text;
}

// Everything in a study.toml that decides what is measured.
Json measured_by(const StudyConfig& config) {
  return {{"manifest", manifest_json(config)},
          {"behaviors", config.grade.behaviors},
          {"audit", config.grade.audit},
          {"behaviors_per_call", config.grade.behaviors_per_call},
          {"oracle_budget", config.grade.oracle_budget_or_default()}};
}

// Numbers that no measurement gives: who edits a forecast and hashes it again can write any.
bool is_possible_rate(const Json& rate) {
  const auto within = [&](const char* key, double most) {
    const Json value = rate.value(key, Json());
    return value.is_null() || (value.is_number() && value >= 0.0 && value <= most);
  };
  const Json level = rate.at("level");
  const Json lo = rate.value("lo", Json()), hi = rate.value("hi", Json());
  return within("per_100k", 1e5) && within("lo", 1e5) && within("hi", 1e5) && within("n", 1e18) &&
         within("k", 1e18) && level.is_number() && level > 0.0 && level < 1.0 &&
         (lo.is_null() || hi.is_null() || lo <= hi);
}

bool holds_possible_rates(const Json& part) {
  if (part.is_object() && part.contains("per_100k") && part.contains("level")) {
    return is_possible_rate(part);
  }
  return !part.is_structured() || std::all_of(part.begin(), part.end(), holds_possible_rates);
}

Result<void> check_rates(const Json& document) {
  for (const char* section : {"estimates", "baselines"}) {
    if (holds_possible_rates(document.at(section))) continue;
    return unexpected(ErrorCode::kInput,
                      fmt::format("{}: this forecast is whole, but a rate in it is none: "
                                  "understudy did not write it",
                                  section));
  }
  return {};
}

}  // namespace

Result<void> of_our_shape(const std::function<Result<void>()>& use) {
  try {
    return use();
  } catch (const Json::exception&) {
    return unexpected(ErrorCode::kInput,
                      "this forecast is whole, but lacks a part or has one of another type: "
                      "understudy did not write it");
  }
}

Result<ForecastFile> read_forecast(const std::string& path) {
  const auto bytes = file_bytes(path);
  const ErrorContext where{path, std::nullopt, std::nullopt};
  if (!bytes) return unexpected(ErrorCode::kUsage, "cannot read this forecast", where);
  auto document = thaw(*bytes);
  if (!document) {
    Error error = document.error();
    error.where.file = path;
    return unexpected(std::move(error));
  }
  ForecastFile forecast{
      .path = path, .bytes = *bytes, .document = std::move(*document), .study = study_of(path)};
  UNDERSTUDY_CHECK(of_our_shape([&]() -> Result<void> {
    UNDERSTUDY_CHECK(check_versions(forecast.document));
    UNDERSTUDY_CHECK(check_rates(forecast.document));
    return check_graders(forecast.document, forecast.study);
  }));
  return forecast;
}

Result<void> check_signature(const ForecastFile& forecast, const std::string& public_key_path) {
  const auto key = file_bytes(public_key_path);
  if (!key) {
    return unexpected(ErrorCode::kUsage, "cannot read this public key",
                      {.file = public_key_path, .line = {}, .byte_offset = {}});
  }
  const auto signature = file_bytes(forecast.path + ".sig");
  if (!signature) {
    return mismatch(
        fmt::format("{0}.sig is not there: the forecast is not signed; `understudy "
                    "forecast DIR --key key.pem` signs",
                    forecast.path));
  }
  return check_ed25519(*key, forecast.bytes, *signature);
}

Result<void> prepare_verification(const ForecastFile& forecast, const std::string& directory,
                                  const std::vector<std::string>& logs) {
  std::string toml;
  UNDERSTUDY_CHECK(of_our_shape([&]() -> Result<void> {
    UNDERSTUDY_TRY(toml, verification_toml(forecast, logs));
    return {};
  }));
  UNDERSTUDY_TRY(const StudyConfig wanted, parse_study_config(toml, directory + "/study.toml"));
  std::error_code error;
  if (!fs::exists(directory + "/study.toml", error)) {
    UNDERSTUDY_CHECK(write_study_toml(directory, toml, false));
  } else {
    UNDERSTUDY_TRY(const StudyConfig found, load_study_config(directory));
    if (measured_by(found) != measured_by(wanted)) {
      return mismatch(fmt::format(
          "measurement: {}/study.toml does not measure what the forecast froze: remove the "
          "directory, or give another one with --dir",
          directory));
    }
  }
  return of_our_shape([&] { return write_graders(forecast.document, directory); });
}

}  // namespace understudy
