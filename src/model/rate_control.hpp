#pragma once
// How fast requests are sent: two values that learn from what comes back, without a clock or a
// network of their own. The concurrency limit bounds requests in flight; the pacer bounds requests
// a second, once a server has said that there is such a limit.

#include <cstddef>
#include <cstdint>

namespace understudy {

struct ConcurrencyOptions {
  std::size_t start = 20;
  std::size_t max = 200;       ///< max_connections
  double clean_growth = 1.05;  ///< a round without 429, after the first one
  double cut = 0.8;            ///< a 429 episode
};

/// The limit doubles each round until the first 429, then grows by 5% each clean round and is cut
/// to 0.8 of itself by each 429 *episode*. A round is as many answers as the limit allows in
/// flight. An episode is all the 429s of requests that were sent before the cut took effect: they
/// are one event, however many they are. A 5xx stops the growth of its round only: it says that
/// the server is ill, not that there is too much. A limit that was not reached neither grows nor is
/// cut: then something else, the pacer, was what decided.
class ConcurrencyLimit {
 public:
  explicit ConcurrencyLimit(const ConcurrencyOptions& options);
  [[nodiscard]] std::size_t limit() const;
  /// To be kept with each request that is sent.
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  /// `in_flight`: requests that were in flight when this one ended, itself included.
  void on_answer(std::size_t in_flight);
  /// True when this 429 begins an episode.
  bool on_rate_limited(std::uint64_t sent_in_epoch);
  void on_server_error();
  [[nodiscard]] bool has_seen_rate_limit() const { return epoch_ > 0; }

 private:
  void end_round();
  ConcurrencyOptions options_;
  double limit_;
  std::uint64_t epoch_ = 0;
  std::size_t answers_in_round_ = 0;
  bool clean_ = true;       ///< no 429 and no 5xx in this round
  bool saturated_ = false;  ///< the limit was what held requests back
};

/// Requests a second, learned. There is no limit until the first 429; then the rate is what the
/// server really answered in the last second, and from there it probes upward, first by little,
/// then faster the longer nothing happens, so that a raised limit is found in seconds. Each 429
/// episode sets it just below the rate that was answered.
class Pacer {
 public:
  /// Whether a request may be sent now; takes its place if so.
  [[nodiscard]] bool take(std::int64_t now_us);
  /// When the next one may be sent; `now_us` when it may now.
  [[nodiscard]] std::int64_t next_us(std::int64_t now_us) const;
  void on_answer(std::int64_t now_us);
  /// Once per episode.
  void on_rate_limited(std::int64_t now_us);
  /// Nothing is sent until then: a Retry-After that means everybody.
  void hold_until(std::int64_t until_us);
  [[nodiscard]] std::int64_t held_until_us() const { return held_until_us_; }
  [[nodiscard]] bool has_rate() const { return rate_per_s_ > 0; }
  [[nodiscard]] double rate_per_s() const { return rate_per_s_; }

 private:
  void advance(std::int64_t now_us);
  [[nodiscard]] double answered_per_s(std::int64_t now_us) const;

  static constexpr std::size_t kBuckets = 16;         ///< of answers, for the last second
  static constexpr std::int64_t kBucketUs = 125'000;  ///< eight make the second
  std::int64_t bucket_of_[kBuckets] = {};
  std::uint32_t answers_[kBuckets] = {};
  double rate_per_s_ = 0;  ///< 0: no limit known
  double tokens_ = 0;      ///< requests that may be sent at once
  double growth_ = 0;      ///< of the rate, per second; doubles while nothing happens
  std::int64_t updated_us_ = 0;
  std::int64_t grown_us_ = 0;
  std::int64_t first_answer_us_ = 0;
  std::int64_t held_until_us_ = 0;
};

}  // namespace understudy
