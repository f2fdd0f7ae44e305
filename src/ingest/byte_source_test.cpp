#include "ingest/byte_source.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <vector>

namespace understudy {
namespace {

std::string gzip(std::string_view text) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;
  EXPECT_EQ(::deflateInit2(&stream, 6, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(::deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string zstd(std::string_view text) {
  std::string out(::ZSTD_compressBound(text.size()), '\0');
  out.resize(::ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

struct Outcome {
  std::string bytes;
  std::optional<RejectReason> damage;
};

class ByteSourceTest : public testing::Test {
 protected:
  std::string write(std::string_view bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
    return path_;
  }
  Outcome read(std::string_view stored, std::size_t chunk = 1000) {
    Outcome outcome;
    auto source = open_byte_source(write(stored));
    EXPECT_TRUE(source.has_value());
    std::vector<char> buffer(chunk);
    for (;;) {
      const auto got = (*source)->read(buffer);
      EXPECT_TRUE(got.has_value());
      outcome.bytes.append(buffer.data(), got->size);
      outcome.damage = got->damage;
      if (got->size == 0) break;
    }
    EXPECT_EQ((*source)->read(buffer)->size, 0U) << "it stays at the end";
    return outcome;
  }
  void TearDown() override { std::filesystem::remove(path_); }

  // The process number keeps runs in parallel apart.
  std::string path_ = testing::TempDir() + "byte_source_" + std::to_string(::getpid());
};

std::string long_text() {
  std::string text;
  for (int i = 0; i < 60'000; ++i) text += std::to_string(i * 7919) + (i % 9 == 0 ? "\n" : " ");
  return text;
}

TEST_F(ByteSourceTest, ReadsPlainBytesAsTheyAre) {
  EXPECT_EQ(read("").bytes, "");
  EXPECT_EQ(read("a").bytes, "a");
  EXPECT_EQ(read(long_text(), 7).bytes, long_text());
}

TEST_F(ByteSourceTest, ReadsAllMembersAndFrames) {
  const std::string text = long_text();
  const auto half = text.size() / 2;
  for (const auto& compress : {gzip, zstd}) {
    const std::string two =
        compress(text.substr(0, half)) + compress("") + compress(text.substr(half));
    for (const std::size_t chunk : {1UL, 4096UL, 1UL << 20}) {
      const Outcome outcome = read(two, chunk);
      EXPECT_TRUE(outcome.bytes == text) << "chunks of " << chunk;
      EXPECT_EQ(outcome.damage, std::nullopt);
    }
  }
}

TEST_F(ByteSourceTest, TakesZerosBehindGzipAsPadding) {
  const Outcome padded = read(gzip("x") + std::string(1000, '\0'));
  EXPECT_EQ(padded.bytes, "x");
  EXPECT_EQ(padded.damage, std::nullopt);
  const Outcome rubbish = read(gzip("x") + std::string(3, '\0') + "y");
  EXPECT_EQ(rubbish.bytes, "x");
  EXPECT_EQ(rubbish.damage, RejectReason::kCompressedCorrupt);
}

TEST_F(ByteSourceTest, ACutFileGivesWhatCameBeforeAndSaysSo) {
  const std::string text = "the same text, the same text, the same text, and another one";
  for (const auto& compress : {gzip, zstd}) {
    const std::string whole = compress(text);
    for (std::size_t size = 8; size < whole.size(); ++size) {
      const Outcome outcome = read(whole.substr(0, size));
      EXPECT_TRUE(text.starts_with(outcome.bytes));
      EXPECT_EQ(outcome.damage, RejectReason::kCompressedTruncated) << size;
    }
  }
}

TEST_F(ByteSourceTest, AChangedByteIsDamageOrChangesNothing) {
  const std::string text = long_text().substr(0, 3000);
  for (const auto& compress : {gzip, zstd}) {
    const std::string whole = compress(text);
    for (std::size_t at = 12; at < whole.size(); at += 11) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ 0x10);
      const Outcome outcome = read(changed);
      // zstd as a library writes no checksum; a change may then stay unseen, but never crash.
      if (compress(text).front() == '\x1f') {
        EXPECT_TRUE(outcome.damage.has_value() || outcome.bytes == text) << at;
      }
    }
  }
}

TEST_F(ByteSourceTest, NamesAZstdWindowThatWouldTakeTooMuchMemory) {
  ZSTD_CCtx* context = ::ZSTD_createCCtx();
  ::ZSTD_CCtx_setParameter(context, ::ZSTD_c_windowLog, 30);
  std::string out(1000, '\0');
  ZSTD_outBuffer buffer{out.data(), out.size(), 0};
  ZSTD_inBuffer in{"text", 4, 0};
  // Streamed without a known size, so that the window is written into the frame.
  ::ZSTD_compressStream2(context, &buffer, &in, ::ZSTD_e_flush);
  ::ZSTD_compressStream2(context, &buffer, &in, ::ZSTD_e_end);
  ::ZSTD_freeCCtx(context);
  EXPECT_EQ(read(out.substr(0, buffer.pos)).damage, RejectReason::kCompressedWindow);
}

TEST_F(ByteSourceTest, RefusesWhatIsNoLogFileAndSaysWhatToDo) {
  const auto message_for = [](const std::string& path) {
    const auto source = open_byte_source(path);
    EXPECT_FALSE(source.has_value());
    if (source) return std::string();
    EXPECT_EQ(source.error().code, ErrorCode::kInput);
    EXPECT_EQ(source.error().where.file, path);
    return source.error().message;
  };
  EXPECT_NE(message_for("/nowhere/at/all").find("No such file"), std::string::npos);
  EXPECT_NE(message_for(testing::TempDir()).find("*.jsonl"), std::string::npos);
  EXPECT_NE(message_for(write("PK\x03\x04rest")).find("zip"), std::string::npos);
  EXPECT_NE(message_for(write("BZh91AY")).find("bzip2"), std::string::npos);
  EXPECT_NE(message_for(write("PAR1\x15")).find("Parquet"), std::string::npos);
  EXPECT_NE(message_for(write(std::string("\xff\xfe{\0", 4))).find("UTF-16"), std::string::npos);
  EXPECT_NE(message_for(write(std::string("\xfd"
                                          "7zXZ\0\0",
                                          7)))
                .find("xz"),
            std::string::npos);
}

TEST_F(ByteSourceTest, AFileThatMayNotBeReadIsAnInputError) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  ::chmod(write("{}").c_str(), 0);
  const auto source = open_byte_source(path_);
  ASSERT_FALSE(source.has_value());
  EXPECT_EQ(source.error().code, ErrorCode::kInput);
  EXPECT_NE(source.error().message.find("Permission"), std::string::npos);
}

}  // namespace
}  // namespace understudy
