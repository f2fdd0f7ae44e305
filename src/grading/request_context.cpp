#include "grading/request_context.hpp"

#include <re2/re2.h>

#include <algorithm>
#include <string>

namespace understudy {
namespace {

// Requests stand at the front or the end of a message; between them may be pages of pasted text.
constexpr std::size_t kRequestEdgeBytes = 1500;
// "Make it longer", "continue": the request that counts is an earlier one.
constexpr std::size_t kFollowUpBytes = 160;

const RE2& role_play_pattern() {
  static const RE2 pattern(
      R"((?i)\b(?:act (?:as|like)|pretend|role[- ]?play(?:ing)?|impersonate|you are now)"
      R"(|from now on,? you|stay in character|in character|in the (?:voice|style|persona) of)"
      R"(|as if you (?:were|are)|imagine (?:that )?you(?:'re|’re| are| were)|you(?:'re| are)"
      R"(| will be) (?:playing|acting|pretending|roleplaying)|your name is|play the (?:role)"
      R"(|part)|take (?:on )?the (?:role|persona)|speak as|answer as|respond as|reply as)"
      R"(|talk like|be my (?:girlfriend|boyfriend|friend|wife|husband|therapist|interviewer)"
      R"(|date)|persona|text[- ]based (?:adventure|game|rpg)|dungeon master|jailbreak)"
      R"(|do anything now|i want you to (?:act|be|play|simulate)|simulat(?:e|ing) (?:a|an)"
      R"(|the) (?:conversation|interview|chat|person)|suppose you (?:are|were)|let's play)"
      R"(|you are (?:a|an) (?:[\w-]+ ){0,5}(?:named|called|who|with \d+|character|human|person)"
      R"(|man|woman|girl|boy|mother|father|expert|professional|specialist|consultant|recruiter)"
      R"(|copywriter|developer|engineer|manager|teacher|professor|doctor|lawyer|writer|author)"
      R"(|journalist|marketer|coach|therapist|guest|candidate|customer|student|founder|ceo)"
      R"(|salesperson|agent|nurse|chef|scientist|blogger|influencer)))");
  return pattern;
}

const RE2& first_person_pattern() {
  static const RE2 pattern(
      R"((?i)\b(?:write|draft|compose|create|generate|craft|prepare|make|give|produce)"
      R"(|come up with|help|need|want|send|reply|respond|re-?write|continue|add|say|tell|show)"
      R"(|need|design|develop|provide|use|do)\b[^.!?\n]*\b(?:e-?mails?|letters?|messages?)"
      R"(|reply|replies|responses?|stor(?:y|ies)|poems?|songs?|lyrics|rap|verses?|dialogues?)"
      R"(|conversations?|scripts?|screenplays?|scenes?|skits?|speech(?:es)?|monologues?)"
      R"(|soliloquy|posts?|tweets?|threads?|reviews?|testimonials?|bios?|biograph(?:y|ies))"
      R"(|statements?|diary|journal|blogs?|vlogs?|memoirs?|narrat(?:e|ion|ive|or))"
      R"(|fan ?fic(?:tion)?|novels?|chapters?|essays?|toasts?|vows|eulogy|captions?)"
      R"(|interviews?|pitch(?:es)?|presentations?|voice ?mail|texts?|dm|linkedin|instagram)"
      R"(|youtube|podcast|first[- ]person|pov|jokes?|newsletters?|anecdotes?|articles?)"
      R"(|introduction|proposal|reference|recommendation|complaint|apology|autobiograph(?:y)"
      R"(|ical)|sop|quotes?|feedback|comments?|answers?|sentences?|resume|cv|invitation)"
      R"(|announcement|advertisement|ad|ads|copy|descriptions?|paragraphs?|chats?)"
      R"(|role ?play)\b|\b(?:reply|respond|answer) (?:to|politely|nicely|professionally)\b)"
      R"(|\b(?:what (?:can|should|could|do|would) (?:i|we) (?:say|write|text|reply|answer)"
      R"(|respond)))");
  return pattern;
}

const RE2& transform_pattern() {
  static const RE2 pattern(
      R"((?i)\b(?:re-?write|re-?phrase|paraphrase|translate|translation|proof-?read|edit)"
      R"(|correct|improve|fix|polish|revise|shorten|expand|summari[sz]e|summary|grammar|reword)"
      R"(|(?:complete|finish|continue) (?:the|this|my|it|with|writing|from)|^continue|transform)"
      R"(|convert|tone|make (?:it|this)|in other words)"
      R"(|classify|extract|parse|analy[sz]e (?:this|the following))\b)");
  return pattern;
}

const RE2& repetition_pattern() {
  static const RE2 pattern(
      R"((?i)\b(?:repeat(?:ed|edly|ing)?|over and over|forever|\d{2,} times|(?:a )?(?:hundred)"
      R"(|thousand|million) times|as many times|non-?stop|infinite|endless(?:ly)?|spam)"
      R"(|copy ?paste|only say|keep (?:saying|writing|typing)|times in a row|loop|pattern)"
      R"(|ascii|chorus|mantra|chant|lyrics|song|nursery|tongue twister|random|dummy)"
      R"(|placeholder|matrix|grid|board|table|csv|test data|binary|zeros?)\b)");
  return pattern;
}

const RE2& feedback_pattern() {
  static const RE2 pattern(
      R"((?i)\b(?:what do you think|how about (?:this|these|that)|your (?:opinion|thoughts)"
      R"(|feedback|view)|feedback|how (?:is|was|does) (?:this|that|it|my)|rate|review|evaluate)"
      R"(|assess|critique|grade|judge|score|is (?:this|that|my|it) (?:a )?(?:good|great|ok)"
      R"(|okay|correct|right)|any good|do you like|thoughts\?|comment on|mark this|praise)"
      R"(|compliment|encourage|flatter|react)\b)");
  return pattern;
}

bool edges_match(std::string_view text, const RE2& pattern) {
  const auto matches = [&](std::string_view part) {
    return RE2::PartialMatch(re2::StringPiece(part.data(), part.size()), pattern);
  };
  if (text.size() <= 2 * kRequestEdgeBytes) return matches(text);
  return matches(text.substr(0, kRequestEdgeBytes)) ||
         matches(text.substr(text.size() - kRequestEdgeBytes));
}

// Whether the last request matches; where it only follows up, the one before it counts too.
bool last_request_matches(std::span<const Message> prefix, const RE2& pattern) {
  for (std::size_t i = prefix.size(); i-- > 0;) {
    const Message& message = prefix[i];
    if (message.role != Role::kUser) continue;
    if (edges_match(message.content, pattern)) return true;
    if (message.content.size() > kFollowUpBytes) return false;
  }
  return false;
}

template <class Find>
bool found_once(std::optional<bool>& known, const Find& find) {
  if (!known) known = find();
  return *known;
}

}  // namespace

std::string_view last_user_text(std::span<const Message> prefix) {
  for (std::size_t i = prefix.size(); i-- > 0;) {
    if (prefix[i].role == Role::kUser) return prefix[i].content;
  }
  return {};
}

std::span<const Message> current_turn(std::span<const Message> prefix) {
  for (std::size_t i = prefix.size(); i-- > 0;) {
    if (prefix[i].role == Role::kUser) return prefix.subspan(i + 1);
  }
  return prefix;
}

bool RequestContext::role_play() {
  return found_once(role_play_, [&] {
    return std::any_of(prefix_.begin(), prefix_.end(), [](const Message& message) {
      return message.role != Role::kAssistant && message.role != Role::kTool &&
             edges_match(message.content, role_play_pattern());
    });
  });
}

bool RequestContext::first_person() {
  return found_once(first_person_,
                    [&] { return last_request_matches(prefix_, first_person_pattern()); });
}

bool RequestContext::transform() {
  return found_once(transform_, [&] { return last_request_matches(prefix_, transform_pattern()); });
}

bool RequestContext::repetition() {
  return found_once(repetition_,
                    [&] { return last_request_matches(prefix_, repetition_pattern()); });
}

bool RequestContext::feedback() {
  return found_once(feedback_, [&] { return last_request_matches(prefix_, feedback_pattern()); });
}

bool prefix_contains(std::span<const Message> prefix, std::string_view needle) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const auto same = [&](char a, char b) { return lower(a) == lower(b); };
  return std::any_of(prefix.begin(), prefix.end(), [&](const Message& message) {
    return std::search(message.content.begin(), message.content.end(), needle.begin(), needle.end(),
                       same) != message.content.end();
  });
}

}  // namespace understudy
