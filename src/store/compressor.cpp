#include "store/compressor.hpp"

#include <zdict.h>
#include <zstd.h>

#include <vector>

#include "base/assert.hpp"

namespace understudy {
namespace {
constexpr int kLevel = 6;
// Up to this size the level makes no difference to the size of real answers (0.491 of it at level
// 3, 0.494 at 6), but setting up the finder of the higher one takes longer than all the rest.
constexpr int kSmallLevel = 3;
constexpr std::size_t kSmallBytes = 512;
constexpr std::size_t kDictionarySizeMax = 112 * 1024;
constexpr unsigned long long kBlobSizeMax = 256ULL << 20;
}  // namespace

std::string train_dictionary(std::span<const std::string> texts) {
  std::string all;
  std::vector<std::size_t> sizes;
  for (const std::string& text : texts) {
    all += text;
    sizes.push_back(text.size());
  }
  // A dictionary is stored once: it must stay small beside what it saves.
  const std::size_t size_max = std::min(kDictionarySizeMax, all.size() / 40);
  if (size_max < 1024) return {};
  std::string dictionary(size_max, '\0');
  const std::size_t size = ZDICT_trainFromBuffer(dictionary.data(), dictionary.size(), all.data(),
                                                 sizes.data(), static_cast<unsigned>(sizes.size()));
  if (ZDICT_isError(size) != 0) return {};
  dictionary.resize(size);
  return dictionary;
}

struct Compressor::State {
  ZSTD_CCtx* compress = ZSTD_createCCtx();
  ZSTD_DCtx* decompress = ZSTD_createDCtx();
  ZSTD_CCtx* compress_small = ZSTD_createCCtx();
  ZSTD_CDict* compress_dictionary = nullptr;
  ZSTD_CDict* small_dictionary = nullptr;
  ZSTD_DDict* decompress_dictionary = nullptr;

  explicit State(const std::string& dictionary) {
    UNDERSTUDY_ASSERT(compress != nullptr && compress_small != nullptr && decompress != nullptr);
    ZSTD_CCtx_setParameter(compress, ZSTD_c_compressionLevel, kLevel);
    ZSTD_CCtx_setParameter(compress, ZSTD_c_dictIDFlag, 0);
    ZSTD_CCtx_setParameter(compress_small, ZSTD_c_compressionLevel, kSmallLevel);
    ZSTD_CCtx_setParameter(compress_small, ZSTD_c_dictIDFlag, 0);
    if (!dictionary.empty()) {
      compress_dictionary = ZSTD_createCDict(dictionary.data(), dictionary.size(), kLevel);
      small_dictionary = ZSTD_createCDict(dictionary.data(), dictionary.size(), kSmallLevel);
      decompress_dictionary = ZSTD_createDDict(dictionary.data(), dictionary.size());
      ZSTD_CCtx_refCDict(compress, compress_dictionary);
      ZSTD_CCtx_refCDict(compress_small, small_dictionary);
      ZSTD_DCtx_refDDict(decompress, decompress_dictionary);
    }
  }
  ~State() {
    ZSTD_freeCCtx(compress);
    ZSTD_freeCCtx(compress_small);
    ZSTD_freeDCtx(decompress);
    ZSTD_freeCDict(compress_dictionary);
    ZSTD_freeCDict(small_dictionary);
    ZSTD_freeDDict(decompress_dictionary);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Compressor::Compressor(std::string dictionary) : state_(std::make_unique<State>(dictionary)) {}
Compressor::~Compressor() = default;
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;

std::string Compressor::compress(std::string_view bytes) const {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  ZSTD_CCtx* const context =
      bytes.size() <= kSmallBytes ? state_->compress_small : state_->compress;
  const std::size_t size =
      ZSTD_compress2(context, out.data(), out.size(), bytes.data(), bytes.size());
  UNDERSTUDY_ASSERT(ZSTD_isError(size) == 0);
  out.resize(size);
  return out;
}

Result<std::string> Compressor::decompress(std::string_view bytes) const {
  const unsigned long long size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > kBlobSizeMax) {
    return unexpected(ErrorCode::kInfrastructure, "a stored blob is damaged");
  }
  std::string out(size, '\0');
  const std::size_t got =
      ZSTD_decompressDCtx(state_->decompress, out.data(), out.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(got) != 0 || got != size) {
    return unexpected(ErrorCode::kInfrastructure, "a stored blob is damaged");
  }
  return out;
}

}  // namespace understudy
