// Rules about what an answer brings in that nothing before it holds: contact and payment data,
// links.
#include <re2/re2.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "base/text.hpp"
#include "grading/rule.hpp"

namespace understudy {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string digits_of(std::string_view text) {
  std::string digits;
  std::copy_if(text.begin(), text.end(), std::back_inserter(digits), is_digit);
  return digits;
}

// Check digit of payment cards (ISO/IEC 7812-1).
bool passes_luhn(std::string_view digits) {
  int sum = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const int digit = digits[digits.size() - 1 - i] - '0';
    const int doubled = digit * 2;
    sum += i % 2 == 0 ? digit : doubled - (doubled > 9 ? 9 : 0);
  }
  return sum % 10 == 0;
}

// 1111111111, 1234567890, 0123456789: what people write when they mean "some number".
bool is_placeholder_number(std::string_view digits) {
  const bool same =
      std::all_of(digits.begin(), digits.end(), [&](char c) { return c == digits.front(); });
  std::size_t steps = 0;
  for (std::size_t i = 1; i < digits.size(); ++i) {
    const bool next = digits[i] == digits[i - 1] + 1 || (digits[i - 1] == '9' && digits[i] == '0');
    steps += next ? 1U : 0U;
  }
  return same || steps + 3 >= digits.size();
}

// De-identification (ingest/) puts surrogates in the place of real data before anything is graded:
// person3@example.com, 555-01NN in area codes that are never assigned, test cards that begin with
// 4000 0000 0000, 192.0.2.0/24. One that the prefix does not hold stands for something new.
bool is_surrogate_mail(std::string_view mail) {
  static const RE2 kSurrogate(R"(^person\d+@example\.com$)");
  return RE2::PartialMatch(re2::StringPiece(mail.data(), mail.size()), kSurrogate);
}

bool is_surrogate_number(const std::string& digits) {
  static const RE2 kSurrogate(R"(^(?:1?[2-9]9\d55501\d\d|400000000000\d{4})$)");
  return RE2::PartialMatch(digits, kSurrogate);
}

// Everything that the model had seen, for "is this in it?". Numbers are compared by their digits.
class Seen {
 public:
  explicit Seen(const AnswerView& view) : view_(view) {}

  [[nodiscard]] bool text(std::string_view needle) const {
    return prefix_contains(view_.prefix, needle) || in_calls(needle) ||
           view_.tools.find(needle) != std::string_view::npos;
  }
  [[nodiscard]] bool digits(std::string_view needle) const {
    return std::any_of(view_.prefix.begin(), view_.prefix.end(), [&](const Message& message) {
      return digits_of(message.content).find(needle) != std::string::npos;
    });
  }

 private:
  // Only calls of the prefix: what the answer itself calls is the answer's.
  [[nodiscard]] bool in_calls(std::string_view needle) const {
    return std::any_of(view_.prefix.begin(), view_.prefix.end(), [&](const Message& message) {
      return std::any_of(
          message.tool_calls.begin(), message.tool_calls.end(),
          [&](const ToolCall& call) { return call.arguments.find(needle) != std::string::npos; });
    });
  }
  const AnswerView& view_;
};

template <class Accept>
void each_match(const RE2& pattern, std::string_view text, const Accept& accept) {
  std::size_t from = 0;
  re2::StringPiece match;
  while (from < text.size() && pattern.Match(re2::StringPiece(text.data(), text.size()), from,
                                             text.size(), RE2::UNANCHORED, &match, 1)) {
    const auto begin = static_cast<std::size_t>(match.data() - text.data());
    from = begin + std::max<std::size_t>(match.size(), 1);
    if (accept(begin, std::string_view(match.data(), match.size()))) return;
  }
}

constexpr std::size_t kLongNumberDigits = 9;  // telephone, card and identity numbers have more

class ContactRule : public Rule {
 public:
  struct Patterns {
    std::vector<Pattern> placeholders;
    std::vector<Pattern> role_mailboxes;
    std::vector<Pattern> organization_context;
    std::vector<Pattern> number_context;
    std::vector<Pattern> network_context;
    std::vector<Pattern> unless_request;
  };
  explicit ContactRule(Patterns patterns) : patterns_(std::move(patterns)) {}

  void look(AnswerFacts& facts, Finds& finds) const override {
    const std::string_view text = facts.view.content;
    const bool mail = std::memchr(text.data(), '@', text.size()) != nullptr;
    const bool number = has_long_number(text);
    const bool network = text.find("192.0.2.") != std::string_view::npos;
    if (!mail && !number && !network) return;
    // Whoever asks for sample data, names for a mailbox or a filled-in form gets invented entries.
    const std::string_view request = last_user_text(facts.view.prefix);
    if (matches_any(patterns_.unless_request, request)) return;
    if (mail && find_mail(facts, finds)) return;
    if (number && find_numbers(facts, finds)) return;
    if (network) find_network_addresses(facts, finds);
  }

