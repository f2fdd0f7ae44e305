#include "engine/progress.hpp"

#include <fmt/format.h>

#include <cmath>

#include "base/text.hpp"

namespace understudy {

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::llround(std::max(0.0, seconds)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  if (whole < 48 * 3600) return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
  return fmt::format("{} days {} h", whole / 86400, whole % 86400 / 3600);
}

Progress::Progress(Display display, Clock& clock, Write write)
    : display_(display), clock_(clock), write_(std::move(write)) {}

void Progress::start_if_new(const ProgressState& state) {
  if (stage_ == state.stage) return;
  stage_ = state.stage;
  started_us_ = clock_.now_us();
  written_us_ = 0;
  done_at_start_ = state.done;
}

std::string Progress::line(const ProgressState& state) const {
  const double elapsed_s = static_cast<double>(clock_.now_us() - started_us_) / 1e6;
  const auto done_now = static_cast<double>(state.done - std::min(state.done, done_at_start_));
  std::string text = fmt::format("{}: {}", state.stage, with_commas(state.done));
  if (state.total > 0) text += fmt::format(" of {}", with_commas(state.total));
  text += fmt::format(" {}", state.unit);
  if (state.failed > 0) text += fmt::format(" · {} failed", with_commas(state.failed));
  if (state.in_flight > 0) text += fmt::format(" · {} in flight", with_commas(state.in_flight));
  if (elapsed_s > 1 && done_now > 0) {
    const double rate = done_now / elapsed_s;
    text += rate >= 10 ? fmt::format(" · {:.0f}/s", rate) : fmt::format(" · {:.2g}/s", rate);
    if (state.tokens > 0) {
      text += fmt::format(" · {:.0f} tokens/s", static_cast<double>(state.tokens) / elapsed_s);
    }
    if (state.total > state.done) {
      text += fmt::format(" · {} left",
                          duration_text(static_cast<double>(state.total - state.done) / rate));
    }
  }
  if (state.cost > 0) text += fmt::format(" · cost {:.2f}", state.cost);
  if (!state.note.empty()) text += fmt::format(" · {}", state.note);
  return text;
}

void Progress::update(const ProgressState& state) {
  if (display_ == Display::kNone) return;
  start_if_new(state);
  const std::int64_t now_us = clock_.now_us();
  const std::int64_t interval_us = display_ == Display::kRich ? 200'000 : 10'000'000;
  const std::int64_t last_us = written_us_ == 0 ? started_us_ : written_us_;
  if (now_us - last_us < interval_us) return;
  written_us_ = now_us;
  if (display_ == Display::kRich) {
    write_("\r\x1B[K" + line(state));
    line_open_ = true;
  } else {
    write_(line(state) + "\n");
  }
}

void Progress::finish(const ProgressState& state) {
  if (display_ == Display::kNone) return;
  start_if_new(state);
  const double elapsed_s = static_cast<double>(clock_.now_us() - started_us_) / 1e6;
  ProgressState last = state;
  last.in_flight = 0;
  write_(fmt::format("{}{} · {}\n", display_ == Display::kRich ? "\r\x1B[K" : "", line(last),
                     duration_text(elapsed_s)));
  line_open_ = false;
  stage_.clear();
}

void Progress::say(std::string_view text) {
  if (display_ == Display::kNone) return;
  write_(fmt::format("{}{}\n", line_open_ ? "\n" : "", text));
  line_open_ = false;
}

}  // namespace understudy
