#include "cli/calibrate.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "base/json.hpp"
#include "testing/calibration.hpp"

namespace understudy {
namespace {

int write_plot(const std::string& path, const std::vector<CalibrationRow>& rows) {
  std::ofstream file(path, std::ios::binary);
  file << calibration_plot(rows);
  file.close();
  if (!file) {
    fmt::print(stderr, "understudy calibrate: can't write {}\n", path);
    return 4;
  }
  return 0;
}

}  // namespace

int run_calibrate(const std::vector<std::string>& arguments) {
  CLI::App app(
      "Our own estimates on synthetic worlds with known truth: coverage, error, alarms.\n\n"
      "  understudy calibrate --world A --world portfolio --repeats 1000 --json",
      "understudy calibrate");
  CalibrationOptions options;
  bool json = false;
  std::string display = "plain", plot;
  app.add_option("--world", options.worlds,
                 fmt::format("Which worlds (default all): {}", fmt::join(world_names(), ", ")));
  app.add_option(
      "--estimator", options.estimators,
      fmt::format("Which estimators (default all): {}", fmt::join(estimator_names(), ", ")));
  app.add_option("--rate", options.rates, "Rates of the worlds A to G, as shares")
      ->capture_default_str();
  app.add_option("--repeats", options.repeats, "Studies per world and rate")->capture_default_str();
  app.add_option("--seed", options.seed, "Same seed, same worlds")->capture_default_str();
  app.add_option("--shift", options.shift,
                 "Portfolio: sd of ln(rate after launch / rate in the logs)")
      ->check(CLI::Range(0.0, 5.0))
      ->capture_default_str();
  app.add_option("--plot", plot, "Write coverage with error bars to this SVG file");
  app.add_flag("--json", json, "One JSON document on stdout");
  app.add_option("--display", display, "rich, plain or none: progress on stderr")
      ->check(CLI::IsMember({"rich", "plain", "none"}));
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const auto rows = calibrate(options, [&](const std::string& world) {
    if (display != "none") fmt::print(stderr, "calibrate: {}\n", world);
  });
  if (!rows) {
    fmt::print(stderr, "understudy {}\n", rows.error().describe());
    return 2;
  }
  if (!plot.empty()) {
    if (const int failed = write_plot(plot, *rows); failed != 0) return failed;
  }
  if (json) {
    fmt::print("{}", write_json(calibration_document(*rows, options), JsonStyle::kPretty));
  } else {
    fmt::print("{}", calibration_table(*rows));
  }
  return 0;
}

}  // namespace understudy
