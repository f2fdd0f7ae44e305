// IPv4 addresses, payment cards, telephone numbers: all are digits with separators, so they are
// searched together.

#include <phonenumbers/phonenumberutil.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "ingest/deidentify/entities.hpp"
#include "ingest/deidentify/surrogates.hpp"

namespace understudy {
namespace {

using i18n::phonenumbers::PhoneNumber;
using i18n::phonenumbers::PhoneNumberUtil;

re2::StringPiece piece(std::string_view text) {
  return {text.data(), text.size()};
}

constexpr bool is_numeral(char c) {
  return is_digit(c) || c == ' ' || c == '.' || c == '-' || c == '(' || c == ')' || c == '+';
}

std::string digits_of(std::string_view text) {
  std::string digits;
  std::copy_if(text.begin(), text.end(), std::back_inserter(digits), is_digit);
  return digits;
}

/// A part of the whole text, with what stands around it.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
};

bool stands_alone(std::string_view text, Span span) {
  return !is_word(byte_before(text, span.begin)) && !is_word(byte_at(text, span.end));
}

// ---- IPv4 ----

/// "version 1.2.3.4", "Chrome/112.0.0.0", "section 4.1.2.3".
bool is_version_place(std::string_view before) {
  static const RE2 pattern(
      "(?i)(?:[A-Za-z0-9]/"
      "|\\bv|\\b(?:version|release|build|ver|section|chapter|figure|table)(?: is| was| "
      "=|:|\\.)?\\s*v?)$");
  return RE2::PartialMatch(piece(before), pattern);
}

void find_ipv4(std::string_view text, Span run, std::vector<Entity>& found) {
  static const RE2 pattern("((?:\\d{1,3}\\.){3}\\d{1,3})");
  re2::StringPiece rest = piece(text.substr(run.begin, run.end - run.begin));
  re2::StringPiece matched;
  while (RE2::FindAndConsume(&rest, pattern, &matched)) {
    const auto begin = static_cast<std::size_t>(matched.data() - text.data());
    const Span span{begin, begin + matched.size()};
    const bool goes_on = byte_at(text, span.end) == '.' && is_digit(byte_at(text, span.end + 1));
    const bool began_before = byte_before(text, begin) == '.' || byte_before(text, begin) == '-';
    if (!stands_alone(text, span) || goes_on || began_before) continue;
    std::array<unsigned, 4> octets{};
    const char* at = matched.data();
    bool valid = true;
    for (unsigned& octet : octets) {
      const auto parsed = std::from_chars(at, matched.data() + matched.size(), octet);
      valid = valid && octet <= 255 && !(*at == '0' && parsed.ptr - at > 1);
      at = parsed.ptr + 1;
    }
    // This machine, any address, this link, netmasks and multicast are nobody's; four small numbers
    // are a version or a heading.
    const bool nobodys = octets[0] == 127 || octets[0] == 0 || octets[0] >= 224 ||
                         (octets[0] == 169 && octets[1] == 254);
    const bool small = std::all_of(octets.begin(), octets.end(), [](unsigned o) { return o < 10; });
    if (!valid || nobodys || small) continue;
    if (is_version_place(tail_before(text, begin, 24))) continue;
    found.push_back(
        {span.begin, span.end, EntityKind::kIpv4, std::string(matched.data(), matched.size())});
  }
}

// ---- payment cards ----

/// The issuers' ranges and lengths (ISO/IEC 7812; 2221–2720 since 2017). Maestro's (50, 56–69) take
/// up so much that they need other evidence.
enum class CardRange : std::uint8_t { kNone, kBrand, kMaestro };
CardRange card_range(std::string_view digits) {
  const auto leading = [&](std::size_t count) {
    int value = 0;
    std::from_chars(digits.data(), digits.data() + std::min(count, digits.size()), value);
    return value;
  };
  const std::size_t size = digits.size();
  const int two = leading(2);
  const int four = leading(4);
  const bool visa = digits[0] == '4' && (size == 13 || size == 16 || size == 19);
  const bool mastercard =
      size == 16 && ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720));
  const bool amex = size == 15 && (two == 34 || two == 37);
  const bool diners =
      size == 14 && (two == 36 || two == 38 || two == 39 || leading(3) <= 305) && digits[0] == '3';
  const bool discover =
      size == 16 && (four == 6011 || two == 65 || (leading(3) >= 644 && leading(3) <= 649));
  const bool unionpay = size >= 16 && two == 62;
  const bool jcb = (size == 16 && four >= 3528 && four <= 3589) ||
                   (size == 15 && (four == 1800 || four == 2131));
  if (visa || mastercard || amex || diners || discover || unionpay || jcb) return CardRange::kBrand;
  if (two == 50 || (two >= 56 && two <= 69)) return CardRange::kMaestro;
  return CardRange::kNone;
}

