#include "estimate/verdict_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <unordered_map>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "estimate/side_tables.hpp"
#include "estimate/table_reader.hpp"

namespace understudy {
namespace {

enum Column : std::size_t {
  kBehavior,
  kArm,
  kScreen,
  kPrefix,
  kDraw,
  kCluster,
  kPiPrefix,
  kScreenScore,
  kOracle,
  kPiOracle,
  kJudge,
  kSourceModel,
  kRisk,
  kCount
};

const std::vector<std::string>& column_names() {
  static const std::vector<std::string> names = {
      "behavior",     "arm",    "screen",    "prefix", "draw",         "cluster", "pi_prefix",
      "screen_score", "oracle", "pi_oracle", "judge",  "source_model", "risk",    "count"};
  return names;
}

// 64 bits of a name, eight bytes a step. Only grouping and identity hang on it, no order.
std::uint64_t name_hash(std::string_view text, std::uint64_t salt) {
  std::uint64_t hash = prefix_mix(salt + text.size());
  while (text.size() >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), 8);
    hash = prefix_mix(hash ^ word);
    text.remove_prefix(8);
  }
  std::uint64_t word = 0;
  if (!text.empty()) std::memcpy(&word, text.data(), text.size());
  return prefix_mix(hash ^ word);
}

// The rows of one behavior in one arm.
struct Rows {
  std::uint64_t count = 0;               // draws
  std::deque<std::uint64_t> identities;  // prefix and draw, of rows that name a prefix
  std::deque<std::uint64_t> clusters;    // of rows with count 1
  std::deque<double> weights;            // beside `clusters`; empty while all are equal
  double first_weight = 0;
  struct Group {
    std::uint64_t cluster;
    double weight;
    std::uint64_t count;
  };
  std::vector<Group> groups;                   // counted rows of one named cluster
  std::map<double, std::uint64_t> singletons;  // counted rows without a cluster, by weight
  std::vector<VerdictRow> verdicts;            // all but absent and unverified ones
  std::set<std::string> judges, source_models;
  std::uint64_t fingerprint = 0;
  bool identified = true;  // every row is one draw of a named prefix
  bool weighted = false;   // pi_prefix is given

  void add_cluster(std::uint64_t cluster, double weight) {
    if (clusters.empty()) first_weight = weight;
    if (weights.empty() && weight != first_weight) weights.assign(clusters.size(), first_weight);
    if (!weights.empty() || weight != first_weight) weights.push_back(weight);
    clusters.push_back(cluster);
  }
};

struct Behavior {
  std::string name;
  std::array<std::unique_ptr<Rows>, kArmCount> arms;
};

std::optional<Arm> arm_of(std::string_view name) {
  for (std::size_t i = 0; i < kArmCount; ++i) {
    if (arm_name(static_cast<Arm>(i)) == name) return static_cast<Arm>(i);
  }
  return std::nullopt;
}

class TableBuilder {
 public:
  Result<void> read(const TableRequest& request);
  Result<TableEstimate> estimate(const TableRequest& request);

 private:
  Result<void> take(const TableReader& table);
  Result<Rows*> rows_of(const TableReader& table, Cells cells);
  Result<VerdictRow> verdict_of(const TableReader& table, Cells cells);
  Result<double> weight_of(const TableReader& table, std::string_view cell);
  void add_identity(Cells cells, const VerdictRow& row);
  Result<ArmSummary> summary_of(const TableRequest& request, const Behavior& behavior, Arm arm);
  Result<void> check_duplicates(const TableRequest& request, const Behavior& behavior, Arm arm,
                                std::vector<std::uint64_t>& identities) const;
  Result<void> attach_recall(const TableRequest& request, std::vector<BehaviorInput>& inputs);
  Result<void> attach_previous(const TableRequest& request, std::vector<BehaviorInput>& inputs);
  [[nodiscard]] Json report_of(const TableRequest& request, const TableEstimate& estimate) const;

