#include "ingest/deidentify/entities.hpp"

#include <algorithm>
#include <utility>

namespace understudy {
namespace {

/// The text with escapes (`\n`, `\u00e9`) blanked out, byte for byte, so that offsets stay.
std::string without_escapes(std::string_view text) {
  constexpr char kBlank = '\x01';  // in no class of any searcher
  constexpr std::string_view kEscaped = "ntrbf\"/\\";
  std::string masked(text);
  for (std::size_t i = masked.find('\\'); i < masked.size(); i = masked.find('\\', i)) {
    if (byte_at(text, i + 1) == '_') {
      masked[i++] = '_';  // Markdown writes underscores so: the word goes on
      continue;
    }
    std::size_t size = kEscaped.find(byte_at(text, i + 1)) == std::string_view::npos ? 1 : 2;
    const std::string_view unicode = text.substr(i, 6);
    if (unicode.size() == 6 && unicode[1] == 'u' &&
        std::all_of(unicode.begin() + 2, unicode.end(), is_hex)) {
      size = 6;
    }
    size = std::min(size, masked.size() - i);
    masked.replace(i, size, size, kBlank);
    i += size;
  }
  return masked;
}

}  // namespace

std::vector<Entity> find_entities(std::string_view written) {
  std::string masked;
  if (written.find('\\') != std::string_view::npos) masked = without_escapes(written);
  const std::string_view text = masked.empty() ? written : masked;
  std::vector<Entity> found;
  find_keys(text, found);
  find_emails(text, found);
  find_ipv6(text, found);
  find_numbers(text, found);

  // Where two overlap, the kind that needs more of a shape is right: EntityKind is in that order.
  std::sort(found.begin(), found.end(), [](const Entity& a, const Entity& b) {
    return std::pair(a.begin, a.kind) < std::pair(b.begin, b.kind);
  });
  std::vector<Entity> kept;
  kept.reserve(found.size());
  for (Entity& entity : found) {
    if (kept.empty() || entity.begin >= kept.back().end) {
      kept.push_back(std::move(entity));
    } else if (entity.kind < kept.back().kind) {
      kept.back() = std::move(entity);
    }
  }
  return kept;
}

}  // namespace understudy