bool is_card_place(std::string_view before) {
  static const RE2 pattern(
      "(?i)\\b(?:card|visa|master ?card|maestro|amex|american "
      "express|debit|credit|discover|payment|cc)");
  return RE2::PartialMatch(piece(before), pattern);
}

void find_cards(std::string_view text, Span run, std::vector<Entity>& found) {
  // One run of digits, groups of four, or American Express's and Diners Club's groups.
  static const RE2 pattern(
      "((?:\\d{4}[ -]){3}\\d{1,4}(?:[ -]?\\d{1,3})?|\\d{4}[ -]\\d{6}[ -]\\d{4,5}|\\d{12,19})");
  re2::StringPiece rest = piece(text.substr(run.begin, run.end - run.begin));
  re2::StringPiece matched;
  while (RE2::FindAndConsume(&rest, pattern, &matched)) {
    const auto begin = static_cast<std::size_t>(matched.data() - text.data());
    Span span{begin, begin + matched.size()};
    if (is_digit(byte_before(text, begin))) continue;
    std::string digits = digits_of({matched.data(), matched.size()});
    if (digits.size() > 16 && matched.size() > digits.size() + 3) {
      // "4111 1111 1111 1111 123" is a card and something else, more often than one of 19 digits.
      const std::string_view first(matched.data(), 19);
      const std::string shorter = digits_of(first);
      if (shorter.size() == 16 && luhn_digit(shorter.substr(0, 15)) == shorter[15]) {
        digits = shorter;
        span.end = begin + first.size();
      }
    }
    if (!stands_alone(text, span) || byte_before(text, begin) == '.' ||
        (byte_at(text, span.end) == '.' && is_digit(byte_at(text, span.end + 1)))) {
      continue;
    }
    const char check = digits.back();
    digits.pop_back();
    if (luhn_digit(digits) != check) continue;
    digits += check;
    const CardRange range = card_range(digits);
    const bool needs_evidence = range == CardRange::kMaestro;
    if (range == CardRange::kNone) continue;
    if (needs_evidence && !is_card_place(tail_before(text, begin, 60))) continue;
    found.push_back({span.begin, span.end, EntityKind::kPaymentCard, digits});
  }
}

// ---- telephone numbers ----

/// Words that make a number a telephone number, right before it.
bool is_phone_place(std::string_view before) {
  static const RE2 pattern(
      "(?i)(?:"
      "\\b(?:tele)?phones?\\b|\\bmobile\\b|\\bcell(?:ular|phone)?\\b|\\bfax\\b|\\bwhats ?app\\b"
      "|\\btel[.:)]|\\bhotline\\b|\\bdesk:|\\bph[.:]|\\b[mtf]:|\\btel[eé]fonos?\\b|\\btelefon\\b"
      "|\\bhandy\\b|\\bcelular\\b|\\bm[oó]vil\\b|\\bt[eé]l[eé]phone\\b|\\bportable\\b|电话|手机|"
      "電話"
      "|телефон|тел\\."
      ")[^\\d\\n!?;]{0,20}\\n?[ \\t]*$"
      "|(?i)\\b(?:call|dial|ring|text|reach|answer|message|contact)[a-z]*(?: "
      "(?:me|us|him|her|them|you))?"
      "(?: (?:at|on|to|via|under))?[ :]*$");
  return RE2::PartialMatch(piece(before), pattern);
}

