#pragma once
// The draws of one replayed arm: which are finished, what each one asks, and what becomes of an
// answer. Live replay and batch files both go through here, so that both give the same records.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/batch_ledger.hpp"
#include "engine/spending.hpp"
#include "engine/study.hpp"
#include "engine/trajectories.hpp"

namespace understudy {

/// Additional draws of the candidate on chosen prefixes (stress.hpp). Beyond the real arms, and
/// beside kKnownArm: what estimates, counts or compares draws never meets them.
inline constexpr Arm kRepeatedArm = static_cast<Arm>(kArmCount + 1);
/// Answers of the candidate to a benchmark's prompts (awareness.hpp), apart in the same way.
inline constexpr Arm kBenchmarkArm = static_cast<Arm>(kArmCount + 2);

/// "candidate" or "deployed": whose [section] of study.toml answers for the arm.
[[nodiscard]] std::string role_of(Arm arm);

/// Where a prefix ends; by prefix id - 1.
struct PrefixPlace {
  std::int64_t conversation = 0;
  std::uint32_t cut = 0;
};
/// Fails with kUsage when nothing is sampled yet.
[[nodiscard]] Result<std::vector<PrefixPlace>> prefix_places(StudyStore& store);
/// prefix_identity of each, by prefix id - 1; reads no text.
[[nodiscard]] Result<std::vector<std::uint64_t>> prefix_identities(
    StudyStore& store, const std::string& source, const std::vector<PrefixPlace>& prefixes);

/// How much of a fresh answer is graded; none: all of it.
[[nodiscard]] Result<std::optional<std::uint64_t>> window_bytes(Study& study,
                                                                const Completion& completion);

/// What the model of a role is asked after these messages: its own system prompt in place of
/// theirs, where it has one, and its settings.
[[nodiscard]] ChatRequest request_to(const ModelConfig& model, std::span<const Message> before,
                                     const std::string& tools);

/// Draws of two models, or of one under two settings, must not mix under one name: kUsage where
/// `asked` draws of the arm were made otherwise. The settings are compared always, the model (its
/// weights, its server) when it is asked: then it is named.
Result<void> check_arm_identity(Study& study, Arm arm, std::uint64_t asked,
                                const std::optional<std::string>& model);

/// Draws of the arm that ended, answered or not.
[[nodiscard]] Result<std::uint64_t> ended_draws(StudyStore& store, Arm arm);

class ArmDraws {
 public:
  /// Reads who has ended, and who is out in batch files. With `limit` only the first prefixes
  /// count; with `retry_errors` what failed is not finished. `study` must outlive it.
  [[nodiscard]] static Result<ArmDraws> load(Study& study, Arm arm,
                                             std::vector<PrefixPlace> prefixes);
  /// kRepeatedArm: so many draws on each of `chosen` (prefix ids), asked of the same model as the
  /// candidate's. `prefixes` are all of them.
  [[nodiscard]] static Result<ArmDraws> load_repeated(Study& study,
                                                      std::vector<PrefixPlace> prefixes,
                                                      const std::vector<std::int64_t>& chosen,
                                                      std::uint32_t draws);

  [[nodiscard]] Arm arm() const { return arm_; }
  [[nodiscard]] const std::string& role() const { return role_; }
  /// Draws are numbered [0, end), in the order of work.
  [[nodiscard]] std::size_t end() const { return finished_.size(); }
  /// All that the configuration asks for: end(), but for kRepeatedArm.
  [[nodiscard]] std::size_t total() const { return finished_.size() - passed_over_; }
  [[nodiscard]] bool is_finished(std::size_t number) const { return finished_[number]; }
  /// Neither finished nor out in a batch file: may be asked.
  [[nodiscard]] bool is_open(std::size_t number) const {
    return !finished_[number] && !out_[number];
  }
  [[nodiscard]] std::uint64_t done() const { return done_; }
  [[nodiscard]] std::uint64_t out() const { return out_count_; }
  [[nodiscard]] const std::map<std::string, std::uint64_t>& failed() const { return failed_; }
  [[nodiscard]] std::uint64_t failed_count() const;
  [[nodiscard]] RoleProgress progress() const;
  [[nodiscard]] DrawKey key_of(std::size_t number) const;
  /// Nothing for a draw that the configuration does not ask for.
  [[nodiscard]] std::optional<std::size_t> number_of(std::int64_t prefix,
                                                     std::uint64_t index) const;
  /// Eight hexadecimal digits of the arm, its settings and the seed: in the ids of batch requests.
  [[nodiscard]] const std::string& tag() const { return tag_; }
  /// Hash of the frame that numbers count in.
  [[nodiscard]] const std::string& frame() const { return frame_; }
  [[nodiscard]] bool is_of_this_study(const BatchFile& file) const;

