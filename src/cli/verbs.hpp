#pragma once
// The verbs of the program and what each does in a line.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace understudy {

struct Verb {
  std::string_view name;
  std::string_view does;
  /// Takes the arguments after the verb; gives the exit code.
  int (*run)(const std::vector<std::string>& arguments);
};

[[nodiscard]] std::span<const Verb> verbs();
[[nodiscard]] std::string usage();

// One file each.
int run_demo(const std::vector<std::string>& arguments);
int run_tools(const std::vector<std::string>& arguments);
int run_plan(const std::vector<std::string>& arguments);
int run_init(const std::vector<std::string>& arguments);
int run_study(const std::vector<std::string>& arguments);
int run_ingest(const std::vector<std::string>& arguments);
int run_sample(const std::vector<std::string>& arguments);
int run_replay(const std::vector<std::string>& arguments);
int run_grade(const std::vector<std::string>& arguments);
int run_estimate(const std::vector<std::string>& arguments);
int run_label(const std::vector<std::string>& arguments);
int run_report(const std::vector<std::string>& arguments);
int run_backtest(const std::vector<std::string>& arguments);
int run_forecast(const std::vector<std::string>& arguments);
int run_verify(const std::vector<std::string>& arguments);
int run_discover(const std::vector<std::string>& arguments);
int run_fidelity(const std::vector<std::string>& arguments);
int run_batch(const std::vector<std::string>& arguments);

}  // namespace understudy
