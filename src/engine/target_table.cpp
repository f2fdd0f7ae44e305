#include "engine/target_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.hpp"
#include "estimate/table_reader.hpp"
#include "grading/language.hpp"

namespace understudy {
namespace {

constexpr std::string_view kOther = "other";
constexpr std::size_t kShortBytes = 200, kMediumBytes = 2'000;

std::string language_of(const Conversation& conversation, std::uint32_t cut) {
  const std::string language = detect_language(conversation.messages[cut - 1].content);
  return language.empty() ? "unknown" : language;
}

std::string turn_of(const Conversation& conversation, std::uint32_t cut) {
  const auto end = conversation.messages.begin() + cut;
  const auto users = std::count_if(conversation.messages.begin(), end, [](const Message& message) {
    return message.role == Role::kUser;
  });
  return users > 3 ? "4+" : std::to_string(std::max<std::ptrdiff_t>(users, 1));
}

std::string length_of(const Conversation& conversation, std::uint32_t cut) {
  const std::size_t bytes = conversation.messages[cut - 1].content.size();
  return bytes < kShortBytes ? "short" : bytes < kMediumBytes ? "medium" : "long";
}

std::string yes_or_no(bool yes) {
  return yes ? "yes" : "no";
}

struct Dimension {
  const char* name;
  std::string (*stratum)(const Conversation& conversation, std::uint32_t cut);
};

constexpr std::array<Dimension, 5> kDimensions = {{
    {"language", language_of},
    {"turn", turn_of},
    {"length", length_of},
    {"tools", [](const Conversation& c, std::uint32_t) { return yes_or_no(!c.tools.empty()); }},
    {"system",
     [](const Conversation& c, std::uint32_t) {
       return yes_or_no(!c.messages.empty() && c.messages[0].role == Role::kSystem);
     }},
}};

const Dimension* find_dimension(std::string_view name) {
  const auto found = std::find_if(kDimensions.begin(), kDimensions.end(),
                                  [&](const Dimension& known) { return name == known.name; });
  return found == kDimensions.end() ? nullptr : &*found;
}

Result<void> add_row(const TableReader& table, std::vector<TargetDimension>& dimensions) {
  const Cells cells = table.cells();
  const std::string name(cells[0]), stratum(cells[1]);
  std::vector<std::string> parts;
  for (const std::string_view part : split(name, '*')) parts.emplace_back(part);
  for (const std::string& part : parts) {
    if (find_dimension(part) != nullptr) continue;
    std::vector<std::string> names;
    for (const Dimension& known : kDimensions) names.emplace_back(known.name);
    return table.error(fmt::format("no dimension \"{}\"{}; there are {}", terminal_safe(part),
                                   did_you_mean(part, names), fmt::join(names, ", ")));
  }
  if (stratum.empty()) return table.error("stratum is empty");
  const auto share = parse_number(cells[2]);
  if (!share || *share < 0 || *share > 1) return table.error("share is not between 0 and 1");
  auto found = std::find_if(dimensions.begin(), dimensions.end(),
                            [&](const TargetDimension& known) { return known.name == name; });
  if (found == dimensions.end()) {
    found = dimensions.insert(dimensions.end(),
                              {.name = name, .parts = parts, .strata = {}, .shares = {}});
  }
  if (std::find(found->strata.begin(), found->strata.end(), stratum) != found->strata.end()) {
    return table.error("this stratum comes twice");
  }
  found->strata.push_back(stratum);
  found->shares.push_back(*share);
  return {};
}

}  // namespace

Result<std::vector<TargetDimension>> read_target_table(const std::string& path) {
  UNDERSTUDY_TRY(TableReader table, TableReader::open(path, {"dimension", "stratum", "share"}, 3));
  std::vector<TargetDimension> dimensions;
  while (true) {
    UNDERSTUDY_TRY(const bool more, table.next());
    if (!more) break;
    UNDERSTUDY_CHECK(add_row(table, dimensions));
  }
  const auto bad = [&](const std::string& what) {
    return unexpected(ErrorCode::kInput, what, {.file = path, .line = {}, .byte_offset = {}});
  };
  if (dimensions.empty()) return bad("the table of the target traffic has no row");
  for (TargetDimension& dimension : dimensions) {
    double sum = 0;
    for (const double share : dimension.shares) sum += share;
    if (std::abs(sum - 1) > 0.01) {
      return bad(fmt::format("shares of \"{}\" sum to {:.3g}, not to 1",
                             terminal_safe(dimension.name), sum));
    }
    for (double& share : dimension.shares) share /= sum;
  }
  return dimensions;
}

std::string stratum_of(const TargetDimension& dimension, const Conversation& conversation,
                       std::uint32_t cut) {
  std::string stratum;
  for (const std::string& part : dimension.parts) {
    if (!stratum.empty()) stratum += '*';
    stratum += find_dimension(part)->stratum(conversation, cut);
  }
  return stratum;
}

void StratumCounter::add(const Conversation& conversation, std::uint32_t cut) {
  const std::string stratum = understudy::stratum_of(*dimension_, conversation, cut);
  const auto found = std::find(found_.begin(), found_.end(), stratum);
  stratum_of_.push_back(static_cast<std::uint32_t>(found - found_.begin()));
  if (found == found_.end()) found_.push_back(stratum);
}

Result<Margin> StratumCounter::margin() {
  const std::vector<std::string>& strata = dimension_->strata;
  const auto place = [&](std::string_view stratum) {
    return static_cast<std::size_t>(std::find(strata.begin(), strata.end(), stratum) -
                                    strata.begin());
  };
  std::vector<std::uint32_t> in_table;  // of each stratum found
  std::vector<bool> met(strata.size(), false);
  for (const std::string& stratum : found_) {
    std::size_t at = place(stratum);
    if (at == strata.size()) at = place(kOther);
    if (at == strata.size()) {
      return unexpected(ErrorCode::kInput,
                        fmt::format("target.table says nothing of {} \"{}\", which the logs hold: "
                                    "give it a share, or add a row \"other\"",
                                    terminal_safe(dimension_->name), terminal_safe(stratum)));
    }
    in_table.push_back(static_cast<std::uint32_t>(at));
    met[at] = true;
  }
  for (std::size_t s = 0; s < strata.size(); ++s) {
    if (met[s] || dimension_->shares[s] <= 0) continue;
    return unexpected(
        ErrorCode::kInput,
        fmt::format("target.table: the logs hold no turn of {} \"{}\", {:.3g}% of the target{}: "
                    "no weight can make up for it",
                    terminal_safe(dimension_->name), terminal_safe(strata[s]),
                    100 * dimension_->shares[s], did_you_mean(strata[s], found_)));
  }
  for (std::uint32_t& stratum : stratum_of_) stratum = in_table[stratum];
  return Margin{.stratum_of = std::move(stratum_of_), .shares = dimension_->shares};
}

}  // namespace understudy