/// … or right behind it.
bool is_phone_label(std::string_view after) {
  static const RE2 pattern("(?i)^[ ,(-]{0,2}(?:office|fax|mobile|cell|phone)\\b");
  return RE2::PartialMatch(piece(after), pattern);
}

/// Dates, ranges of years and amounts with thousands, which have digits enough.
bool is_other_number(std::string_view candidate) {
  static const RE2 pattern(
      "(?:19|20)\\d\\d[-. ](?:0?[1-9]|1[0-2])[-. ](?:[0-2]?\\d|3[01])(?:\\D.*)?"
      "|(?:[0-2]?\\d|3[01])[-. ](?:0?[1-9]|1[0-2])[-. ](?:19|20)\\d\\d(?:\\D.*)?"
      "|(?:1\\d|20)\\d\\d ?- ?(?:1\\d|20)\\d\\d"
      "|\\d{1,3}(?:\\.\\d{3})+"
      "|\\d+\\.\\d+"
      "|\\d{3}-\\d{2}-\\d{4}");  // the form of US social security numbers
  return RE2::FullMatch(piece(candidate), pattern);
}

struct PhoneCheck {
  bool valid = false;
  std::string key;
};

/// What libphonenumber says of an international number, or of one of North America.
PhoneCheck check_phone(const std::string& written) {
  using Type = PhoneNumberUtil::PhoneNumberType;
  const PhoneNumberUtil& util = *PhoneNumberUtil::GetInstance();
  PhoneNumber number;
  if (util.Parse(written, "US", &number) != PhoneNumberUtil::NO_PARSING_ERROR) return {};
  PhoneCheck check;
  util.Format(number, PhoneNumberUtil::E164, &check.key);
  if (own_number(EntityKind::kPhone, check.key) != 0) return {true, check.key};
  // A hotline is nobody's, and an answer that gives one must still give it afterwards.
  const Type type = util.GetNumberType(number);
  const bool is_public = type == Type::TOLL_FREE || type == Type::PREMIUM_RATE ||
                         type == Type::SHARED_COST || type == Type::UAN;
  check.valid = util.IsValidNumber(number);
  if (is_public) check.key.clear();
  return check;
}

/// Strips what a run of numerals has at its ends; the sign and an opening parenthesis may stay.
Span trimmed_span(std::string_view text, Span span) {
  while (span.begin < span.end && !is_digit(text[span.begin]) && text[span.begin] != '+' &&
         text[span.begin] != '(') {
    ++span.begin;
  }
  while (span.begin < span.end && !is_digit(text[span.end - 1])) --span.end;
  return span;
}

/// `x123`, `ext. 123` behind a number.
std::size_t extension_end(std::string_view text, std::size_t end) {
  static const RE2 pattern("(?i)^( ?(?:x|ext\\.?) ?\\d{1,6})\\b");
  re2::StringPiece matched;
  const std::string_view after = text.substr(end, 16);
  return RE2::PartialMatch(piece(after), pattern, &matched) ? end + matched.size() : end;
}

enum class PhoneShape : std::uint8_t { kInternational, kNorthAmerican, kOther };

void take_phone(std::string_view text, Span span, PhoneShape shape, std::vector<Entity>& found) {
  span = trimmed_span(text, span);
  const std::string_view written = text.substr(span.begin, span.end - span.begin);
  std::string digits = digits_of(written);
  if (digits.size() < 7 || digits.size() > 15) return;
  const std::size_t end = extension_end(text, span.end);
  // Inside of words, identifiers, paths, amounts and longer numbers nobody writes one.
  const char before = byte_before(text, span.begin);
  if (is_word(before) || std::string_view("-./\\#$%&*^~").find(before) != std::string_view::npos)
    return;
  const char after = byte_at(text, end);
  if (is_word(after) || std::string_view("%/\\*^").find(after) != std::string_view::npos) return;
  const bool opens = written.find('(') != std::string_view::npos;
  if (opens != (written.find(')') != std::string_view::npos)) return;

  const bool placed =
      is_phone_place(tail_before(text, span.begin, 48)) || is_phone_label(text.substr(end, 12));
  if (is_other_number(written)) return;
  if (shape == PhoneShape::kOther && !placed) {
    // Ours, written without separators, must be known again.
    const std::string key = (digits.size() == 10 ? "+1" : "+") + digits;
    if (own_number(EntityKind::kPhone, key) == 0) return;
  }
  std::string to_check(written);
  if (shape == PhoneShape::kInternational && to_check.starts_with("00"))
    to_check.replace(0, 2, "+");
  if (to_check.starts_with("+1") || !to_check.starts_with('+')) {
    to_check = digits.starts_with("001") ? digits.substr(2) : digits;
  }
  const PhoneCheck check = check_phone(to_check);
  if (check.valid && check.key.empty()) return;
  if (!check.valid && !placed) return;
  std::string key = check.valid || shape == PhoneShape::kNorthAmerican ? check.key : digits;
  if (key.empty()) key = std::move(digits);
  found.push_back({span.begin, end, EntityKind::kPhone, std::move(key)});
}

