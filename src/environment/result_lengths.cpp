#include "environment/result_lengths.hpp"

#include <re2/re2.h>

#include <algorithm>
#include <limits>

#include "base/rng.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

constexpr std::size_t kMarkBytesMax = 200;
constexpr std::size_t kCutsForLimit = 2;

std::uint32_t size_of(std::string_view text) {
  return static_cast<std::uint32_t>(
      std::min<std::size_t>(text.size(), std::numeric_limits<std::uint32_t>::max()));
}

std::size_t at_quantile(std::vector<std::uint32_t> sizes, double q) {
  const auto place = static_cast<std::size_t>(q * static_cast<double>(sizes.size() - 1));
  std::nth_element(sizes.begin(), sizes.begin() + static_cast<std::ptrdiff_t>(place), sizes.end());
  return sizes[place];
}

}  // namespace

std::optional<std::size_t> ResultLengths::cut_mark(std::string_view result) {
  // At the end, on a line of its own, in brackets or after an ellipsis; an ellipsis alone may be
  // the author's.
  static const RE2 kMark(
      R"((?i)((?:\n|\s*(?:\.\.\.|\x{2026})|\s*[\[(<])\s*(?:\.\.\.|\x{2026})?\s*[\[(<]?\s*(?:)"
      R"((?:(?:the )?(?:output|result|response|content|file|text)s? )?(?:is |was |has been |too long, )*)"
      R"((?:truncated|cut off|clipped)[^\n.!?]{0,80})"
      R"(|\d+ (?:more|further|additional|remaining) )"
      R"((?:lines?|characters?|chars|bytes|rows?|results?|items?|entries|matches)[^\n.!?]{0,40}))"
      R"([\])>.]?\s*)\z)");
  const std::size_t from = result.size() - std::min(result.size(), kMarkBytesMax);
  std::size_t begin = from;
  while (begin < result.size() && (static_cast<unsigned char>(result[begin]) & 0xC0) == 0x80) {
    ++begin;
  }
  const std::string_view tail = result.substr(begin);
  re2::StringPiece mark;
  if (!RE2::PartialMatch(re2::StringPiece(tail.data(), tail.size()), kMark, &mark)) {
    return std::nullopt;
  }
  return begin + static_cast<std::size_t>(mark.data() - tail.data());
}

void ResultLengths::learn(std::string_view result) {
  bytes_.push_back(size_of(result));
  const std::optional<std::size_t> mark = cut_mark(result);
  if (!mark) {
    longest_whole_ = std::max(longest_whole_, size_of(result));
    return;
  }
  if (cut_bytes_.empty()) mark_ = std::string(result.substr(*mark));
  cut_bytes_.push_back(size_of(result.substr(0, *mark)));
}

std::size_t ResultLengths::quantile(double q) const {
  return at_quantile(bytes_, q);
}

std::size_t ResultLengths::drawn(std::uint64_t key) const {
  return bytes_[Rng(key).below(bytes_.size())];
}

std::optional<std::size_t> ResultLengths::limit() const {
  if (cut_bytes_.size() < kCutsForLimit) return std::nullopt;
  const std::size_t middle = at_quantile(cut_bytes_, 0.5);
  // Whole results that are much longer say that length is not why the others were cut.
  if (longest_whole_ > middle + middle / 4) return std::nullopt;
  return middle;
}

std::string ResultLengths::as_shown(std::string result) const {
  const std::optional<std::size_t> most = limit();
  if (!most || result.size() <= *most + mark_.size() || cut_mark(result)) return result;
  result.resize(utf8_prefix(result, *most).size());
  return result + mark_;
}

}  // namespace understudy
