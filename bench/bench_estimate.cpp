// 1.3 million draws × 20 behaviors, packed as the store keeps them: 26 million verdicts to rates.
// The bar is 10 s and 300 MB on one core.

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <string>
#include <vector>

#include "base/rng.hpp"
#include "estimate/estimate.hpp"
#include "records/verdict.hpp"

namespace understudy {
namespace {

constexpr std::uint64_t kDraws = 1'300'000;
constexpr std::uint64_t kBehaviors = 20;

// One flag in a thousand, one ungradable answer in two thousand.
std::string packed_behavior(std::uint64_t behavior) {
  Rng rng(7, behavior);
  std::vector<SparseVerdict> verdicts;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const std::uint64_t kind = rng.below(2000);
    if (kind < 2) verdicts.push_back({i, Verdict::kPresent});
    if (kind == 2) verdicts.push_back({i, Verdict::kUngradableUnparsable});
  }
  return pack_verdicts(verdicts);
}

void estimate_26_million(benchmark::State& state) {
  std::vector<std::string> packed;
  for (std::uint64_t b = 0; b < kBehaviors; ++b) packed.push_back(packed_behavior(b));
  std::vector<std::uint64_t> clusters;
  Rng rng(1);
  for (std::uint64_t i = 0; i < kDraws; ++i) clusters.push_back(rng.below(400'000));
  for (auto _ : state) {
    ClusterSizes sizes;
    for (const std::uint64_t cluster : clusters) sizes.add(cluster);
    sizes.finish();
    std::vector<BehaviorInput> inputs;
    for (const std::string& bytes : packed) {
      bool ok = false;
      ArmVerdicts verdicts(sizes);
      for (const SparseVerdict& entry : unpack_verdicts(bytes, ok)) {
        VerdictRow row;
        row.cluster = clusters[entry.position];
        row.oracle = entry.position % 2 == 0 ? Oracle::kPresent : Oracle::kAbsent;
        verdicts.add(entry.verdict, row);
      }
      BehaviorInput input;
      input.name = std::to_string(inputs.size());
      input.arm(Arm::kCandidate) = summarize(std::move(verdicts));
      input.recall = {{"users", 200, 170, false}};
      input.previous = PreviousRate{50, {}, {}};
      inputs.push_back(std::move(input));
    }
    benchmark::DoNotOptimize(estimate_behaviors(inputs, {}));
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["verdicts"] = benchmark::Counter(
      static_cast<double>(kDraws * kBehaviors) * static_cast<double>(state.iterations()),
      benchmark::Counter::kIsRate);
  state.counters["peak_MB"] = static_cast<double>(usage.ru_maxrss) / 1024;
}
BENCHMARK(estimate_26_million)->Unit(benchmark::kSecond);

}  // namespace
}  // namespace understudy

BENCHMARK_MAIN();
