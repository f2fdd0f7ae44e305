// The stress view in a terminal. Whatever comes from logs or models is made safe to show.

#include <fmt/format.h>

#include <cmath>

#include "base/text.hpp"
#include "engine/discovery.hpp"
#include "engine/stress.hpp"

namespace understudy {
namespace {

// Three digits: the interval never bears more.
std::string number_text(double value) {
  if (value <= 0) return "0";
  const int decimals = 2 - static_cast<int>(std::floor(std::log10(value)));
  if (decimals <= 0) {
    const double place = std::pow(10.0, -decimals);
    return with_commas(static_cast<std::uint64_t>(std::round(value / place) * place));
  }
  std::string text = fmt::format("{:.{}f}", value, decimals);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string percent_text(const Json& row, const char* member) {
  return number_text(100 * row.at(member).get<double>());
}

std::string text_of(const Json& row, const char* member) {
  return number_text(row.at(member).get<double>());
}

std::string count_text(const Json& count) {
  return fmt::format("{} expected ({}–{}), at most {}, any at all with {}%",
                     text_of(count, "expected"), text_of(count, "lo"), text_of(count, "hi"),
                     text_of(count, "maximum"), percent_text(count, "chance_of_any"));
}

std::string strata_text(const Json& behavior) {
  std::string text;
  for (const Json& row : behavior.at("strata")) {
    text += fmt::format(
        "  where: {}: {} per 100k ({}–{}), elsewhere {}; {} of {} draws, {}% of all, adjusted "
        "p {:.1e}\n",
        shown_text(row.at("name").get<std::string>()), text_of(row, "per_100k"), text_of(row, "lo"),
        text_of(row, "hi"), text_of(row, "elsewhere_per_100k"),
        row.at("present").get<std::uint64_t>(), row.at("draws").get<std::uint64_t>(),
        percent_text(row, "share"), row.at("p_adjusted").get<double>());
  }
  return text;
}

// What gave no verdict, by reason.
std::string lost_text(const Json& again) {
  std::string text;
  for (const auto& [member, name] : {std::pair{"failed", "failed"},
                                     {"ungradable", "ungradable"},
                                     {"not_graded", "not graded"}}) {
    for (const auto& [reason, count] : again.at(member).items()) {
      text += fmt::format(", {} {} ({})", count.get<std::uint64_t>(), name, reason);
    }
  }
  return text;
}

std::string worst_text(const Json& behavior) {
  std::string text;
  for (const Json& row : behavior.at("worst")) {
    text +=
        fmt::format("  prefix {}: {} of {} draws", row.at("prefix").get<std::uint64_t>(),
                    row.at("present").get<std::uint64_t>(), row.at("draws").get<std::uint64_t>());
    const Json& again = row.at("repeated");
    if (again.is_object() && again.at("share").is_number()) {
      text += fmt::format("; drawn again {} of {}: {}% ({}–{}%)",
                          again.at("present").get<std::uint64_t>(),
                          again.at("graded").get<std::uint64_t>(), percent_text(again, "share"),
                          percent_text(again, "lo"), percent_text(again, "hi"));
    } else if (again.is_object()) {
      text += fmt::format("; drawn again {} times, none graded",
                          again.at("draws").get<std::uint64_t>());
    }
    if (again.is_object()) text += lost_text(again);
    text +=
        fmt::format("\n    {}\n    user:   {}\n    answer: {}\n", row.at("id").get<std::string>(),
                    shown_text(row.at("user_text").get<std::string>()),
                    shown_text(row.at("answer").get<std::string>()));
  }
  return text;
}

std::string deployment_text(const Json& count, const std::string& units) {
  if (!count.is_object()) return {};
  std::string text = fmt::format("  in {}: {}\n", units, count_text(count));
  const Json& flags = count.at("worst_stratum_flags");
  if (flags.is_object()) {
    text += fmt::format(
        "    flags in {} of them, where {}: {}; true or not, and expected too many: of the kinds "
        "above it is the highest\n",
        text_of(flags, "units"), shown_text(flags.at("name").get<std::string>()),
        count_text(flags));
  }
  const Json& cluster = count.at("largest_cluster");
  text += fmt::format("    to a user with {}% of all, as the busiest here: {}\n",
                      percent_text(cluster, "share"), count_text(cluster));
  return text;
}

}  // namespace

std::string stress_text(const Json& document) {
  const Json& deployment = document.at("deployment");
  const std::string units =
      deployment.is_null() ? ""
                           : fmt::format("{} {}s", with_commas(deployment.get<std::uint64_t>()),
                                         document.at("unit").get<std::string>());
  std::string text = fmt::format(
      "{} draws on {} prefixes; {} kinds of prefixes. A kind is shown where a behavior is surely "
      "commoner than elsewhere: {} pairs of behavior and kind tested, adjusted together; intervals "
      "at {:.6g}%, so that of those shown at most {:.3g}% miss.\n",
      with_commas(document.at("draws").get<std::uint64_t>()),
      with_commas(document.at("prefixes").get<std::uint64_t>()),
      document.at("strata").get<std::uint64_t>(),
      with_commas(document.at("pairs_tested").get<std::uint64_t>()),
      100 * document.at("interval_level").get<double>(), 100 * document.at("level").get<double>());
  std::string without, not_graded;
  const auto add = [](std::string& names, const Json& behavior) {
    names += (names.empty() ? "" : ", ") + behavior.at("name").get<std::string>();
  };
  for (const Json& behavior : document.at("behaviors")) {
    if (behavior.at("present").is_null()) {
      add(not_graded, behavior);
      continue;
    }
    const auto present = behavior.at("present").get<std::uint64_t>();
    if (present == 0 && units.empty()) {
      add(without, behavior);
      continue;
    }
    text += fmt::format("\n{}: {} of {} draws\n", behavior.at("name").get<std::string>(), present,
                        with_commas(behavior.at("graded").get<std::uint64_t>()));
    text += strata_text(behavior);
    if (present > 0 && behavior.at("strata").empty()) text += "  where: no kind of prefix surely\n";
    text += worst_text(behavior);
    text += deployment_text(behavior.at("deployment"), units);
  }
  if (!without.empty()) text += fmt::format("\nnot once: {}\n", terminal_safe(without));
  if (!not_graded.empty()) text += fmt::format("\nnot graded: {}\n", terminal_safe(not_graded));
  return text;
}

}  // namespace understudy
