#include "ingest/byte_source.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace understudy {
namespace {

constexpr std::size_t kInputBytes = std::size_t{1} << 18;

std::string reason_of(int error_number) {
  return std::generic_category().message(error_number);
}

/// The stored file: a forward reader with a look at what comes next.
class StoredFile {
 public:
  StoredFile(int descriptor, std::string path)
      : descriptor_(descriptor), path_(std::move(path)), buffer_(kInputBytes) {}
  StoredFile(const StoredFile&) = delete;
  StoredFile& operator=(const StoredFile&) = delete;
  ~StoredFile() { ::close(descriptor_); }

  /// Reads until `size` bytes can be seen, or all there are.
  Result<void> want(std::size_t size) {
    UNDERSTUDY_ASSERT(size <= buffer_.size());
    if (begin_ + size > buffer_.size()) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    while (end_ - begin_ < size && !at_end_) {
      const ::ssize_t got = ::read(descriptor_, buffer_.data() + end_, buffer_.size() - end_);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        return unexpected(ErrorCode::kInfrastructure,
                          fmt::format("reading failed: {}", reason_of(errno)),
                          {.file = path_, .line = {}, .byte_offset = taken_});
      }
      at_end_ = got == 0;
      end_ += static_cast<std::size_t>(got);
    }
    return {};
  }
  [[nodiscard]] std::string_view seen() const {
    return std::string_view(buffer_.data() + begin_, end_ - begin_);
  }
  void take(std::size_t size) {
    begin_ += size;
    taken_ += size;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  [[nodiscard]] std::uint64_t taken() const { return taken_; }

 private:
  int descriptor_;
  std::string path_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t taken_ = 0;
  bool at_end_ = false;
};

using StoredFilePtr = std::unique_ptr<StoredFile>;

class PlainSource final : public ByteSource {
 public:
  explicit PlainSource(StoredFilePtr file) : file_(std::move(file)) {}

  Result<Read> read(std::span<char> out) override {
    UNDERSTUDY_CHECK(file_->want(1));
    const std::size_t size = std::min(out.size(), file_->seen().size());
    std::memcpy(out.data(), file_->seen().data(), size);
    file_->take(size);
    return Read{.size = size, .damage = {}};
  }
  std::uint64_t file_bytes_read() const override { return file_->taken(); }

 private:
  StoredFilePtr file_;
};

constexpr std::string_view kGzipMagic = "\x1f\x8b";

/// gzip, any number of members one after another (RFC 1952, 2.2); zeros may fill up the end.
class GzipSource final : public ByteSource {
 public:
  explicit GzipSource(StoredFilePtr file) : file_(std::move(file)) {
    constexpr int kGzipOnly = 15 + 16;
    UNDERSTUDY_ASSERT(::inflateInit2(&stream_, kGzipOnly) == Z_OK);
  }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;
  ~GzipSource() override { ::inflateEnd(&stream_); }

  Result<Read> read(std::span<char> out) override {
    Read result;
    while (result.size == 0 && !done_) {
      if (between_members_) {
        UNDERSTUDY_CHECK(begin_member());
        continue;
      }
      UNDERSTUDY_CHECK(file_->want(1));
      if (file_->seen().empty()) {
        finish(RejectReason::kCompressedTruncated);
        break;
      }
      result.size = inflate_some(out);
    }
    if (result.size == 0) result.damage = damage_;
    return result;
  }
  std::uint64_t file_bytes_read() const override { return file_->taken(); }

 private:
  Result<void> begin_member() {
    UNDERSTUDY_CHECK(file_->want(2));
    if (file_->seen().starts_with(kGzipMagic)) {
      between_members_ = false;
      UNDERSTUDY_ASSERT(::inflateReset(&stream_) == Z_OK);
      return {};
    }
    // Zeros up to the end are padding, as gzip itself takes them; anything else is damage.
    while (!file_->seen().empty()) {
      if (file_->seen().find_first_not_of('\0') != std::string_view::npos) {
        finish(RejectReason::kCompressedCorrupt);
        return {};
      }
      file_->take(file_->seen().size());
      UNDERSTUDY_CHECK(file_->want(1));
    }
    finish(std::nullopt);
    return {};
  }
  std::size_t inflate_some(std::span<char> out) {
    const std::string_view in = file_->seen();
    // zlib's interface is older than const; it does not write to its input.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(std::min<std::size_t>(out.size(), UINT32_MAX));
    const uInt room = stream_.avail_out;
    const int status = ::inflate(&stream_, Z_NO_FLUSH);
    file_->take(in.size() - stream_.avail_in);
    between_members_ = status == Z_STREAM_END;
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      finish(RejectReason::kCompressedCorrupt);
    }
    return room - stream_.avail_out;
  }
  void finish(std::optional<RejectReason> damage) {
    done_ = true;
    damage_ = damage;
  }

