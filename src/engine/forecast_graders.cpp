#include "engine/forecast_graders.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "base/file.hpp"
#include "base/text.hpp"
#include "engine/study_files.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;

// How a grader file is found again: its path from the study, or the name of a built-in one.
std::string file_name(const std::string& study_directory, const Behavior& behavior) {
  if (behavior.file.starts_with("built-in:")) return behavior.file;
  const fs::path from = fs::absolute(study_directory).lexically_normal();
  return fs::absolute(behavior.file).lexically_normal().lexically_relative(from).string();
}

Result<std::string> utf8_file(const std::string& path) {
  const auto bytes = file_bytes(path);
  const ErrorContext where{path, std::nullopt, std::nullopt};
  if (!bytes) return unexpected(ErrorCode::kUsage, "cannot read this grader file", where);
  if (!is_valid_utf8(*bytes)) {
    return unexpected(ErrorCode::kUsage, "this grader file is not UTF-8: no forecast can hold it",
                      where);
  }
  return *bytes;
}

// Programs whole; of a table its hash.
Result<Json> named_files(const Behavior& behavior) {
  Json files = Json::array();
  for (const std::string& name : behavior_files(behavior)) {
    const std::string path = behavior_folder(behavior) + "/" + name;
    if (behavior.table) {
      const auto bytes = file_bytes(path);
      if (!bytes) {
        return unexpected(ErrorCode::kUsage, "cannot read this table",
                          {.file = path, .line = {}, .byte_offset = {}});
      }
      files.push_back({{"name", name}, {"sha256", hex(sha256(*bytes))}, {"source", nullptr}});
    } else {
      UNDERSTUDY_TRY(const std::string source, utf8_file(path));
      files.push_back({{"name", name}, {"sha256", hex(sha256(source))}, {"source", source}});
    }
  }
  return files;
}

Json files_of(const Json& frozen) {
  return frozen.value("files", Json::array());
}

Unexpected mismatch(std::string message) {
  return unexpected(ErrorCode::kMismatch, "behaviors: " + std::move(message));
}

// The forecast's own words agree with each other, and this program reads them as its maker did.
Result<Behavior> read_frozen(const Json& frozen, const std::string& made_by) {
  const auto id = frozen.at("id").get<std::string>();
  const auto source = frozen.at("source").get<std::string>();
  if (hex(sha256(source)) != frozen.at("sha256")) {
    return mismatch(fmt::format("the grader file of {} does not have its hash", terminal_safe(id)));
  }
  auto parsed = parse_behavior(source, frozen.at("file").get<std::string>());
  const bool same_id = parsed && parsed->id == id;
  std::vector<std::string> names, contents;
  bool all_whole = same_id;
  for (const Json& file : files_of(frozen)) {
    names.push_back(file.at("name").get<std::string>());
    all_whole = all_whole && file.at("source").is_string();
    contents.push_back(file.at("source").is_string() ? file.at("source").get<std::string>() : "");
    if (all_whole && hex(sha256(contents.back())) != file.at("sha256")) {
      return mismatch(fmt::format("the file {} of the grader {} does not have its hash",
                                  terminal_safe(names.back()), id));
    }
  }
  if (same_id && behavior_files(*parsed) == names) {
    if (!all_whole && parsed->table) return parsed;
    if (hex(behavior_hash(*parsed, contents)) == frozen.at("hash")) return parsed;
  }
  return mismatch(fmt::format("this program reads the grader {} differently: install understudy {}",
                              terminal_safe(id), terminal_safe(made_by)));
}

Result<void> check_built_in(const Json& frozen, const Behavior& behavior,
                            const std::string& made_by) {
  const auto ours = find_behavior(behavior.id, "");
  if (ours && hex(ours->hash) == frozen.at("hash")) return {};
  return mismatch(fmt::format(
      "the grader {} is version {} in the forecast and {} in this program: install understudy {} "
      "to verify it",
      behavior.id, behavior.version, ours ? std::to_string(ours->version) : "absent",
      terminal_safe(made_by)));
}

