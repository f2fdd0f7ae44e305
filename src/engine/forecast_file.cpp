// Reading a frozen forecast, and whether this program and these files still measure what it did.

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/text.hpp"
#include "engine/study_files.hpp"
#include "engine/verify_study.hpp"
#include "forecast/frozen.hpp"
#include "forecast/signature.hpp"
#include "grading/behavior.hpp"
#include "grading/judge.hpp"
#include "grading/rule_graders.hpp"
#include "ingest/deidentify/deidentifier.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> file_bytes(const std::string& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  std::string bytes;
  if (in) bytes.assign(std::istreambuf_iterator<char>(in), {});
  if (!in || in.bad()) return std::nullopt;
  return bytes;
}

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

// Built-in graders of this program, and the study's own files where they can be found, are still
// those that the forecast holds.
Result<void> check_graders(const Json& document, const std::optional<std::string>& study) {
  for (const Json& frozen : document.at("behaviors")) {
    const auto id = frozen.at("id").get<std::string>();
    const auto file = frozen.at("file").get<std::string>();
    const auto source = frozen.at("source").get<std::string>();
    if (hex(sha256(source)) != frozen.at("sha256")) {
      return mismatch(fmt::format("behaviors: the grader file of {} does not have its hash", id));
    }
    const auto parsed = parse_behavior(source, file);
    if (!parsed || parsed->id != id || hex(parsed->hash) != frozen.at("hash")) {
      return mismatch(fmt::format(
          "behaviors: this program reads the grader {} differently: install understudy {}", id,
          document.at("understudy_version").get<std::string>()));
    }
    if (file.starts_with("built-in:")) {
      const auto ours = find_behavior(id, "");
      if (ours && hex(ours->hash) == frozen.at("hash")) continue;
      return mismatch(fmt::format(
          "behaviors: the grader {} is version {} in the forecast and {} in this program: install "
          "understudy {} to verify it",
          id, frozen.at("version").dump(), ours ? std::to_string(ours->version) : "absent",
          document.at("understudy_version").get<std::string>()));
    }
    if (!study) continue;
    const auto now = file_bytes((fs::path(*study) / file).string());
    if (now && *now != source) {
      return mismatch(
          fmt::format("behaviors: the grader file {} differs from the one that the forecast holds",
                      terminal_safe(file)));
    }
  }
  return {};
}

std::string toml_text(const std::string& text) {
  return write_json(Json(text), JsonStyle::kCanonical);  // TOML basic strings escape as JSON does
}

std::string model_toml(const Json& model, const std::string& base_url) {
  std::string text = "{ model = " + toml_text(model.at("model").get<std::string>());
  if (!base_url.empty()) text += ", base_url = " + toml_text(base_url);
  for (const char* key : {"temperature", "top_p", "max_tokens", "logprobs"}) {
    if (model.contains(key)) text += fmt::format(", {} = {}", key, model.at(key).dump());
  }
  return text + " }";
}

std::string list_toml(const std::vector<std::string>& texts) {
  std::vector<std::string> each;
  for (const std::string& text : texts) each.push_back(toml_text(text));
  return fmt::format("[{}]", fmt::join(each, ", "));
}