  std::map<std::string, Behavior, std::less<>> behaviors_;
  // The cells of the last row: neighbors mostly agree.
  std::string last_behavior_, last_arm_, last_pi_;
  Rows* last_rows_ = nullptr;
  double last_weight_ = 1;
  std::uint64_t last_behavior_hash_ = 0;
  std::array<std::uint64_t, 2> row_hashes_{};  // sums over rows: the multiset's identity
  std::uint64_t side_hash_ = 0;
  std::uint64_t prefixes_max_ = 0;
  double frame_ = 0;
  std::vector<std::string> notes_;
};

Result<Rows*> TableBuilder::rows_of(const TableReader& table, Cells cells) {
  if (last_rows_ != nullptr && cells[kBehavior] == last_behavior_ && cells[kArm] == last_arm_) {
    return last_rows_;
  }
  if (cells[kBehavior].empty()) return table.error("behavior is empty");
  if (!is_valid_utf8(cells[kBehavior]) || cells[kBehavior].size() > 200) {
    return table.error("behavior is not a name (UTF-8, up to 200 bytes)");
  }
  const auto arm = arm_of(cells[kArm]);
  if (!arm) {
    return table.error("arm is none of candidate, deployed, deployed_replay, production");
  }
  auto found = behaviors_.find(cells[kBehavior]);
  if (found == behaviors_.end()) {
    if (behaviors_.size() >= 10'000) return table.error("more than 10,000 behaviors");
    found = behaviors_.emplace(std::string(cells[kBehavior]), Behavior{}).first;
    found->second.name = found->first;
  }
  auto& rows = found->second.arms[static_cast<std::size_t>(*arm)];
  if (!rows) rows = std::make_unique<Rows>();
  last_behavior_ = cells[kBehavior];
  last_arm_ = cells[kArm];
  last_behavior_hash_ = name_hash(last_behavior_, 1) + name_hash(last_arm_, 2);
  last_rows_ = rows.get();
  return last_rows_;
}

Result<double> TableBuilder::weight_of(const TableReader& table, std::string_view cell) {
  if (cell.empty()) return 1.0;
  if (cell == last_pi_) return last_weight_;
  const auto pi = parse_number(cell);
  if (!pi || !(*pi > 0 && *pi <= 1)) return table.error("pi_prefix is not in (0, 1]");
  if (*pi < 1e-12) return table.error("pi_prefix is below 1e-12");
  last_pi_ = cell;
  last_weight_ = 1 / *pi;
  return last_weight_;
}

Result<VerdictRow> TableBuilder::verdict_of(const TableReader& table, Cells cells) {
  VerdictRow row;
  const std::string_view screen = cells[kScreen];
  if (screen == "0") {
    row.screen = Screened::kAbsent;
  } else if (screen == "1") {
    row.screen = Screened::kPresent;
  } else if (screen == "ungradable") {
    row.screen = Screened::kMissing;
  } else {
    return table.error("screen is none of 1, 0, ungradable");
  }
  if (!cells[kCount].empty()) {
    const auto count = parse_count(cells[kCount]);
    if (!count || *count == 0) return table.error("count is not a whole number of at least 1");
    row.count = *count;
  }
  UNDERSTUDY_TRY(row.weight, weight_of(table, cells[kPiPrefix]));
  std::optional<double> pi;
  if (!cells[kPiOracle].empty()) {
    pi = parse_number(cells[kPiOracle]);
    if (!pi || !(*pi > 0 && *pi <= 1)) return table.error("pi_oracle is not in (0, 1]");
  }
  const std::string_view oracle = cells[kOracle];
  if (!oracle.empty()) {
    if (oracle != "0" && oracle != "1") return table.error("oracle is none of 1, 0, empty");
    if (!pi) return table.error("an oracle verdict without pi_oracle, the chance it had of one");
    row.oracle = oracle == "1" ? Oracle::kPresent : Oracle::kAbsent;
    row.pi_oracle = *pi;
  }
  for (const Column column : {kScreenScore, kRisk}) {
    if (!cells[column].empty() && !parse_number(cells[column])) {
      return table.error(column_names()[column] + " is not a number");
    }
  }
  return row;
}

// The identity of the multiset of rows: sums of hashes of the values, so that neither order nor
// counting matters. Ids of prefixes are left out, as a counted row has none for each draw. Not a
// commitment: forecast files have their own.
void TableBuilder::add_identity(Cells cells, const VerdictRow& row) {
  std::uint64_t hash = last_behavior_hash_;
  const auto mix = [&](std::uint64_t value) { hash = prefix_mix(hash ^ value); };
  const auto bits = [](double value) {
    std::uint64_t out = 0;
    std::memcpy(&out, &value, sizeof out);
    return out;
  };
  mix(static_cast<std::uint64_t>(row.screen) * 16 + static_cast<std::uint64_t>(row.oracle));
  mix(bits(row.weight));
  if (!cells[kPiOracle].empty()) mix(bits(*parse_number(cells[kPiOracle])));
  if (!cells[kCluster].empty()) mix(name_hash(cells[kCluster], 3));
  for (const Column column : {kJudge, kSourceModel}) {
    if (!cells[column].empty()) mix(name_hash(cells[column], 10 + column));
  }
  for (const Column column : {kScreenScore, kRisk}) {
    if (!cells[column].empty()) mix(bits(*parse_number(cells[column])) + column);
  }
  row_hashes_[0] += hash * row.count;
  row_hashes_[1] += prefix_mix(hash ^ 0x5851F42D4C957F2D) * row.count;
}

Result<void> TableBuilder::take(const TableReader& table) {
  const Cells cells = table.cells();
  UNDERSTUDY_TRY(Rows* const rows, rows_of(table, cells));
  UNDERSTUDY_TRY(VerdictRow row, verdict_of(table, cells));
  const bool weighted = !cells[kPiPrefix].empty();
  if (rows->count > 0 && weighted != rows->weighted) {
    return table.error(
        "pi_prefix is given in some rows of this behavior and arm and empty in others");
  }
  rows->weighted = weighted;
  add_identity(cells, row);
  if (!cells[kJudge].empty() && rows->judges.size() < 100) {
    rows->judges.emplace(cells[kJudge]);
  }
  if (!cells[kSourceModel].empty() && rows->source_models.size() < 100) {
    rows->source_models.emplace(cells[kSourceModel]);
  }
  const bool named = !cells[kPrefix].empty();
  const std::uint64_t prefix = named ? name_hash(cells[kPrefix], 4) : 0;
  if (named) {
    const std::uint64_t identity = prefix_mix(prefix ^ name_hash(cells[kDraw], 5));
    rows->identities.push_back(identity);
    rows->fingerprint += prefix_mix(identity);
    if (row.count == 1) row.prefix = identity;
  }
  rows->identified = rows->identified && named && row.count == 1;
  rows->count += row.count;
  if (!cells[kCluster].empty()) {
    row.cluster = name_hash(cells[kCluster], 6);
  } else if (named && row.count == 1) {
    row.cluster = prefix;
  } else {
    row.singleton = true;
  }
  if (row.singleton) {
    rows->singletons[row.weight] += row.count;
  } else if (row.count == 1) {
    rows->add_cluster(row.cluster, row.weight);
  } else {
    rows->groups.push_back({row.cluster, row.weight, row.count});
  }
  if (row.screen != Screened::kAbsent || row.oracle != Oracle::kUnknown) {
    rows->verdicts.push_back(row);
  }
  return {};
}

Result<void> TableBuilder::read(const TableRequest& request) {
  UNDERSTUDY_TRY(TableReader table, TableReader::open(request.table, column_names(), 3));
  for (const std::string& name : table.ignored()) {
    notes_.push_back("column \"" + name + "\" is not used");
  }
  while (true) {
    UNDERSTUDY_TRY(const bool more, table.next());
    if (!more) break;
    UNDERSTUDY_CHECK(take(table));
  }
  if (behaviors_.empty()) {
    return unexpected(ErrorCode::kInput, "the table has no rows", {request.table, {}, {}});
  }
  return {};
}

Result<void> TableBuilder::check_duplicates(const TableRequest& request, const Behavior& behavior,
                                            Arm arm, std::vector<std::uint64_t>& identities) const {
  std::sort(identities.begin(), identities.end());
  const auto twice = std::adjacent_find(identities.begin(), identities.end());
  if (twice == identities.end()) return {};
  // Only now is it worth a second pass, to say where.
  UNDERSTUDY_TRY(TableReader table, TableReader::open(request.table, column_names(), 3));
  bool first = true;
  while (true) {
    UNDERSTUDY_TRY(const bool more, table.next());
    if (!more) break;
    const Cells cells = table.cells();
    if (cells[kBehavior] != behavior.name || cells[kArm] != arm_name(arm)) continue;
    const std::uint64_t identity =
        prefix_mix(name_hash(cells[kPrefix], 4) ^ name_hash(cells[kDraw], 5));
    if (cells[kPrefix].empty() || identity != *twice) continue;
    if (!first) {
      return table.error(
          "a row for this behavior, arm, prefix and draw came before (count says "
          "how many draws of distinct prefixes a row stands for)");
    }
    first = false;
  }
  return unexpected(ErrorCode::kInput, "two rows have the same behavior, arm, prefix and draw",
                    {request.table, {}, {}});
}

Result<ArmSummary> TableBuilder::summary_of(const TableRequest& request, const Behavior& behavior,
                                            Arm arm) {
  Rows& rows = *behavior.arms[static_cast<std::size_t>(arm)];
  std::vector<std::uint64_t> identities(rows.identities.begin(), rows.identities.end());
  rows.identities = {};
  UNDERSTUDY_CHECK(check_duplicates(request, behavior, arm, identities));
  prefixes_max_ = std::max<std::uint64_t>(prefixes_max_, rows.count);
  identities = {};

  ClusterSizes draws;
  if (rows.weights.empty()) {
    std::vector<std::uint64_t> clusters(rows.clusters.begin(), rows.clusters.end());
    rows.clusters = {};
    std::sort(clusters.begin(), clusters.end());
    for (std::size_t i = 0; i < clusters.size();) {
      std::size_t end = i;
      while (end < clusters.size() && clusters[end] == clusters[i]) ++end;
      draws.add(clusters[i], rows.first_weight, end - i);
      i = end;
    }
  } else {
    for (std::size_t i = 0; i < rows.clusters.size(); ++i) {
      draws.add(rows.clusters[i], rows.weights[i]);
    }
    rows.clusters = {};
    rows.weights = {};
  }
  for (const Rows::Group& group : rows.groups) draws.add(group.cluster, group.weight, group.count);
  for (const auto& [weight, count] : rows.singletons) draws.add_singletons(weight, count);
  draws.finish();

  ArmVerdicts verdicts(draws);
  for (const VerdictRow& row : rows.verdicts) {
    verdicts.add(row, row.screen == Screened::kMissing ? "unstated" : "");
  }
  rows.verdicts = {};
  if (rows.identified) verdicts.set_prefix_fingerprint(rows.fingerprint);
  if (rows.weighted) frame_ = std::max(frame_, draws.weight());
  if (rows.weighted && request.frame && arm == Arm::kCandidate) {
    const double times = std::max(std::round(draws.weight() / *request.frame), 1.0);
    const double expected = *request.frame * times;
    const double chance = 6 * std::sqrt(draws.design_variance() * times) + 0.02 * expected;
    if (std::abs(draws.weight() - expected) > chance) {
      return unexpected(
          ErrorCode::kInput,
          fmt::format("the weights contradict the design: in behavior \"{}\" the sum of "
                      "1/pi_prefix is {:.6g}, --frame says {:.6g}",
                      terminal_safe(behavior.name), draws.weight(), *request.frame),
          {request.table, {}, {}});
    }
    verdicts.set_frame(*request.frame);
  }
  return summarize(std::move(verdicts), request.level);
}

Result<void> TableBuilder::attach_recall(const TableRequest& request,
                                         std::vector<BehaviorInput>& inputs) {
  if (!request.recall) return {};
  UNDERSTUDY_TRY(const std::vector<RecallRow> rows, read_recall(*request.recall));
  std::set<std::string> unused;
  for (const RecallRow& row : rows) {
    side_hash_ +=
        name_hash(row.behavior + '\0' + row.channel.channel + '\0' + row.channel.judge + '\0' +
                      row.channel.source_model + '\0' + std::to_string(row.channel.positives) +
                      '/' + std::to_string(row.channel.flagged),
                  20);
    const auto found = std::find_if(inputs.begin(), inputs.end(), [&](const BehaviorInput& input) {
      return input.name == row.behavior;
    });
    if (found == inputs.end()) {
      unused.insert(row.behavior);
      continue;
    }
    const Rows* candidate =
        behaviors_.find(row.behavior)->second.arms[static_cast<std::size_t>(Arm::kCandidate)].get();
    RecallChannel channel = row.channel;
    // Measured elsewhere unless the table says that it is the same judge and model.
    const auto differs = [](const std::string& named, const std::set<std::string>& here) {
      return !named.empty() && !here.contains(named);
    };
    channel.transferred =
        candidate != nullptr && (differs(channel.judge, candidate->judges) ||
                                 differs(channel.source_model, candidate->source_models));
    found->recall.push_back(std::move(channel));
  }
  for (BehaviorInput& input : inputs) {
    std::sort(input.recall.begin(), input.recall.end(),
              [](const RecallChannel& a, const RecallChannel& b) {
                return std::tie(a.channel, a.positives, a.flagged) <
                       std::tie(b.channel, b.positives, b.flagged);
              });
  }
  if (!unused.empty()) {
    notes_.push_back(fmt::format("--recall: {} behaviors are not in the table", unused.size()));
  }
  return {};
}

Result<void> TableBuilder::attach_previous(const TableRequest& request,
                                           std::vector<BehaviorInput>& inputs) {
  if (!request.previous) return {};
  UNDERSTUDY_TRY(const std::vector<PreviousRow> rows, read_previous(*request.previous));
  std::size_t unused = 0;
  for (const PreviousRow& row : rows) {
    side_hash_ += name_hash(fmt::format("{}\t{}\t{}\t{}", row.behavior, row.rate.per_100k,
                                        row.rate.lo.value_or(-1), row.rate.hi.value_or(-1)),
                            21);
    const auto found = std::find_if(inputs.begin(), inputs.end(), [&](const BehaviorInput& input) {
      return input.name == row.behavior;
    });
    if (found == inputs.end()) {
      ++unused;
    } else {
      found->previous = row.rate;
    }
  }
  if (unused > 0) {
    notes_.push_back(fmt::format("--previous: {} behaviors are not in the table", unused));
  }
  return {};
}

Json TableBuilder::report_of(const TableRequest& request, const TableEstimate& estimate) const {
  Json draws = Json::object();
  std::array<std::uint64_t, kArmCount> completed{};
  for (const auto& [name, behavior] : behaviors_) {
    for (std::size_t i = 0; i < kArmCount; ++i) {
      if (behavior.arms[i]) completed[i] = std::max(completed[i], behavior.arms[i]->count);
    }
  }
  for (std::size_t i = 0; i < kArmCount; ++i) {
    if (completed[i] == 0) continue;
    draws[std::string(arm_name(static_cast<Arm>(i)))] = {
        {"requested", completed[i]}, {"completed", completed[i]}, {"failed", Json::object()}};
  }
  Json list = Json::array();
  for (const BehaviorEstimate& behavior : estimate.behaviors) {
    Json entry = to_json(behavior);
    // A draw that has no row for this behavior was not graded for it: the counts add up.
    for (std::size_t i = 0; i < kArmCount; ++i) {
      const auto& rows = behaviors_.find(behavior.name)->second.arms[i];
      if (!rows || rows->count == completed[i]) continue;
      entry["verdicts"][std::string(arm_name(static_cast<Arm>(i)))]["not_graded"]["no_row"] =
          completed[i] - rows->count;
    }
    list.push_back(std::move(entry));
  }
  Sha256 hash;
  hash.field("understudy verdict table 1")
      .number(row_hashes_[0])
      .number(row_hashes_[1])
      .number(side_hash_)
      .field(fmt::format("{} {} {}", request.frame.value_or(0), request.level, request.anytime));
  const double frame = request.frame ? *request.frame
                       : frame_ > 0  ? frame_
                                     : static_cast<double>(prefixes_max_);
  return {{"schema", "understudy.report/1"},
          {"understudy_version", UNDERSTUDY_VERSION},
          {"manifest_hash", hex(hash.finish())},
          {"unit", "draw"},
          {"counts",
           {{"conversations", nullptr},
            {"prefixes", {{"frame", rounded(frame)}, {"sampled", prefixes_max_}}},
            {"draws", std::move(draws)}}},
          {"behaviors", std::move(list)},
          {"error_split", nullptr},
          {"limits", Json::array()}};
}

Result<TableEstimate> TableBuilder::estimate(const TableRequest& request) {
  std::vector<BehaviorInput> inputs;
  for (const auto& [name, behavior] : behaviors_) {
    BehaviorInput input;
    input.name = name;
    for (std::size_t i = 0; i < kArmCount; ++i) {
      if (!behavior.arms[i]) continue;
      UNDERSTUDY_TRY(input.arms[i], summary_of(request, behavior, static_cast<Arm>(i)));
    }
    inputs.push_back(std::move(input));
  }
  UNDERSTUDY_CHECK(attach_recall(request, inputs));
  UNDERSTUDY_CHECK(attach_previous(request, inputs));
  EstimateOptions options;
  options.level = request.level;
  options.anytime = request.anytime;
  if (request.history) {
    UNDERSTUDY_TRY(const std::vector<HistoryRow> rows, read_history(*request.history));
    for (const HistoryRow& row : rows) {
      side_hash_ += name_hash(
          fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}", row.release, row.behavior,
                      row.previous_per_100k.value_or(-1),
                      row.candidate_replayed_per_100k.value_or(-1), row.candidate_draws.value_or(0),
                      row.deployed_replayed_per_100k.value_or(-1), row.deployed_draws.value_or(0),
                      row.actual_per_100k.value_or(-1)),
          22);
    }
    options.history = fit_history(rows);
    if (!options.history) {
      notes_.push_back(
          "--history: fewer than ten rows know the rate before and after; the default "
          "prior is used");
    }
  }
  TableEstimate result;
  result.behaviors = estimate_behaviors(inputs, options);
  result.report = report_of(request, result);
  result.notes = std::move(notes_);
  return result;
}

}  // namespace

Result<TableEstimate> estimate_table(const TableRequest& request) {
  if (!(request.level > 0 && request.level < 1)) {
    return unexpected(ErrorCode::kUsage, "--level is not between 0 and 1");
  }
  if (request.frame && !(*request.frame >= 1 && std::isfinite(*request.frame))) {
    return unexpected(ErrorCode::kUsage, "--frame is not a number of prefixes");
  }
  TableBuilder builder;
  UNDERSTUDY_CHECK(builder.read(request));
  return builder.estimate(request);
}

}  // namespace understudy