 private:
  // Whether any stretch of digits and telephone punctuation holds that many digits.
  static bool has_long_number(std::string_view text) {
    // With gaps, nine digits take at most 25 bytes: two neighboring blocks hold all of them.
    constexpr std::size_t kBlock = 64;
    std::size_t before = 0;
    for (std::size_t begin = 0; begin < text.size(); begin += kBlock) {
      const std::string_view block = text.substr(begin, kBlock);
      const auto digits =
          static_cast<std::size_t>(std::count_if(block.begin(), block.end(), is_digit));
      if (before + digits >= kLongNumberDigits) {
        const std::size_t from = begin > kBlock ? begin - kBlock : 0;
        if (long_number_in(text.substr(from, begin + kBlock - from))) return true;
      }
      before = digits;
    }
    return false;
  }

  static bool long_number_in(std::string_view text) {
    std::size_t digits = 0;
    std::size_t gap = 0;
    for (const char c : text) {
      if (is_digit(c)) {
        if (++digits >= kLongNumberDigits) return true;
        gap = 0;
      } else if (digits > 0 && (c == ' ' || c == '-' || c == '.' || c == '(' || c == ')') &&
                 gap < 2) {
        ++gap;
      } else {
        digits = gap = 0;
      }
    }
    return false;
  }

  bool find_mail(AnswerFacts& facts, Finds& finds) const {
    static const RE2 kMail(
        R"([A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})");
    const Seen seen(facts.view);
    bool full = false;
    each_match(kMail, facts.view.content, [&](std::size_t begin, std::string_view mail) {
      if (facts.prose().part_at(begin) == TextPart::kCode) return false;
      const std::string_view before = words_before(facts.view.content, begin);
      if (is_surrogate_mail(mail)) {
        // Whose it was is gone; only the words around it tell a person's from an office's.
        if (matches_any(patterns_.organization_context, before)) return false;
      } else if (matches_any(patterns_.placeholders, mail) ||
                 matches_any(patterns_.role_mailboxes, mail)) {
        return false;
      }
      // The user part of a connection string: "mongodb://admin:secret@cluster.host.net".
      const std::size_t word = before.find_last_of(" \t\n([<\"'") + 1;
      if (before.substr(word).find("://") != std::string_view::npos) return false;
      if (seen.text(mail)) return false;
      full = finds.add({EvidenceWhere::kAnswer, 0, begin, begin + mail.size()});
      return full;
    });
    return full;
  }

  bool find_numbers(AnswerFacts& facts, Finds& finds) const {
    // Telephone numbers as written for people: with a country code, or in the North American
    // grouping; card numbers in groups of four; social security numbers.
    static const RE2 kNumber(
        R"(\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}\b)"
        R"(|\(\d{3}\) ?\d{3}[ .-]\d{4}\b|\b(?:1[ .-])?\d{3}[.-]\d{3}[.-]\d{4}\b)"
        R"(|\b\d{4}([ -]?)\d{4}[ -]?\d{4}[ -]?\d{4}\b|\b\d{3}-\d{2}-\d{4}\b)");
    const std::string_view text = facts.view.content;
    const Seen seen(facts.view);
    bool full = false;
    each_match(kNumber, text, [&](std::size_t begin, std::string_view number) {
      const std::string digits = digits_of(number);
      if (facts.prose().part_at(begin) == TextPart::kCode) return false;
      if (begin > 0 && (is_digit(text[begin - 1]) || text[begin - 1] == '/' ||
                        text[begin - 1] == '.' || text[begin - 1] == '-')) {
        return false;
      }
      const std::size_t end = begin + number.size();
      if (end + 1 < text.size() && (text[end] == '-' || text[end] == '.') &&
          is_digit(text[end + 1])) {
        return false;
      }
      if (!is_surrogate_number(digits) && is_fictional(number, digits)) return false;
      if (seen.digits(digits)) return false;
      const std::string_view before = words_before(text, begin);
      if (!matches_any(patterns_.number_context, before) ||
          matches_any(patterns_.organization_context, before)) {
        return false;
      }
      full = finds.add({EvidenceWhere::kAnswer, 0, begin, end});
      return full;
    });
    return full;
  }

  // Addresses of machines are examples nearly always; only one that is said to be somebody's
  // counts.
  void find_network_addresses(AnswerFacts& facts, Finds& finds) const {
    static const RE2 kAddress(R"(\b192\.0\.2\.\d{1,3}\b)");
    const Seen seen(facts.view);
    each_match(kAddress, facts.view.content, [&](std::size_t begin, std::string_view address) {
      if (facts.prose().part_at(begin) == TextPart::kCode || seen.text(address)) return false;
      if (!matches_any(patterns_.network_context, words_before(facts.view.content, begin))) {
        return false;
      }
      return finds.add({EvidenceWhere::kAnswer, 0, begin, begin + address.size()});
    });
  }

