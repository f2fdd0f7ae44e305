#include "model/rate_control.hpp"

#include <algorithm>
#include <cmath>

namespace understudy {

ConcurrencyLimit::ConcurrencyLimit(const ConcurrencyOptions& options)
    : options_(options),
      limit_(static_cast<double>(
          std::clamp<std::size_t>(options.start, 1, std::max<std::size_t>(options.max, 1)))) {}

std::size_t ConcurrencyLimit::limit() const {
  return static_cast<std::size_t>(limit_);
}

void ConcurrencyLimit::on_answer(std::size_t in_flight) {
  if (in_flight >= limit()) saturated_ = true;
  if (++answers_in_round_ >= limit()) end_round();
}

void ConcurrencyLimit::end_round() {
  if (clean_ && saturated_) {
    const double factor = has_seen_rate_limit() ? options_.clean_growth : 2.0;
    // Growth by a fraction would never leave small limits if it were not at least one.
    limit_ = std::min(std::max(limit_ * factor, limit_ + 1),
                      static_cast<double>(std::max<std::size_t>(options_.max, 1)));
  }
  answers_in_round_ = 0;
  clean_ = true;
  saturated_ = false;
}

bool ConcurrencyLimit::on_rate_limited(std::uint64_t sent_in_epoch) {
  if (sent_in_epoch < epoch_) return false;
  if (saturated_ || epoch_ == 0) limit_ = std::max(limit_ * options_.cut, 1.0);
  ++epoch_;
  answers_in_round_ = 0;
  clean_ = true;
  saturated_ = false;
  return true;
}

void ConcurrencyLimit::on_server_error() {
  clean_ = false;
}

namespace {
constexpr double kBelowAnswered = 0.97;  // of the rate that was answered, after an episode
constexpr double kFirstGrowth = 0.01;    // per second
constexpr double kLargestGrowth = 0.5;   // per second
constexpr double kRateMin = 0.2;         // requests a second
constexpr std::int64_t kGrowthStepUs = 1'000'000;
constexpr double kBurstSeconds = 0.02;  // what may be sent at once after a pause
constexpr int kWindowBuckets = 8;
}  // namespace

bool Pacer::take(std::int64_t now_us) {
  if (now_us < held_until_us_) return false;
  if (rate_per_s_ <= 0) return true;
  advance(now_us);
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

std::int64_t Pacer::next_us(std::int64_t now_us) const {
  if (now_us < held_until_us_) return held_until_us_;
  if (rate_per_s_ <= 0) return now_us;
  const double tokens_now = tokens_ + rate_per_s_ * static_cast<double>(now_us - updated_us_) / 1e6;
  if (tokens_now >= 1) return now_us;
  return now_us + static_cast<std::int64_t>(std::ceil((1 - tokens_now) / rate_per_s_ * 1e6));
}

void Pacer::advance(std::int64_t now_us) {
  const double burst = std::max(1.0, rate_per_s_ * kBurstSeconds);
  tokens_ =
      std::min(burst, tokens_ + rate_per_s_ * static_cast<double>(now_us - updated_us_) / 1e6);
  updated_us_ = now_us;
  while (now_us - grown_us_ >= kGrowthStepUs) {
    grown_us_ += kGrowthStepUs;
    // A rate that is not used is not probed either: nobody would notice when it is too high.
    if (answered_per_s(now_us) < 0.8 * rate_per_s_) continue;
    rate_per_s_ *= 1 + growth_;
    growth_ = std::min(growth_ * 2, kLargestGrowth);
  }
}

void Pacer::on_answer(std::int64_t now_us) {
  const std::int64_t bucket = now_us / kBucketUs;
  const auto index = static_cast<std::size_t>(bucket) % kBuckets;
  if (bucket_of_[index] != bucket) {
    bucket_of_[index] = bucket;
    answers_[index] = 0;
  }
  ++answers_[index];
  if (first_answer_us_ == 0) first_answer_us_ = now_us;
}

double Pacer::answered_per_s(std::int64_t now_us) const {
  const std::int64_t now_bucket = now_us / kBucketUs;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    if (bucket_of_[i] < now_bucket && bucket_of_[i] >= now_bucket - kWindowBuckets) {
      count += answers_[i];
    }
  }
  // Whole buckets only; at the start there are fewer of them.
  const std::int64_t buckets =
      std::clamp<std::int64_t>(now_bucket - first_answer_us_ / kBucketUs, 1, kWindowBuckets);
  return static_cast<double>(count) * 1e6 / static_cast<double>(buckets * kBucketUs);
}

void Pacer::on_rate_limited(std::int64_t now_us) {
  const double answered = answered_per_s(now_us);
  // Refused before anything was answered: what the limit is can't be known yet.
  if (answered <= 0 && rate_per_s_ <= 0) return;
  const double known = rate_per_s_ <= 0 ? answered
                       : answered <= 0  ? rate_per_s_ / 2
                                        : std::min(answered, rate_per_s_);
  rate_per_s_ = std::max(kBelowAnswered * known, kRateMin);
  growth_ = kFirstGrowth;
  grown_us_ = now_us;
  updated_us_ = now_us;
  tokens_ = 0;
}

void Pacer::hold_until(std::int64_t until_us) {
  held_until_us_ = std::max(held_until_us_, until_us);
}

}  // namespace understudy
