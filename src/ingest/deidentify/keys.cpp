// Keys, tokens and private key blocks; e-mail and IPv6 addresses.

#include <arpa/inet.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "ingest/deidentify/entities.hpp"

namespace understudy {
namespace {

re2::StringPiece piece(std::string_view text) {
  return {text.data(), text.size()};
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// ---- keys ----

constexpr bool is_token(char c) {
  return is_word(c) || c == '-';
}

/// Tokens with a form of their own, from their first byte on.
const RE2& known_token() {
  static const RE2 pattern(
      "((?:sk|pk|rk)[-_][A-Za-z0-9_-]{20,}"                       // OpenAI, Anthropic, Stripe
      "|gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}"  // GitHub
      "|glpat-[A-Za-z0-9_-]{20,}"                                 // GitLab
      "|(?:AKIA|ASIA)[A-Z0-9]{16}\\b"                             // AWS
      "|AIza[A-Za-z0-9_-]{35,}"                                   // Google
      "|xox[abeoprs]-[A-Za-z0-9-]{10,}"                           // Slack
      "|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}"                  // Hugging Face, npm
      "|eyJ[A-Za-z0-9_-]{10,}\\.eyJ[A-Za-z0-9_-]{10,}\\.[A-Za-z0-9_-]*"  // JSON Web Token
      ")");
  return pattern;
}

/// What stands right before a token that only its place gives away.
const RE2& token_place() {
  static const RE2 pattern(
      "(?i)(?:\\bbearer[ \\t]+"
      "|(?:api|access|auth|secret|private|client|account)[_ -]{0,2}(?:key|token|secret)"
      "[\"'\\x01]*[ \\t]*(?:=|:|is)[ \\t]*[\"'\\x01]*"
      "|\\b(?:token|passwd|password|pwd|secret)[\"'\\x01]*[ \\t]*[=:][ \\t]*[\"'\\x01]*"
      "|\\bSG\\.)$");
  return pattern;
}

/// Text that nobody would make up as a name: letters, digits and enough different ones.
bool looks_random(std::string_view token) {
  if (lower(token.substr(0, 4)) == "your") return false;
  std::array<bool, 256> seen{};
  std::size_t distinct = 0;
  std::size_t digits = 0;
  std::size_t letters = 0;
  for (const char c : token) {
    bool& is_seen = seen[static_cast<unsigned char>(c)];
    distinct += is_seen ? 0U : 1U;
    is_seen = true;
    digits += is_digit(c) ? 1U : 0U;
    letters += is_letter(c) ? 1U : 0U;
  }
  return digits >= 2 && letters >= 2 && distinct >= 8;
}

/// A quoted value is one secret, whatever signs it holds; 0 when it is not quoted.
std::size_t quoted_size(std::string_view text, std::size_t begin) {
  constexpr std::size_t kBytesMax = 256;
  const char quote = byte_before(text, begin);
  if (quote != '"' && quote != '\'') return 0;
  const std::string_view rest = text.substr(begin, kBytesMax);
  const std::size_t closing = rest.find(quote);
  const bool in_line = closing < rest.find_first_of("\n ");
  return closing != std::string_view::npos && in_line ? closing : 0;
}

void take_token(std::string_view text, std::size_t begin, std::size_t end,
                std::vector<Entity>& found) {
  constexpr std::size_t kPlaceBytes = 40;
  const std::string_view run = text.substr(begin, end - begin);
  if (std::none_of(run.begin(), run.end(), is_digit)) return;
  re2::StringPiece matched;
  // Only a JSON Web Token goes on behind its run; 16 KiB of one are enough.
  constexpr std::size_t kTokenBytesMax = std::size_t{1} << 14;
  const std::string_view rest = text.substr(begin, std::max(run.size(), kTokenBytesMax));
  re2::StringPiece input = piece(run.starts_with("eyJ") ? rest : run);
  std::size_t size = 0;
  if (RE2::Consume(&input, known_token(), &matched) &&
      looks_random({matched.data(), matched.size()})) {
    size = matched.size();
  } else if (looks_random(run) && byte_at(text, end) != '(' &&
             RE2::PartialMatch(piece(tail_before(text, begin, kPlaceBytes)), token_place())) {
    size = run.size();
    constexpr std::string_view kTokenGoesOn = "._~+/=-";
    while (is_token(byte_at(text, begin + size)) ||
           kTokenGoesOn.find(byte_at(text, begin + size)) != std::string_view::npos) {
      ++size;
    }
    while (text[begin + size - 1] == '.') --size;
    size = std::max(size, quoted_size(text, begin));
  }
  if (size == 0) return;
  found.push_back(
      {begin, begin + size, EntityKind::kApiKey, std::string(text.substr(begin, size))});
}

/// -----BEGIN … PRIVATE KEY----- up to its end, or as far as it looks like one when it is cut off.
void find_key_blocks(std::string_view text, std::vector<Entity>& found) {
  constexpr std::string_view kBegin = "-----BEGIN ";
  constexpr std::string_view kEnd = "-----END ";
  constexpr std::string_view kDashes = "-----";
  constexpr std::size_t kLabelBytesMax = 40;
  for (std::size_t at = text.find(kBegin); at < text.size(); at = text.find(kBegin, at)) {
    const std::size_t label = at + kBegin.size();
    const std::size_t label_end = text.find(kDashes, label);
    const std::size_t begin = at;
    at = label;
    if (label_end == std::string_view::npos || label_end - label > kLabelBytesMax) continue;
    if (text.substr(label, label_end - label).find("PRIVATE KEY") == std::string_view::npos)
      continue;
    std::size_t end = label_end + kDashes.size();
    while (end < text.size() && text.substr(end, kEnd.size()) != kEnd &&
           (is_word(text[end]) ||
            std::string_view("+/=-:, \r\n\t\\\x01").find(text[end]) != std::string_view::npos)) {
      ++end;
    }
    if (text.substr(end, kEnd.size()) == kEnd) {
      const std::size_t closing = text.find(kDashes, end + kEnd.size());
      end = closing == std::string_view::npos ? text.size() : closing + kDashes.size();
    }
    found.push_back(
        {begin, end, EntityKind::kApiKey, std::string(text.substr(begin, end - begin))});
    at = end;
  }
}

/// Our own [api-key-N].
void find_own_keys(std::string_view text, std::vector<Entity>& found) {
  constexpr std::string_view kOwn = "[api-key-";
  for (std::size_t at = text.find(kOwn); at < text.size(); at = text.find(kOwn, at)) {
    std::size_t end = at + kOwn.size();
    while (is_digit(byte_at(text, end))) ++end;
    if (byte_at(text, end) == ']' && end > at + kOwn.size()) {
      ++end;
      found.push_back({at, end, EntityKind::kApiKey, std::string(text.substr(at, end - at))});
    }
    at = end;
  }
}

// ---- e-mail ----

constexpr bool is_domain(char c) {
  return is_letter(c) || is_digit(c) || c == '-' || c == '.';
}

/// Where the local part before the `@` begins. Letters of Latin scripts count (U+00C0…U+017F);
/// those of scripts that are written without spaces would take the sentence along.
std::size_t local_part_begin(std::string_view text, std::size_t at, std::size_t not_before) {
  std::size_t begin = at;
  while (begin > not_before) {
    const char c = text[begin - 1];
    if (is_word(c) || c == '.' || c == '-' || c == '+' || c == '%' || c == '\'') {
      --begin;
      continue;
    }
    const auto lead = static_cast<unsigned char>(begin >= 2 ? text[begin - 2] : 0);
    const bool continuation = (static_cast<unsigned char>(c) & 0xC0) == 0x80;
    if (!continuation || lead < 0xC3 || lead > 0xC5 || begin - 2 < not_before) break;
    begin -= 2;
  }
  while (begin < at && !is_word(text[begin]) && (text[begin] & 0x80) == 0) ++begin;
  return begin;
}

/// The longest front of what may be a domain that ends in a name of letters: "a.org" of "a.org.2".
std::string_view domain_in(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('.')) return {};
  for (;;) {
    const std::size_t dot = text.rfind('.');
    if (dot == std::string_view::npos) return {};
    const std::string_view last = text.substr(dot + 1);
    const std::size_t letters = static_cast<std::size_t>(
        std::find_if_not(last.begin(), last.end(), is_letter) - last.begin());
    const bool word_ends = letters == last.size() || last[letters] == '-';
    if (letters >= 2 && word_ends) return text.substr(0, dot + 1 + letters);
    text = text.substr(0, dot);
  }
}

bool is_file_ending(std::string_view name) {
  constexpr std::array<std::string_view, 12> kEndings = {
      "png", "jpg", "jpeg", "gif", "svg", "webp", "css", "json", "js", "ts", "tsx", "html"};
  return std::find(kEndings.begin(), kEndings.end(), name) != kEndings.end();
}

}  // namespace

void find_emails(std::string_view text, std::vector<Entity>& found) {
  constexpr std::size_t kLocalBytesMax = 64;  // RFC 5321, 4.5.3.1
  std::size_t searched = 0;
  for (std::size_t at = text.find('@'); at < text.size(); at = text.find('@', at + 1)) {
    const std::size_t floor = std::max(searched, at > kLocalBytesMax ? at - kLocalBytesMax : 0);
    const std::size_t begin = local_part_begin(text, at, floor);
    if (begin == at) continue;
    std::size_t end = at + 1;
    while (end < text.size() && is_domain(text[end])) ++end;
    const std::string_view domain = domain_in(text.substr(at + 1, end - at - 1));
    if (domain.empty()) continue;
    end = at + 1 + domain.size();
    std::string key = lower(text.substr(begin, end - begin));
    // `first\_last@…` in Markdown is the same address (entities.cpp makes two of that underscore).
    for (std::size_t i = key.find("__"); i < key.size(); i = key.find("__", i)) key.erase(i, 1);
    // image@2x.png, and the account that every repository is cloned from.
    if (is_file_ending(std::string_view(key).substr(key.rfind('.') + 1)) || key.starts_with("git@"))
      continue;
    found.push_back({begin, end, EntityKind::kEmail, std::move(key)});
    searched = end;
  }
}

// ---- IPv6 ----

void find_ipv6(std::string_view text, std::vector<Entity>& found) {
  const auto in_address = [](char c) { return is_hex(c) || c == ':'; };
  for (std::size_t at = text.find(':'); at < text.size(); at = text.find(':', at + 1)) {
    // Cheap first: nearly every colon ends a word and has a space behind it.
    if (!in_address(byte_at(text, at + 1)) || !in_address(byte_before(text, at))) continue;
    std::size_t begin = at;
    while (begin > 0 && in_address(text[begin - 1])) --begin;
    std::size_t end = at;
    while (end < text.size() && in_address(text[end])) ++end;
    const std::size_t next = end;
    while (end > begin && text[end - 1] == ':') --end;  // "see fe80::1:" ends a clause
    const std::string address(text.substr(begin, end - begin));
    at = next - 1;
    const auto colons = std::count(address.begin(), address.end(), ':');
    if (colons < 2 || address.size() < 6 || address.size() > 39) continue;
    if (is_word(byte_before(text, begin)) || is_word(byte_at(text, next))) continue;
    ::in6_addr bytes{};
    if (::inet_pton(AF_INET6, address.c_str(), &bytes) != 1) continue;
    // `Bad::Face` is C++. An address of somebody's has digits, and more than two short groups or
    // the beginning of a range that is in use.
    if (std::none_of(address.begin(), address.end(), is_digit)) continue;
    const std::uint8_t first = bytes.s6_addr[0];
    const bool usual = (first & 0xE0) == 0x20 || first == 0xFE || (first & 0xFE) == 0xFC;
    if (colons < 4 && !usual) continue;
    std::array<char, INET6_ADDRSTRLEN> canonical{};
    ::inet_ntop(AF_INET6, &bytes, canonical.data(), canonical.size());
    found.push_back({begin, end, EntityKind::kIpv6, canonical.data()});
  }
}

void find_keys(std::string_view text, std::vector<Entity>& found) {
  find_own_keys(text, found);
  find_key_blocks(text, found);
  for_each_run<16>(text, is_token, [&](std::size_t begin, std::size_t end) {
    take_token(text, begin, end, found);
  });
}

}  // namespace understudy
