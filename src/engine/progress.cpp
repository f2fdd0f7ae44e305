#include "engine/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::int64_t kRichIntervalUs = 200'000;
constexpr std::int64_t kPlainIntervalUs = 10'000'000;
// Rates are of so long ago at most: what a server did before it slowed down says nothing about
// when it will be done.
constexpr std::int64_t kMomentUs = 1'000'000;
constexpr std::size_t kMomentsMax = 31;
constexpr std::string_view kSeparator = " · ";

std::string rate_text(double per_s) {
  if (per_s < 10) return fmt::format("{:.2g}", per_s);
  if (per_s < 1e6) return with_commas(static_cast<std::uint64_t>(std::llround(per_s)));
  return fmt::format("{:.1f} M", per_s / 1e6);
}

std::string percent_text(std::uint64_t done, std::uint64_t total) {
  // Rounded down: 100% only when there is nothing left.
  const auto tenths = static_cast<std::uint64_t>(
      std::floor(static_cast<double>(done) / static_cast<double>(total) * 1000));
  return fmt::format("{}.{}%", tenths / 10, tenths % 10);
}

std::string failures_text(const ProgressState& state) {
  std::string text = fmt::format("{} failed", with_commas(state.failed));
  if (state.failures == nullptr) return text;
  // The most frequent first; names settle ties, so that the line does not flicker.
  std::vector<std::pair<std::uint64_t, std::string_view>> reasons;
  for (const auto& [reason, count] : *state.failures) reasons.emplace_back(count, reason);
  std::sort(reasons.begin(), reasons.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    text += fmt::format("{}{} {}", i == 0 ? " (" : ", ", with_commas(reasons[i].first),
                        reasons[i].second);
  }
  return text + (reasons.empty() ? "" : ")");
}

std::string in_flight_text(const ProgressState& state) {
  std::string text = fmt::format("{} in flight", with_commas(state.in_flight));
  if (state.in_flight_max > 0) {
    text += fmt::format(" (limit {}", with_commas(state.in_flight_max));
    if (!state.limited_by.empty()) text += fmt::format(": {}", state.limited_by);
    text += ")";
  }
  if (state.waiting > 0) text += fmt::format(", {} wait to be asked again", state.waiting);
  return text;
}

}  // namespace