std::string value_toml(const Json& value) {
  return value.is_string() ? toml_text(value.get<std::string>()) : value.dump();
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

std::string verification_toml(const ForecastFile& forecast, const std::vector<std::string>& logs) {
  const Json& document = forecast.document;
  const Json& measurement = document.at("measurement");
  // Where roles are reached and what may be sent where is no part of a measurement: as the study
  // that made the forecast has it, if it is to be had.
  StudyConfig original;
  if (forecast.study) {
    if (auto config = load_study_config(*forecast.study)) original = std::move(*config);
  }
  std::string text =
      "# Made by `understudy verify`: the measurement that the forecast froze. Only base_url and\n"
      "# [egress] may be changed.\n";
  text += logs_toml(measurement.at("logs"), logs);
  const Json& design = document.at("design");
  text += fmt::format("[sample]\nunit = {}\nprefixes = {}\nseed = {}\n",
                      value_toml(measurement.at("unit")), design.at("prefixes").dump(),
                      value_toml(design.at("seed")));
  if (!measurement.at("prefix_tokens_max").is_null()) {
    text += fmt::format("prefix_tokens_max = {}\n", measurement.at("prefix_tokens_max").dump());
  }
  if (measurement.at("tokenizer").get<std::string>().starts_with("llama/")) {
    text += fmt::format("tokenizer = {}\n", value_toml(measurement.at("tokenizer")));
  }
  if (measurement.contains("cut")) text += "cut = \"user\"\n";
  if (measurement.contains("max_steps")) {
    text += fmt::format("[tools]\nmax_steps = {}\n", measurement.at("max_steps").dump());
  }
  const Json& candidate = document.at("models").at("candidate");
  text += fmt::format("[candidate]\nmodel = {}\n", value_toml(candidate.at("model")));
  if (!original.candidate.base_url.empty()) {
    text += fmt::format("base_url = {}\n", toml_text(original.candidate.base_url));
  }
  for (const char* key : {"temperature", "top_p", "max_tokens", "logprobs"}) {
    if (candidate.contains(key)) text += fmt::format("{} = {}\n", key, candidate.at(key).dump());
  }
  text += "[roles]\n";
  for (const auto& [role, model] : measurement.at("roles").items()) {
    const auto of_original = original.roles.find(role);
    text += fmt::format(
        "{} = {}\n", toml_text(role),
        model_toml(model, of_original == original.roles.end() ? "" : of_original->second.base_url));
  }
  std::vector<std::string> files;
  for (const Json& behavior : document.at("behaviors")) {
    files.push_back(fmt::format("behaviors/{}.toml", behavior.at("id").get<std::string>()));
  }
  text += fmt::format("[grade]\nbehaviors = {}\naudit = {}\n", list_toml(files),
                      measurement.at("audit").dump());
  if (!measurement.at("window_tokens").is_null()) {
    text += fmt::format("window_tokens = {}\n", measurement.at("window_tokens").dump());
  }
  if (!original.egress_allow.empty()) {
    text += fmt::format("[egress]\nallow = {}\n", list_toml(original.egress_allow));
  }
  return text;
}

// Made if it is not there; else it must be what would be made.
Result<void> put_file(const std::string& path, const std::string& bytes, const std::string& what) {
  const auto now = file_bytes(path);
  if (!now) return write_whole_file(path, bytes);
  if (*now == bytes) return {};
  return mismatch(fmt::format("{}: {} was changed since the forecast was frozen", what, path));
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
  UNDERSTUDY_CHECK(of_our_shape([&] {
    toml = verification_toml(forecast, logs);
    return Result<void>();
  }));
  UNDERSTUDY_TRY(const StudyConfig wanted, parse_study_config(toml, directory + "/study.toml"));
  std::error_code error;
  if (!fs::exists(directory + "/study.toml", error)) {
    UNDERSTUDY_CHECK(write_study_toml(directory, toml, false));
  } else {
    UNDERSTUDY_TRY(const StudyConfig found, load_study_config(directory));
    if (manifest_json(found) != manifest_json(wanted) ||
        found.grade.behaviors != wanted.grade.behaviors ||
        found.grade.audit != wanted.grade.audit) {
      return mismatch(fmt::format(
          "measurement: {}/study.toml does not measure what the forecast froze: remove the "
          "directory, or give another one with --dir",
          directory));
    }
  }
  fs::create_directories(directory + "/behaviors", error);
  for (const Json& behavior : forecast.document.at("behaviors")) {
    const auto id = behavior.at("id").get<std::string>();
    UNDERSTUDY_CHECK(put_file(fmt::format("{}/behaviors/{}.toml", directory, id),
                              behavior.at("source").get<std::string>(), "behaviors"));
  }
  return {};
}

}  // namespace understudy