// A file that is gone is no contradiction: the forecast holds it.
Result<void> check_on_disk(const fs::path& path, const std::string& name, const Json& sha256_hex) {
  const auto now = file_bytes(path.string());
  if (!now || hex(sha256(*now)) == sha256_hex) return {};
  return mismatch(fmt::format("the grader file {} differs from the one that the forecast holds",
                              terminal_safe(name)));
}

bool is_table(const Json& frozen) {
  return frozen.at("decided_by") == "table";
}

// A behavior with programs of its own has a folder of its own, where no other's can be in the way.
std::string place_of(const Json& frozen) {
  const auto id = frozen.at("id").get<std::string>();
  return files_of(frozen).empty() ? fmt::format("behaviors/{}.toml", id)
                                  : fmt::format("behaviors/{0}/{0}.toml", id);
}

// Made if it is not there; else it must be what would be made.
Result<void> put_file(const fs::path& path, const std::string& bytes) {
  const auto now = file_bytes(path.string());
  if (now && *now == bytes) return {};
  if (now) {
    return mismatch(fmt::format("{} was changed since the forecast was frozen", path.string()));
  }
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  return write_whole_file(path.string(), bytes);
}

}  // namespace

Result<Json> frozen_graders(const std::string& study_directory,
                            const std::vector<Behavior>& behaviors) {
  Json section = Json::array();
  for (const Behavior& behavior : behaviors) {
    UNDERSTUDY_TRY(const std::string source, behavior_source(behavior));
    if (!is_valid_utf8(source)) {
      return unexpected(ErrorCode::kUsage, "this behavior file is not UTF-8",
                        {.file = behavior.file, .line = {}, .byte_offset = {}});
    }
    Json frozen = {{"id", behavior.id},
                   {"version", behavior.version},
                   {"hash", hex(behavior.hash)},
                   {"decided_by", decided_by_name(behavior.decided_by)},
                   {"file", file_name(study_directory, behavior)},
                   {"sha256", hex(sha256(source))},
                   {"source", source}};
    UNDERSTUDY_TRY(Json files, named_files(behavior));
    if (!files.empty()) frozen["files"] = std::move(files);
    section.push_back(std::move(frozen));
  }
  return section;
}

Result<void> check_graders(const Json& document, const std::optional<std::string>& study) {
  const auto made_by = document.at("understudy_version").get<std::string>();
  for (const Json& frozen : document.at("behaviors")) {
    UNDERSTUDY_TRY(const Behavior behavior, read_frozen(frozen, made_by));
    const auto file = frozen.at("file").get<std::string>();
    if (file.starts_with("built-in:")) {
      UNDERSTUDY_CHECK(check_built_in(frozen, behavior, made_by));
      continue;
    }
    if (!study) continue;
    const fs::path path = fs::path(*study) / file;
    UNDERSTUDY_CHECK(check_on_disk(path, file, frozen.at("sha256")));
    for (const Json& named : files_of(frozen)) {
      const auto name = named.at("name").get<std::string>();
      UNDERSTUDY_CHECK(check_on_disk(path.parent_path() / name, name, named.at("sha256")));
    }
  }
  return {};
}

Result<std::vector<std::string>> grader_paths(const Json& document) {
  std::vector<std::string> paths;
  for (const Json& frozen : document.at("behaviors")) {
    if (!is_table(frozen)) paths.push_back(place_of(frozen));
  }
  if (!paths.empty()) return paths;
  return unexpected(ErrorCode::kInput,
                    "all graders of this forecast are tables of verdicts, which know nothing of "
                    "the new model's traffic: there is nothing to verify it with");
}

Result<void> write_graders(const Json& document, const std::string& directory) {
  for (const Json& frozen : document.at("behaviors")) {
    if (is_table(frozen)) continue;
    const fs::path path = fs::path(directory) / place_of(frozen);
    UNDERSTUDY_CHECK(put_file(path, frozen.at("source").get<std::string>()));
    for (const Json& file : files_of(frozen)) {
      UNDERSTUDY_CHECK(put_file(path.parent_path() / file.at("name").get<std::string>(),
                                file.at("source").get<std::string>()));
    }
  }
  return {};
}

}  // namespace understudy
