// understudy_sim: the whole engine under seeded faults (simulation.hpp), from the command line.
//
//   understudy_sim --seed N            one seed: what a failure prints
//   understudy_sim --seed N --seeds K  K seeds from N on
//   understudy_sim --seed N --tell     what each session met
//   understudy_sim --sweep             each operation on the disk fails in turn, in every way
//   understudy_sim --canary NAME       a rule is broken on purpose: must fail
//
// Exit code 0: all converged; 1: the first line says which did not; 2: wrong flags.

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>

#include "simulation.hpp"

namespace understudy::simulation {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::uint64_t seed = 1;
  std::uint64_t seeds = 1;
  std::string canary = "none";
  bool sweep = false;
  bool tell = false;
  std::string fault;  ///< of the sweep; empty: all
  std::uint64_t first = 1;
  std::uint64_t stride = 1;
};

// Printed when the program aborts: an assertion that fails is a divergence too.
std::string command_now;
extern "C" void say_command(int /*signal*/) {
  if (::write(STDERR_FILENO, command_now.data(), command_now.size()) < 0) return;
}

// In memory where that can be had: what lies beside the database is synced, thousands of times.
class Folder {
 public:
  Folder() {
    const fs::path memory = "/dev/shm";
    std::error_code ignored;
    const fs::path base = ::access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path();
    path_ = (base / fmt::format("understudy_sim_{}", ::getpid())).string();
    fs::remove_all(path_, ignored);
    fs::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Canary canary_of(const std::string& name) {
  if (name == "lost-draw") return Canary::kLostDraw;
  return name == "no-sync" ? Canary::kNoSync : Canary::kNone;
}

void print_line(const std::string& line) {
  fmt::print("    {}\n", line);
}

int run_seeds(const Flags& flags) {
  constexpr int kDivergencesMax = 10;
  const Folder folder;
  Simulation simulation(folder.path(), canary_of(flags.canary));
  if (flags.tell) simulation.tell(print_line);
  const std::string canary = flags.canary == "none" ? "" : " --canary " + flags.canary;
  int divergences = 0;
  for (std::uint64_t seed = flags.seed;
       seed < flags.seed + flags.seeds && divergences < kDivergencesMax; ++seed) {
    const std::string command = fmt::format("understudy_sim --seed {}{}", seed, canary);
    command_now = "aborted: " + command + "\n";
    if (const auto divergence = simulation.run_seed(seed)) {
      ++divergences;
      fmt::print("seed {} diverges: {}\n  {}\n", seed, *divergence, command);
    }
  }
  fmt::print("{} seeds from {}: {} divergences\n", flags.seeds, flags.seed, divergences);
  for (const auto& [name, count] : simulation.tally()) fmt::print("  {:<20} {}\n", name, count);
  return divergences == 0 ? 0 : 1;
}

// Operation `first` fails, then each `stride`-th after it, until one is beyond the last.
int run_sweep(const Flags& flags) {
  const Folder folder;
  Simulation simulation(folder.path(), Canary::kNone);
  if (flags.tell) simulation.tell(print_line);
  int divergences = 0;
  for (std::size_t i = 1; i < kDiskFaultCount; ++i) {
    const auto fault = static_cast<DiskFault>(i);
    const std::string_view name = disk_fault_name(fault);
    if (!flags.fault.empty() && flags.fault != name) continue;
    std::uint64_t met = 0;
    bool reached = true;
    for (std::uint64_t operation = flags.first; reached; operation += flags.stride) {
      const std::string command = fmt::format(
          "understudy_sim --sweep --fault {} --first {} --stride 1000000", name, operation);
      command_now = "aborted: " + command + "\n";
      if (const auto divergence = simulation.run_disk_fault(fault, operation, reached)) {
        ++divergences;
        fmt::print("{} at operation {} diverges: {}\n  {}\n", name, operation, *divergence,
                   command);
      }
      if (reached) ++met;
    }
    fmt::print("{:<16} met at {} operations, from {} in steps of {}\n", name, met, flags.first,
               flags.stride);
  }
  fmt::print("sweep: {} divergences\n", divergences);
  return divergences == 0 ? 0 : 1;
}

int main_program(int argc, char** argv) {
  Flags flags;
  CLI::App app("The whole engine on a simulated clock, network and disk, with seeded faults");
  app.add_option("--seed", flags.seed, "The first seed")->capture_default_str();
  app.add_option("--seeds", flags.seeds, "How many")->capture_default_str();
  app.add_option("--canary", flags.canary, "Break a rule on purpose")
      ->check(CLI::IsMember({"none", "lost-draw", "no-sync"}));
  app.add_flag("--tell", flags.tell, "Say what each session met and how it ended");
  app.add_flag("--sweep", flags.sweep, "Fail each operation on the disk in turn");
  app.add_option("--fault", flags.fault, "Of the sweep: this way to fail alone")
      ->check(CLI::IsMember({"error-once", "error-from-then", "full", "crash"}));
  app.add_option("--first", flags.first, "Of the sweep: the first operation")
      ->check(CLI::PositiveNumber);
  app.add_option("--stride", flags.stride, "Of the sweep: operations from one to the next")
      ->check(CLI::PositiveNumber);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::signal(SIGABRT, say_command);
  std::signal(SIGSEGV, say_command);
  return flags.sweep ? run_sweep(flags) : run_seeds(flags);
}

}  // namespace
}  // namespace understudy::simulation

int main(int argc, char** argv) {
  return understudy::simulation::main_program(argc, argv);
}