ProgressState ProgressState::with(const ModelStatus& status) const {
  ProgressState now = *this;
  now.in_flight = status.in_flight - status.waiting;
  now.waiting = status.waiting;
  now.in_flight_max = status.concurrency_limit;
  now.limited_by = status.note;
  now.tokens = status.completion_tokens;
  return now;
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::llround(std::max(0.0, seconds)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  if (whole < 48 * 3600) return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
  return fmt::format("{} days {} h", whole / 86400, whole % 86400 / 3600);
}

Progress::Progress(Display display, Clock& clock, Write write, Width width)
    : display_(display), clock_(clock), write_(std::move(write)), width_(std::move(width)) {}

void Progress::start_if_new(const ProgressState& state) {
  if (stage_ == state.stage) return;
  stage_ = state.stage;
  started_us_ = clock_.now_us();
  written_us_ = 0;
  done_at_start_ = state.done;
  moments_.assign(1, {.at_us = started_us_, .done = state.done, .tokens = state.tokens});
}

void Progress::remember(const ProgressState& state) {
  const std::int64_t now_us = clock_.now_us();
  if (now_us - moments_.back().at_us < kMomentUs) return;
  moments_.push_back({.at_us = now_us, .done = state.done, .tokens = state.tokens});
  if (moments_.size() > kMomentsMax) moments_.pop_front();
}

Progress::Rates Progress::recent_rates(const ProgressState& state) const {
  const Moment& then = moments_.front();
  const double seconds = static_cast<double>(clock_.now_us() - then.at_us) / 1e6;
  if (seconds < 0.5) return {};
  return {.done_per_s = static_cast<double>(state.done - std::min(state.done, then.done)) / seconds,
          .tokens_per_s =
              static_cast<double>(state.tokens - std::min(state.tokens, then.tokens)) / seconds};
}

Progress::Rates Progress::mean_rates(const ProgressState& state) const {
  const double seconds = static_cast<double>(clock_.now_us() - started_us_) / 1e6;
  if (seconds < 1) return {};
  return {.done_per_s =
              static_cast<double>(state.done - std::min(state.done, done_at_start_)) / seconds,
          .tokens_per_s = static_cast<double>(state.tokens) / seconds};
}

std::vector<Progress::Part> Progress::parts(const ProgressState& state, const Rates& rates) {
  std::vector<Part> parts;
  std::string head = fmt::format("{}: {}", state.stage, with_commas(state.done));
  if (state.total > 0) head += fmt::format(" of {}", with_commas(state.total));
  parts.push_back({9, fmt::format("{} {}", head, state.unit)});
  const bool is_running = state.total > state.done;
  if (is_running && state.done > 0) parts.push_back({5, percent_text(state.done, state.total)});
  if (rates.done_per_s > 0 && is_running) {
    const double left_s = static_cast<double>(state.total - state.done) / rates.done_per_s;
    parts.push_back({8, duration_text(left_s) + " left"});
  }
  if (rates.done_per_s > 0) parts.push_back({7, rate_text(rates.done_per_s) + "/s"});
  if (rates.tokens_per_s > 0) {
    parts.push_back({2, rate_text(rates.tokens_per_s) + " tokens/s"});
  }
  if (state.failed > 0) parts.push_back({6, failures_text(state)});
  if (state.in_flight + state.waiting > 0) {
    parts.push_back({4, in_flight_text(state)});
  } else if (!state.limited_by.empty()) {
    parts.push_back({4, std::string(state.limited_by)});
  }
  if (state.cost > 0) parts.push_back({3, fmt::format("cost {:.2f}", state.cost)});
  return parts;
}

std::string Progress::fitted(std::vector<Part> parts) const {
  // The last column stays free: some terminals wrap as soon as it is written.
  const std::size_t width =
      display_ == Display::kRich ? std::max<std::size_t>(width_(), 2) - 1 : std::string::npos;
  while (true) {
    std::string line;
    for (const Part& part : parts) line += (line.empty() ? "" : kSeparator.data()) + part.text;
    if (utf8_length(line) <= width) return line;
    if (parts.size() == 1) {
      while (utf8_length(line) > width) line = utf8_prefix(line, line.size() - 1);
      return line;
    }
    parts.erase(std::min_element(parts.begin(), parts.end(),
                                 [](const Part& a, const Part& b) { return a.weight < b.weight; }));
  }
}

void Progress::update(const ProgressState& state) {
  if (display_ == Display::kNone) return;
  start_if_new(state);
  const std::int64_t now_us = clock_.now_us();
  const std::int64_t interval_us = display_ == Display::kRich ? kRichIntervalUs : kPlainIntervalUs;
  const std::int64_t last_us = written_us_ == 0 ? started_us_ : written_us_;
  remember(state);
  if (now_us - last_us < interval_us) return;
  written_us_ = now_us;
  const std::string line = fitted(parts(state, recent_rates(state)));
  if (display_ == Display::kRich) {
    write_("\r\x1B[K" + line);
    line_open_ = true;
  } else {
    write_(line + "\n");
  }
}

void Progress::finish(const ProgressState& state) {
  if (display_ == Display::kNone) return;
  start_if_new(state);
  const double elapsed_s = static_cast<double>(clock_.now_us() - started_us_) / 1e6;
  ProgressState last = state;
  last.in_flight = last.waiting = 0;
  last.limited_by = {};
  std::vector<Part> all = parts(last, mean_rates(last));
  all.push_back({8, duration_text(elapsed_s)});
  write_((display_ == Display::kRich ? "\r\x1B[K" : "") + fitted(std::move(all)) + "\n");
  line_open_ = false;
  stage_.clear();
}

void Progress::say(std::string_view text) {
  if (display_ == Display::kNone) return;
  write_(fmt::format("{}{}\n", line_open_ ? "\n" : "", text));
  line_open_ = false;
}

}  // namespace understudy