  /// check_arm_identity of this arm.
  Result<void> check_identity(const std::optional<std::string>& model);

  /// Before asking: answers that are still out for other settings would be paid for in vain.
  [[nodiscard]] Result<void> check_batches() const;

  /// What a draw asks; `id` is its packed key.
  [[nodiscard]] Result<ChatRequest> request(std::size_t number);
  /// The same, and keeps the conversation at hand until its answer is stored. Nothing where a
  /// trajectory that was begun earlier has tool calls to wait for, or has ended.
  [[nodiscard]] Result<std::optional<ChatRequest>> ask(std::size_t number);
  /// Trajectories: whether there is a next step to ask for, and the request.
  [[nodiscard]] bool has_next_step() const { return trajectories_ && trajectories_->has_ready(); }
  [[nodiscard]] ChatRequest next_step() { return trajectories_->next(); }
  /// Looks after tool calls that are under way; false: there are none that could end.
  [[nodiscard]] Result<bool> look_after_tools(int timeout_ms);
  /// Answers of this arm in any order, by packed key: de-identified, measured against the window,
  /// and stored together with what they used. Durable when it returns.
  Result<void> store(std::vector<ChatOutcome> outcomes);

 private:
  using Text = std::shared_ptr<const StoredConversation>;
  ArmDraws(Study& study, Arm arm) : study_(&study), arm_(arm), role_(role_of(arm)) {}
  Result<void> load(std::vector<PrefixPlace> prefixes, std::uint32_t draws);
  Result<void> load_out();
  [[nodiscard]] Result<Text> text_of(std::int64_t prefix);
  /// The conversations of this draw and of those after it, in one read.
  Result<void> read_ahead(std::size_t number);
  Result<void> put(StoredDraw draw);
  Result<StoredDraw> single_draw(ChatOutcome ended);
  void finish(const StoredDraw& draw);

  Study* study_;
  Arm arm_;
  std::string role_;
  std::uint32_t draws_ = 1;  ///< per prefix
  std::vector<PrefixPlace> prefixes_;
  std::string tag_;
  std::string frame_;
  std::vector<bool> finished_;
  std::vector<bool> out_;
  std::vector<bool> begun_;  ///< has steps of a trajectory that did not end
  std::uint64_t begun_count_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t done_elsewhere_ = 0;  ///< in the candidate's own arm, by the same role
  std::size_t passed_over_ = 0;       ///< numbers that are never asked
  std::uint64_t out_count_ = 0;
  std::uint64_t out_elsewhere_ = 0;  ///< for other settings, or of another frame
  std::map<std::string, std::uint64_t> failed_;
  Text last_;               ///< cuts of one conversation stand together
  std::deque<Text> ahead_;  ///< in the order of work, from the conversation asked last
  std::unordered_map<std::uint64_t, Text> in_flight_;
  std::unique_ptr<Trajectories> trajectories_;  ///< where tools are replayed
};

/// Asks for the draws that are open, to the end: kPaused where something stops it before.
struct AskedDraws {
  Json detail;              ///< what the stage counts of the arm
  std::uint64_t count = 0;  ///< requests of this call
};
[[nodiscard]] Result<AskedDraws> ask_open_draws(Study& study, ArmDraws& draws);

}  // namespace understudy
