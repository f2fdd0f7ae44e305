#include "ingest/record_splitter.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace understudy {
namespace {

/// Bytes in memory, given in chunks of any size.
class Chunks final : public ByteSource {
 public:
  Chunks(std::string bytes, std::size_t chunk, std::optional<RejectReason> damage = {})
      : bytes_(std::move(bytes)), chunk_(chunk), damage_(damage) {}
  Result<Read> read(std::span<char> out) override {
    const std::size_t size = std::min({out.size(), chunk_, bytes_.size() - taken_});
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(taken_), size, out.begin());
    taken_ += size;
    return Read{.size = size, .damage = size == 0 ? damage_ : std::nullopt};
  }
  std::uint64_t file_bytes_read() const override { return taken_; }

 private:
  std::string bytes_;
  std::size_t chunk_;
  std::optional<RejectReason> damage_;
  std::size_t taken_ = 0;
};

using Kind = RecordSplitter::Piece::Kind;

struct Piece {
  std::string bytes;
  std::optional<RejectReason> reason;
  std::uint64_t offset = 0;
  bool operator==(const Piece&) const = default;
};

std::vector<Piece> split(std::unique_ptr<ByteSource> source, std::size_t max = 1 << 20) {
  RecordSplitter splitter(std::move(source), max);
  std::vector<Piece> pieces;
  for (;;) {
    const auto piece = splitter.next();
    EXPECT_TRUE(piece.has_value());
    if (piece->kind == Kind::kEnd) return pieces;
    pieces.push_back({std::string(piece->bytes), {}, piece->byte_offset});
    if (piece->kind == Kind::kReject) pieces.back().reason = piece->reason;
  }
}

std::string object(std::size_t number) {
  std::string text = R"({"id":")" + std::to_string(number) + R"(","messages":[{"content":")";
  for (std::size_t i = 0; i < number % 7; ++i) text += R"(a \"{[\\ é)";
  return text + R"("}],"x":[[],{}]})";
}

enum class Style { kLines, kArray, kArrayLines, kConcatenated, kIndented };

/// Records in one of the layouts, and where each begins.
std::string file_in(Style style, const std::vector<std::size_t>& numbers,
                    std::vector<Piece>& expected) {
  const bool array =
      style == Style::kArray || style == Style::kArrayLines || style == Style::kIndented;
  std::string file = array ? (style == Style::kArray ? "[" : "[\n") : "";
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    std::string text = object(numbers[i]);
    if (style == Style::kIndented) {
      text.insert(1, "\n    ");
      text.insert(text.size() - 1, "\n  ");
      file += "  ";
    }
    expected.push_back({text, {}, file.size()});
    file += text;
    const bool last = i + 1 == numbers.size();
    if (array && !last) file += ",";
    if (style == Style::kLines || style == Style::kArrayLines || style == Style::kIndented)
      file += "\n";
  }
  return array ? file + "]" : file;
}

TEST(RecordSplitter, FindsEveryRecordOfEveryLayoutInChunksOfAnySize) {
  const bool held = rc::check([] {
    const auto numbers = *rc::gen::nonEmpty(
        rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, 1000)));
    const auto style = *rc::gen::element(Style::kLines, Style::kArray, Style::kArrayLines,
                                         Style::kConcatenated, Style::kIndented);
    const auto chunk = *rc::gen::inRange<std::size_t>(1, 200);
    std::vector<Piece> expected;
    const std::string file = file_in(style, numbers, expected);
    RC_ASSERT(split(std::make_unique<Chunks>(file, chunk)) == expected);
  });
  EXPECT_TRUE(held);
}

TEST(RecordSplitter, AFileCutAnywhereGivesTheWholeRecordsAndAtMostOneReject) {
  for (const Style style :
       {Style::kLines, Style::kArray, Style::kArrayLines, Style::kConcatenated, Style::kIndented}) {
    std::vector<Piece> whole;
    const std::string file = file_in(style, {3, 1, 4, 1, 5}, whole);
    for (std::size_t size = 1; size < file.size(); ++size) {
      const auto pieces = split(std::make_unique<Chunks>(file.substr(0, size), 16));
      std::size_t records = 0;
      while (records < pieces.size() && records < whole.size() &&
             pieces[records] == whole[records]) {
        ++records;
      }
      const auto complete = static_cast<std::size_t>(std::count_if(
          whole.begin(), whole.end(),
          [&](const Piece& piece) { return piece.offset + piece.bytes.size() <= size; }));
      ASSERT_EQ(records, complete) << "style " << static_cast<int>(style) << " cut at " << size;
      ASSERT_LE(pieces.size(), records + 1);
    }
  }
}

TEST(RecordSplitter, ADamagedByteCostsAtMostItsRecordAndOneNeighborInLayoutsWithLines) {
  for (const Style style : {Style::kLines, Style::kArrayLines, Style::kIndented}) {
    std::vector<Piece> whole;
    const std::string file = file_in(style, {3, 1, 4, 1, 5, 9}, whole);
    for (std::size_t at = whole[1].offset; at < file.size() - 2; at += 3) {
      for (const char byte : {'"', '{', '}', '[', ']', '\\', '\0', 'x', '\n'}) {
        std::string damaged = file;
        damaged[at] = byte;
        const auto pieces = split(std::make_unique<Chunks>(damaged, 64));
        const auto found = std::count_if(whole.begin(), whole.end(), [&](const Piece& piece) {
          return std::find(pieces.begin(), pieces.end(), piece) != pieces.end();
        });
        ASSERT_GE(found, 4) << "style " << static_cast<int>(style) << ", " << byte << " at " << at;
      }
    }
  }
}

TEST(RecordSplitter, DamagedCompressionRejectsTheRecordThatItCuts) {
  const std::string line = object(1) + "\n";
  const auto damage = RejectReason::kCompressedTruncated;
  // The second line seems whole, but may go on in what is lost.
  const auto lines = split(std::make_unique<Chunks>(line + object(2), 10, damage));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1], (Piece{"", damage, line.size()}));
  const auto between = split(std::make_unique<Chunks>(line, 10, damage));
  ASSERT_EQ(between.size(), 2U);
  EXPECT_EQ(between[1], (Piece{"", damage, line.size()}));
  const auto array = split(std::make_unique<Chunks>("[" + object(1) + ",{\"id", 10, damage));
  ASSERT_EQ(array.size(), 2U);
  EXPECT_EQ(array[1], (Piece{"", damage, object(1).size() + 2}));
}

TEST(RecordSplitter, HoldsARecordOfTheLimitAndNoLongerOne) {
  const std::string value(500, 'x');
  const std::string record = R"({"a":")" + value + R"("})";
  for (const std::string& file : {record + "\n", "[" + record + "]"}) {
    EXPECT_EQ(split(std::make_unique<Chunks>(file, 99), record.size())[0].reason, std::nullopt);
    EXPECT_EQ(split(std::make_unique<Chunks>(file, 99), record.size() - 1)[0].reason,
              RejectReason::kRecordTooLarge);
  }
}

TEST(RecordSplitter, CountsLinesFromOne) {
  RecordSplitter splitter(std::make_unique<Chunks>("\n\n{\"a\":1}\n\n{\"b\":2}\n", 3), 100);
  EXPECT_EQ(splitter.next()->line, 3U);
  EXPECT_EQ(splitter.next()->line, 5U);
}

}  // namespace
}  // namespace understudy