  StoredFilePtr file_;
  z_stream stream_{};
  bool between_members_ = true;
  bool done_ = false;
  std::optional<RejectReason> damage_;
};

constexpr std::string_view kZstdMagic = "\x28\xb5\x2f\xfd";

/// zstd, any number of frames one after another.
class ZstdSource final : public ByteSource {
 public:
  explicit ZstdSource(StoredFilePtr file)
      : file_(std::move(file)), context_(::ZSTD_createDCtx(), &::ZSTD_freeDCtx) {
    UNDERSTUDY_ASSERT(context_ != nullptr);
    constexpr int kWindowLogMax = 27;  // 128 MiB: what zstd writes without --long=N
    ::ZSTD_DCtx_setParameter(context_.get(), ::ZSTD_d_windowLogMax, kWindowLogMax);
  }

  Result<Read> read(std::span<char> out) override {
    Read result;
    while (result.size == 0 && !done_) {
      UNDERSTUDY_CHECK(file_->want(1));
      const std::string_view next = file_->seen();
      // At the end of the input zstd may still hold output: only a call that gives none says so.
      ZSTD_inBuffer in{next.data(), next.size(), 0};
      ZSTD_outBuffer buffer{out.data(), out.size(), 0};
      if (next.empty() && inside_frame_ == 0) {
        finish(std::nullopt);
        break;
      }
      const std::size_t status = ::ZSTD_decompressStream(context_.get(), &buffer, &in);
      file_->take(in.pos);
      result.size = buffer.pos;
      if (::ZSTD_isError(status)) {
        finish(::ZSTD_getErrorCode(status) == ZSTD_error_frameParameter_windowTooLarge
                   ? RejectReason::kCompressedWindow
                   : RejectReason::kCompressedCorrupt);
      } else if (next.empty() && buffer.pos == 0) {
        finish(RejectReason::kCompressedTruncated);
      } else {
        inside_frame_ = status;
      }
    }
    if (result.size == 0) result.damage = damage_;
    return result;
  }
  std::uint64_t file_bytes_read() const override { return file_->taken(); }

 private:
  void finish(std::optional<RejectReason> damage) {
    done_ = true;
    damage_ = damage;
  }

  StoredFilePtr file_;
  std::unique_ptr<ZSTD_DCtx, decltype(&::ZSTD_freeDCtx)> context_;
  std::size_t inside_frame_ = 1;  // zstd's hint: 0 when a frame has just ended
  bool done_ = false;
  std::optional<RejectReason> damage_;
};

bool is_zstd(std::string_view head) {
  // A skippable frame may stand first: 0x184D2A50…0x184D2A5F, little-endian.
  const bool skippable = head.size() >= 4 && (static_cast<unsigned char>(head[0]) & 0xF0) == 0x50 &&
                         head.substr(1, 3) == "\x2a\x4d\x18";
  return head.starts_with(kZstdMagic) || skippable;
}

/// What to do about a file that is none of ours; empty for the others.
std::string_view advice_for(std::string_view head) {
  constexpr std::string_view kXzMagic(
      "\xfd"
      "7zXZ\0",
      6);
  if (head.starts_with("PK\x03\x04")) return "is a zip archive: unpack it, or compress with zstd";
  if (head.starts_with("BZh"))
    return "is compressed with bzip2: compress with gzip or zstd instead";
  if (head.starts_with(kXzMagic))
    return "is compressed with xz: compress with gzip or zstd instead";
  if (head.starts_with("PAR1")) return "is a Parquet file: convert it to JSONL";
  if (head.starts_with("\xff\xfe") || head.starts_with("\xfe\xff")) {
    return "is UTF-16: convert it with iconv -f UTF-16 -t UTF-8";
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ByteSource>> open_byte_source(const std::string& path) {
  const auto failed = [&](std::string message) {
    return unexpected(ErrorCode::kInput, std::move(message),
                      {.file = path, .line = {}, .byte_offset = {}});
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return failed(fmt::format("can't open the log file: {}", reason_of(errno)));
  auto file = std::make_unique<StoredFile>(descriptor, path);
  struct ::stat status {};
  if (::fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode)) {
    return failed(fmt::format("is a directory, not a log file; try \"{}/*.jsonl\"", path));
  }
  UNDERSTUDY_CHECK(file->want(8));
  const std::string_view head = file->seen();
  if (const std::string_view advice = advice_for(head); !advice.empty()) {
    return failed(std::string(advice));
  }
  std::unique_ptr<ByteSource> source;
  if (head.starts_with(kGzipMagic)) {
    source = std::make_unique<GzipSource>(std::move(file));
  } else if (is_zstd(head)) {
    source = std::make_unique<ZstdSource>(std::move(file));
  } else {
    source = std::make_unique<PlainSource>(std::move(file));
  }
  return source;
}

}  // namespace understudy
