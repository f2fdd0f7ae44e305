#include "store/compressor.hpp"

#include <zdict.h>
#include <zstd.h>

#include <vector>

#include "base/assert.hpp"

namespace understudy {
namespace {
constexpr int kLevel = 6;
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
  ZSTD_CDict* compress_dictionary = nullptr;
  ZSTD_DDict* decompress_dictionary = nullptr;

  explicit State(const std::string& dictionary) {
    UNDERSTUDY_ASSERT(compress != nullptr && decompress != nullptr);
    ZSTD_CCtx_setParameter(compress, ZSTD_c_compressionLevel, kLevel);
    ZSTD_CCtx_setParameter(compress, ZSTD_c_dictIDFlag, 0);
    if (!dictionary.empty()) {
      compress_dictionary = ZSTD_createCDict(dictionary.data(), dictionary.size(), kLevel);
      decompress_dictionary = ZSTD_createDDict(dictionary.data(), dictionary.size());
      ZSTD_CCtx_refCDict(compress, compress_dictionary);
      ZSTD_DCtx_refDDict(decompress, decompress_dictionary);
    }
  }
  ~State() {
    ZSTD_freeCCtx(compress);
    ZSTD_freeDCtx(decompress);
    ZSTD_freeCDict(compress_dictionary);
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
  const std::size_t size =
      ZSTD_compress2(state_->compress, out.data(), out.size(), bytes.data(), bytes.size());
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