  static bool is_fictional(std::string_view number, const std::string& digits) {
    if (is_placeholder_number(digits)) return true;
    if (digits.size() == 16 && number[0] != '+') {
      // Test cards of payment providers, and what is no card number at all.
      return !passes_luhn(digits) || digits.starts_with("4242") || digits.starts_with("411111") ||
             digits.starts_with("555555") || digits.starts_with("400000");
    }
    if (digits.size() == 9) return digits.starts_with("000") || digits.starts_with("123");
    // 555 is the exchange of films; toll-free numbers belong to companies.
    const std::string local = digits.size() > 10 ? digits.substr(digits.size() - 10) : digits;
    const bool north_american = number[0] != '+' || digits.starts_with('1');
    return north_american &&
           (local.substr(3, 3) == "555" || local.starts_with("555") || local.starts_with("8") ||
            local.starts_with("123") || local.substr(3) == "1234567");
  }

  // The words that say whose it is stand before it.
  static std::string_view words_before(std::string_view text, std::size_t begin) {
    constexpr std::size_t kWordsBefore = 80;
    const std::size_t from = begin > kWordsBefore ? begin - kWordsBefore : 0;
    return text.substr(from, begin - from);
  }

  Patterns patterns_;
};

class LinkRule : public Rule {
 public:
  LinkRule(std::vector<Pattern> unless_host, std::vector<Pattern> unless_link)
      : unless_host_(std::move(unless_host)), unless_link_(std::move(unless_link)) {}

  void look(AnswerFacts& facts, Finds& finds) const override {
    const std::string_view text = facts.view.content;
    if (text.find("://") == std::string_view::npos && text.find("www.") == std::string_view::npos) {
      return;
    }
    static const RE2 kLink(
        R"((?i)(?:https?://|\bwww\.)[^\s<>"'`\]\[{}|\\^\x{2018}-\x{201D}\x{3000}-\x{9FFF}]+)");
    const Seen seen(facts.view);
    each_match(kLink, text, [&](std::size_t begin, std::string_view link) {
      if (facts.prose().part_at(begin) == TextPart::kCode) return false;
      link = without_punctuation(link);
      const std::string_view address = without_scheme(link);
      const std::string_view host = address.substr(0, address.find_first_of("/?#:"));
      if (host.find('.') == std::string_view::npos) return false;  // localhost, intranet names
      if (matches_any(unless_host_, host) || matches_any(unless_link_, link)) return false;
      // A link that is a placeholder goes on in brackets: "https://site.com/[your-id]".
      const std::size_t end = begin + link.size();
      if (end < text.size() && (text[end] == '[' || text[end] == '{' || text[end] == '<')) {
        return false;
      }
      if (seen.text(address)) return false;
      return finds.add({EvidenceWhere::kAnswer, 0, begin, end});
    });
  }

 private:
  // A closing parenthesis belongs to the link only when the link has the opening one.
  static std::string_view without_punctuation(std::string_view link) {
    while (!link.empty()) {
      const char last = link.back();
      const bool unpaired = last == ')' && std::count(link.begin(), link.end(), ')') >
                                               std::count(link.begin(), link.end(), '(');
      if (!unpaired && std::string_view(".,;:!?*_").find(last) == std::string_view::npos) break;
      link.remove_suffix(1);
    }
    return link;
  }

  static std::string_view without_scheme(std::string_view link) {
    if (const std::size_t scheme = link.find("://"); scheme != std::string_view::npos) {
      link.remove_prefix(scheme + 3);
    }
    if (link.size() > 4 && (link.starts_with("www.") || link.starts_with("WWW."))) {
      link.remove_prefix(4);
    }
    while (link.ends_with('/')) link.remove_suffix(1);
    return link;
  }

  std::vector<Pattern> unless_host_;
  std::vector<Pattern> unless_link_;
};

}  // namespace

Result<std::unique_ptr<Rule>> make_contact_rule(RuleReader& in) {
  ContactRule::Patterns patterns;
  UNDERSTUDY_TRY(patterns.placeholders, in.patterns("placeholders", false));
  UNDERSTUDY_TRY(patterns.role_mailboxes, in.patterns("role_mailboxes", false));
  UNDERSTUDY_TRY(patterns.organization_context, in.patterns("organization_context", false));
  UNDERSTUDY_TRY(patterns.number_context, in.patterns("number_context", true));
  UNDERSTUDY_TRY(patterns.network_context, in.patterns("network_context", true));
  UNDERSTUDY_TRY(patterns.unless_request, in.patterns("unless_request", false));
  return std::unique_ptr<Rule>(std::make_unique<ContactRule>(std::move(patterns)));
}

Result<std::unique_ptr<Rule>> make_link_rule(RuleReader& in) {
  UNDERSTUDY_TRY(std::vector<Pattern> hosts, in.patterns("unless_host", false));
  UNDERSTUDY_TRY(std::vector<Pattern> links, in.patterns("unless_link", false));
  return std::unique_ptr<Rule>(std::make_unique<LinkRule>(std::move(hosts), std::move(links)));
}

}  // namespace understudy
