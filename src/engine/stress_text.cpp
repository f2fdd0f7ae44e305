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
  if (value < 1000) return fmt::format("{:.3g}", value);
  const double place = std::pow(10.0, std::floor(std::log10(value)) - 2);
  return with_commas(static_cast<std::uint64_t>(std::round(value / place) * place));
}

std::string text_of(const Json& row, const char* member) {
  return number_text(row.at(member).get<double>());
}

std::string count_text(const Json& count) {
  return fmt::format("{} expected ({}–{}), at most {}, any at all with {:.3g}%",
                     text_of(count, "expected"), text_of(count, "lo"), text_of(count, "hi"),
                     text_of(count, "maximum"), 100 * count.at("chance_of_any").get<double>());
}

std::string strata_text(const Json& behavior) {
  std::string text;
  for (const Json& row : behavior.at("strata")) {
    text += fmt::format(
        "  where: {}: {} per 100k ({}–{}), elsewhere {}; {} of {} draws, {:.2g}% of all, adjusted "
        "p {:.1e}\n",
        shown_text(row.at("name").get<std::string>()), text_of(row, "per_100k"), text_of(row, "lo"),
        text_of(row, "hi"), text_of(row, "elsewhere_per_100k"),
        row.at("present").get<std::uint64_t>(), row.at("draws").get<std::uint64_t>(),
        100 * row.at("share").get<double>(), row.at("p_adjusted").get<double>());
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
      text += fmt::format("; drawn again {} of {}: {:.3g}% ({:.3g}–{:.3g}%)",
                          again.at("present").get<std::uint64_t>(),
                          again.at("graded").get<std::uint64_t>(),
                          100 * again.at("share").get<double>(), 100 * again.at("lo").get<double>(),
                          100 * again.at("hi").get<double>());
    } else if (again.is_object()) {
      text += fmt::format("; drawn again {} times, none graded",
                          again.at("draws").get<std::uint64_t>());
    }
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
  const Json& stratum = count.at("worst_stratum");
  if (stratum.is_object()) {
    text += fmt::format("    of these in {} of them, where {}: {}\n", text_of(stratum, "units"),
                        shown_text(stratum.at("name").get<std::string>()), count_text(stratum));
  }
  const Json& cluster = count.at("largest_cluster");
  text += fmt::format("    to a user with {:.2g}% of all, as the busiest here: {}\n",
                      100 * cluster.at("share").get<double>(), count_text(cluster));
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
  std::string without;
  for (const Json& behavior : document.at("behaviors")) {
    const auto present = behavior.at("present").get<std::uint64_t>();
    if (present == 0 && units.empty()) {
      without += (without.empty() ? "" : ", ") + behavior.at("name").get<std::string>();
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
  return text;
}

}  // namespace understudy