std::size_t count_digits(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), is_digit));
}

/// In a piece whose numbers are apart by single separators.
void find_phones_between(std::string_view text, Span between, std::vector<Entity>& found) {
  static const RE2 north_american(
      "((?:(?:\\+|00)?1[-. ]?)?(?:\\(\\d{3}\\)[-. ]?|\\d{3}[-. ])\\d{3}[-. ]\\d{4})");
  static const RE2 international("((?:\\+|\\b00)\\d{1,3}(?:[-. ]{0,2}\\(?\\d{1,5}\\)?){2,7})");
  const std::string_view whole = text.substr(between.begin, between.end - between.begin);
  const std::size_t digits = count_digits(whole);
  if (digits < 7) return;
  re2::StringPiece left = piece(whole);
  re2::StringPiece matched;
  bool any = false;
  const auto next_match = [&](const RE2& pattern) -> std::optional<Span> {
    if (!RE2::FindAndConsume(&left, pattern, &matched)) return std::nullopt;
    const auto begin = static_cast<std::size_t>(matched.data() - text.data());
    return Span{begin, begin + matched.size()};
  };
  while (const auto span = next_match(north_american)) {
    if (is_digit(byte_at(text, span->end)) || is_digit(byte_before(text, span->begin))) continue;
    // Three groups apart by spaces, in a row of more: a matrix.
    const std::string_view written = text.substr(span->begin, span->end - span->begin);
    const bool only_spaces = written.find_first_of("+-.(") == std::string_view::npos;
    if (only_spaces && count_digits(written) != digits) continue;
    any = true;
    take_phone(text, *span, PhoneShape::kNorthAmerican, found);
  }
  left = piece(whole);
  while (!any) {
    const auto span = next_match(international);
    if (!span) break;
    any = true;
    take_phone(text, *span, PhoneShape::kInternational, found);
  }
  if (!any) take_phone(text, between, PhoneShape::kOther, found);
}

void find_phones(std::string_view text, Span run, std::vector<Entity>& found) {
  static const RE2 gap("(  +| - |\\. )");

  // In one run there may be several numbers, apart by more than one separator.
  std::size_t begin = run.begin;
  while (begin < run.end) {
    const std::string_view rest = text.substr(begin, run.end - begin);
    re2::StringPiece parting;
    const bool parts = RE2::PartialMatch(piece(rest), gap, &parting);
    const std::size_t end =
        parts ? static_cast<std::size_t>(parting.data() - text.data()) : run.end;
    const std::size_t next = parts ? end + parting.size() : run.end;
    find_phones_between(text, {begin, end}, found);
    begin = next;
  }
}

}  // namespace

void find_numbers(std::string_view text, std::vector<Entity>& found) {
  for_each_run<7>(text, is_numeral, [&](std::size_t begin, std::size_t end) {
    // Indentation, rulers and rows of dots are most runs.
    const std::string_view run = text.substr(begin, end - begin);
    const auto digits = std::count_if(run.begin(), run.end(), is_digit);
    if (digits < 4) return;
    if (std::count(run.begin(), run.end(), '.') >= 3) find_ipv4(text, {begin, end}, found);
    if (digits >= 12) find_cards(text, {begin, end}, found);
    if (digits >= 7) find_phones(text, {begin, end}, found);
  });
}

}  // namespace understudy
