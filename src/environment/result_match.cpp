#include "environment/result_match.hpp"

#include <re2/re2.h>

#include <algorithm>

#include "base/json.hpp"

namespace understudy {
namespace {

Json renamed(const Json& value, const MatchRules& rules) {
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& item : value) out.push_back(renamed(item, rules));
    return out;
  }
  if (!value.is_object()) return value;
  Json out = Json::object();
  for (const auto& [key, member] : value.items()) {
    std::string name = key;
    for (const auto& [before, after] : rules.renamed_keys) {
      if (key == before) name = after;
    }
    out[name] = renamed(member, rules);
  }
  return out;
}

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  if (what.empty()) return;
  for (std::size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
}

void replace_times(std::string& text) {
  static const RE2 kIso(
      R"(\b\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?)?( ?(Z|[+-]\d\d:?\d\d))?)");
  static const RE2 kDate(
      R"(\b((Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?((Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2}|\d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec))( +\d\d:\d\d(:\d\d)?)?( ?[AP]M)?( [A-Z]{3,4})?( \d{4}( \d\d:\d\d:\d\d)?)?( [+-]\d{4})?)");
  static const RE2 kClock(R"(\b\d\d:\d\d:\d\d([.,]\d+)?\b)");
  static const RE2 kDuration(
      R"(\b\d+m\d+([.,]\d+)?s\b|\b\d+([.,]\d+)? ?(s|ms|us|ns|sec|seconds)\b)");
  RE2::GlobalReplace(&text, kIso, "<time>");
  RE2::GlobalReplace(&text, kDate, "<time>");
  RE2::GlobalReplace(&text, kClock, "<time>");
  RE2::GlobalReplace(&text, kDuration, "<duration>");
}

}  // namespace

std::string normalized_result(std::string_view result, const MatchRules& rules) {
  std::string text(result);
  auto paths = rules.paths;
  std::sort(paths.begin(), paths.end(),
            [](auto& a, auto& b) { return a.first.size() > b.first.size(); });
  for (const auto& [folder, name] : paths) replace_all(text, folder, name);
  if (rules.times) replace_times(text);
  return text;
}

bool same_result(std::string_view recorded, std::string_view answered, const MatchRules& rules) {
  if (recorded == answered) return true;
  const auto is_container = [](std::string_view text) {
    return text.starts_with('{') || text.starts_with('[');
  };
  if (is_container(recorded) && is_container(answered)) {
    const Result<Json> before = parse_json(recorded);
    const Result<Json> after = parse_json(answered);
    if (before && after) return renamed(*before, rules) == renamed(*after, rules);
  }
  return normalized_result(recorded, rules) == normalized_result(answered, rules);
}

}  // namespace understudy
