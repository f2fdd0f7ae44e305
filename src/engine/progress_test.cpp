#include "engine/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.hpp"

namespace understudy {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class HandClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t now_us() const override { return us_; }
  [[nodiscard]] std::int64_t unix_ms() const override { return 0; }
  void sleep_ms(std::int64_t duration_ms) override { us_ += duration_ms * 1000; }

 private:
  std::int64_t us_ = 1;
};

class ProgressTest : public testing::Test {
 protected:
  Progress make(Display display, std::size_t width = 100) {
    return Progress(
        display, clock_, [this](std::string_view text) { written_.emplace_back(text); },
        [width] { return width; });
  }
  HandClock clock_;
  std::vector<std::string> written_;
};

ProgressState million(std::uint64_t done) {
  return {.stage = "replay", .done = done, .total = 1'000'000, .unit = "draws"};
}

TEST_F(ProgressTest, StaysRightAtAMillionDraws) {
  Progress progress = make(Display::kRich, 240);
  const std::map<std::string, std::uint64_t> failures = {
      {"server_error", 41}, {"timeout", 1'200}, {"connection", 41}};
  ProgressState state = million(100'000);  // from an earlier run: no part of any rate
  progress.update(state);
  for (int second = 1; second <= 20; ++second) {
    clock_.sleep_ms(1000);
    state.done = 100'000 + static_cast<std::uint64_t>(second) * 20'000;
    state.tokens = static_cast<std::uint64_t>(second) * 1'250'000;
    state.failed = 1'282;
    state.failures = &failures;
    state.in_flight = 187;
    state.in_flight_max = 200;
    state.waiting = 3;
    state.limited_by = "max_connections";
    state.cost = 12.345;
    progress.update(state);
  }
  EXPECT_EQ(written_.back(),
            "\r\x1B[Kreplay: 500,000 of 1,000,000 draws · 50.0% · 25 s left · 20,000/s · "
            "1.2 M tokens/s · 1,282 failed (1,200 timeout, 41 connection, 41 server_error) · "
            "187 in flight (limit 200: max_connections), 3 wait to be asked again · cost 12.35");
  state.done = 999'999;
  clock_.sleep_ms(1000);
  progress.update(state);
  EXPECT_THAT(written_.back(), HasSubstr("999,999 of 1,000,000 draws · 99.9%"));
}

TEST_F(ProgressTest, TimeLeftFollowsWhatIsRecent) {
  Progress progress = make(Display::kRich);
  std::uint64_t done = 0;
  for (int second = 0; second < 60; ++second, done += 1'000) {
    progress.update(million(done));
    clock_.sleep_ms(1000);
  }
  for (int second = 0; second < 40; ++second, done += 10) {
    progress.update(million(done));
    clock_.sleep_ms(1000);
  }
  progress.update(million(done));
  EXPECT_THAT(written_.back(), HasSubstr(" · 10/s"));
  EXPECT_THAT(written_.back(), HasSubstr("26 h 6 min left"));
}

TEST_F(ProgressTest, FitsTheTerminalAndKeepsWhatMattersMost) {
  for (const std::size_t width : {20U, 40U, 60U, 80U, 120U, 140U}) {
    written_.clear();
    Progress progress = make(Display::kRich, width);
    ProgressState state = million(0);
    progress.update(state);
    clock_.sleep_ms(2000);
    state.done = 123'456;
    state.tokens = 5'000;
    state.in_flight = 40;
    state.in_flight_max = 40;
    state.limited_by = "429: paced at 57/s";
    progress.update(state);
    ASSERT_EQ(written_.size(), 1U);
    const std::string line = written_.back().substr(4);
    EXPECT_LT(utf8_length(line), width) << line;
    EXPECT_THAT(line, StartsWith("replay: 123,456 of"));
    EXPECT_EQ(line.find("14 s left") != std::string::npos, width >= 60) << line;
    EXPECT_EQ(line.find("40 in flight (limit 40: 429: paced at 57/s)") != std::string::npos,
              width >= 120)
        << line;
    EXPECT_EQ(line.find("tokens") != std::string::npos, width >= 140) << line;
  }
}

TEST_F(ProgressTest, PlainLinesComeEveryTenSeconds) {
  Progress progress = make(Display::kPlain);
  for (int i = 0; i <= 300; ++i) {
    progress.update(million(static_cast<std::uint64_t>(i)));
    clock_.sleep_ms(100);
  }
  EXPECT_EQ(written_.size(), 3U);
  for (const std::string& line : written_) EXPECT_THAT(line, EndsWith("\n"));
  progress.finish(million(301));
  EXPECT_THAT(written_.back(), HasSubstr("301 of 1,000,000 draws"));
  EXPECT_THAT(written_.back(), EndsWith(" · 30 s\n"));
}

TEST_F(ProgressTest, NoneIsSilent) {
  Progress progress = make(Display::kNone);
  progress.update(million(1));
  clock_.sleep_ms(60'000);
  progress.update(million(2));
  progress.finish(million(3));
  progress.say("ingest: up to date");
  EXPECT_TRUE(written_.empty());
}

}  // namespace
}  // namespace understudy
