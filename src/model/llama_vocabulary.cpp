#ifdef UNDERSTUDY_HAS_LLAMA
#include "model/llama_vocabulary.hpp"

#include <llama.h>

#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace understudy {
namespace {

// Stands for a message's text while llama.cpp applies the template. Control characters that no
// template has.
constexpr char kStandInBegin = '\x1e';
constexpr char kStandInEnd = '\x1f';

constexpr std::size_t kWordsAtOnce = 256;
constexpr std::size_t kWordBytes = 128;  ///< that a word takes besides its letters, about
constexpr std::size_t kWordsBytesMax = 64U << 20U;

std::string stand_in(std::size_t index) {
  return kStandInBegin + std::to_string(index) + kStandInEnd;
}

/// Developer messages are what newer services call system messages; older templates know only
/// these.
std::string_view template_role(Role role) {
  return role_name(role == Role::kDeveloper ? Role::kSystem : role);
}

void append_text(std::string_view text, std::vector<std::variant<LlamaToken, std::string>>& parts) {
  if (text.empty()) return;
  if (!parts.empty() && std::holds_alternative<std::string>(parts.back())) {
    std::get<std::string>(parts.back()) += text;
  } else {
    parts.emplace_back(std::string(text));
  }
}

}  // namespace

LlamaVocabulary::LlamaVocabulary(const llama_model* model, std::string chat_template,
                                 std::string identity)
    : vocab_(llama_model_get_vocab(model)),
      template_(std::move(chat_template)),
      identity_(std::move(identity)) {
  const std::int32_t count = llama_vocab_n_tokens(vocab_);
  // Byte-pair vocabularies split text into words first, and in all of them a word may begin with a
  // space but hold none; only tokens that were added by hand may.
  has_words_ = llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_BPE;
  for (LlamaToken token = 0; token < count; ++token) {
    const std::string text = llama_vocab_get_text(vocab_, token);
    const llama_token_attr attributes = llama_vocab_get_attr(vocab_, token);
    if ((attributes & LLAMA_TOKEN_ATTR_USER_DEFINED) != 0 && text.find(' ') != std::string::npos) {
      has_words_ = false;
    }
    if (llama_vocab_is_control(vocab_, token) && !text.empty()) markers_.emplace_back(text, token);
    piece_sizes_.push_back(piece(token).size());
  }
  std::sort(markers_.begin(), markers_.end(), [](const auto& a, const auto& b) {
    return std::pair(b.first.size(), a.first) < std::pair(a.first.size(), b.first);
  });
}

Result<std::unique_ptr<LlamaVocabulary>> LlamaVocabulary::open(const llama_model* model,
                                                               std::string identity) {
  const char* chat_template = llama_model_chat_template(model, nullptr);
  if (chat_template == nullptr) {
    return unexpected(ErrorCode::kUsage,
                      "the model file has no chat template: it is a base model, or was converted "
                      "without one; take a file of a chat model");
  }
  std::unique_ptr<LlamaVocabulary> vocabulary(
      new LlamaVocabulary(model, chat_template, std::move(identity)));
  UNDERSTUDY_CHECK(vocabulary->learn_template());
  return vocabulary;
}

Result<void> LlamaVocabulary::learn_template() {
  const auto probe = apply_template({stand_in(0)}, {Role::kUser}, true);
  if (!probe) return unexpected(probe.error());
  // A template that trims messages does so to our stand-in too; then we trim, in its place.
  for (const Role role : {Role::kSystem, Role::kUser, Role::kAssistant}) {
    const std::string padded = "  " + stand_in(0) + "  ";
    const auto applied = apply_template({padded}, {role}, false);
    trims_[static_cast<std::size_t>(role)] = applied && applied->find(padded) == std::string::npos;
  }
  for (std::size_t role = 0; role < kRoleCount; ++role) {
    auto frame = frame_of(static_cast<Role>(role));
    if (frame) frames_[role] = std::move(*frame);
  }
  Message message;
  message.content = "a";
  UNDERSTUDY_TRY(const auto with_header, parts({message}, true));
  overhead_ = tokens_of(with_header).size() - message_tokens(message);
  return {};
}

Result<LlamaVocabulary::MessageFrame> LlamaVocabulary::frame_of(Role role) const {
  Message message;
  message.role = role;
  message.content = std::string(1, kStandInBegin);
  UNDERSTUDY_TRY(const auto all, parts({message}, false));
  MessageFrame frame;
  for (const Part& part : all) {
    const auto* text = std::get_if<std::string>(&part);
    const std::size_t at = text == nullptr ? std::string::npos : text->find(kStandInBegin);
    if (at == std::string::npos) {
      frame.other_tokens += tokens_of({part}).size();
    } else {
      frame.before = text->substr(0, at);
      frame.after = text->substr(at + 1);
    }
  }
  // Only a prompt begins with the token for the beginning, not each of its messages.
  if (llama_vocab_get_add_bos(vocab_)) --frame.other_tokens;
  return frame;
}

Result<std::string> LlamaVocabulary::apply_template(const std::vector<std::string>& contents,
                                                    const std::vector<Role>& roles,
                                                    bool answer_header) const {
  std::vector<std::string> names;
  std::vector<llama_chat_message> chat;
  names.reserve(roles.size());
  for (std::size_t i = 0; i < roles.size(); ++i) {
    names.emplace_back(template_role(roles[i]));
    chat.push_back({names.back().c_str(), contents[i].c_str()});
  }
  std::string text(256 + 128 * chat.size(), '\0');
  for (int attempt = 0; attempt < 2; ++attempt) {
    const std::int32_t size =
        llama_chat_apply_template(template_.c_str(), chat.data(), chat.size(), answer_header,
                                  text.data(), static_cast<std::int32_t>(text.size()));
    if (size < 0) {
      return unexpected(ErrorCode::kUsage,
                        "llama.cpp does not know this model's chat template (it has a list of "
                        "known ones and runs no template code); take another model, or serve this "
                        "one over HTTP and name it openai-api/…");
    }
    const bool fits = static_cast<std::size_t>(size) <= text.size();
    text.resize(static_cast<std::size_t>(size));
    if (fits) return text;
  }
  return unexpected(ErrorCode::kUsage, "llama.cpp gave two sizes for one prompt");
}

/// Splits template text into marker tokens and plain text.
void LlamaVocabulary::append_marked(std::string_view text, std::vector<Part>& parts) const {
  while (!text.empty()) {
    std::size_t begin = std::string_view::npos;
    const std::pair<std::string, LlamaToken>* first = nullptr;
    for (const auto& marker : markers_) {  // the earliest; of those the longest
      const std::size_t at = text.find(marker.first);
      if (at < begin) {
        begin = at;
        first = &marker;
      }
    }
    append_text(text.substr(0, begin), parts);
    if (first == nullptr) return;
    parts.emplace_back(first->second);
    text.remove_prefix(begin + first->first.size());
  }
}

Result<std::vector<LlamaVocabulary::Part>> LlamaVocabulary::parts(
    const std::vector<Message>& messages, bool answer_header) const {
  std::vector<std::string> contents;
  std::vector<Role> roles;
  for (const Message& message : messages) {
    contents.push_back(stand_in(contents.size()));
    roles.push_back(message.role);
  }
  UNDERSTUDY_TRY(const std::string applied, apply_template(contents, roles, answer_header));

  std::vector<Part> parts;
  if (llama_vocab_get_add_bos(vocab_)) parts.emplace_back(llama_vocab_bos(vocab_));
  std::string_view rest = applied;
  std::size_t used = 0;
  for (;;) {
    const std::size_t begin = rest.find(kStandInBegin);
    append_marked(rest.substr(0, begin), parts);
    if (begin == std::string_view::npos) break;
    const std::size_t end = rest.find(kStandInEnd, begin);
    UNDERSTUDY_ASSERT(end != std::string_view::npos);
    const auto index =
        static_cast<std::size_t>(std::stoul(std::string(rest.substr(begin + 1, end - begin - 1))));
    const Message& message = messages.at(index);
    const bool trim = trims_[static_cast<std::size_t>(message.role)];
    append_text(trim ? trimmed(message.content) : std::string_view(message.content), parts);
    ++used;
    rest.remove_prefix(end + 1);
  }
  if (used != messages.size()) {
    return unexpected(ErrorCode::kInput,
                      "the model's chat template leaves out messages of a role it does not know");
  }
  // Some templates write the marker for the beginning themselves.
  if (parts.size() > 1 && parts[0] == parts[1]) parts.erase(parts.begin());
  return parts;
}

std::vector<LlamaToken> LlamaVocabulary::tokens_of(const std::vector<Part>& parts) const {
  std::vector<LlamaToken> all;
  for (const Part& part : parts) {
    if (const auto* token = std::get_if<LlamaToken>(&part)) {
      all.push_back(*token);
    } else {
      const std::vector<LlamaToken> text = tokens(std::get<std::string>(part));
      all.insert(all.end(), text.begin(), text.end());
    }
  }
  return all;
}

Result<std::vector<LlamaToken>> LlamaVocabulary::prompt(
    const std::vector<Message>& messages) const {
  UNDERSTUDY_TRY(const auto all, parts(messages, true));
  return tokens_of(all);
}

std::vector<LlamaToken> LlamaVocabulary::tokenize(std::string_view word) const {
  std::vector<LlamaToken> found(word.size() + 8);
  const std::int32_t count =
      llama_tokenize(vocab_, word.data(), static_cast<std::int32_t>(word.size()), found.data(),
                     static_cast<std::int32_t>(found.size()), /*add_special=*/false,
                     /*parse_special=*/false);
  UNDERSTUDY_ASSERT(count >= 0);  // a token is at least a byte, but for a space before it all
  found.resize(static_cast<std::size_t>(count));
  return found;
}

void LlamaVocabulary::learn(const std::vector<std::string_view>& words) const {
  if (words_bytes_ > kWordsBytesMax) {
    words_.clear();
    words_bytes_ = 0;
  }
  std::string unknown;
  std::vector<std::pair<std::string_view, std::vector<LlamaToken>*>> places;
  for (const std::string_view word : words) {
    if (words_.contains(word)) continue;
    places.emplace_back(word, &words_[std::string(word)]);
    unknown += word;
    words_bytes_ += kWordBytes + word.size();
  }
  // They are words in one text too, so one call does for all, and the sizes of the tokens tell
  // whose they are.
  const std::vector<LlamaToken> found = tokenize(unknown);
  std::size_t next = 0;
  for (auto& [word, tokens] : places) {
    std::size_t bytes = 0;
    while (bytes < word.size() && next < found.size()) {
      bytes += piece_sizes_[static_cast<std::size_t>(found[next])];
      tokens->push_back(found[next++]);
    }
    if (bytes == word.size()) continue;
    for (auto& [each, place] : places) *place = tokenize(each);
    return;
  }
}

template <class F>
void LlamaVocabulary::for_each_word(std::string_view text, F f) const {
  if (text.empty()) return;
  if (!has_words_) {
    f(text, tokenize(text));
    return;
  }
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  const std::lock_guard lock(words_mutex_);
  std::vector<std::string_view> words;
  for (std::size_t begin = 0; begin < text.size();) {
    words.clear();
    while (begin < text.size() && words.size() < kWordsAtOnce) {
      std::size_t end = begin + 1;
      while (end < text.size() && !(text[end] == ' ' && end + 1 < text.size() &&
                                    !is_space(text[end - 1]) && !is_space(text[end + 1]))) {
        ++end;
      }
      words.push_back(text.substr(begin, end - begin));
      begin = end;
    }
    learn(words);
    for (const std::string_view word : words) {
      if (!f(word, words_.find(word)->second)) return;
    }
  }
}

std::vector<LlamaToken> LlamaVocabulary::tokens(std::string_view text) const {
  std::vector<LlamaToken> all;
  for_each_word(text, [&](std::string_view, const std::vector<LlamaToken>& word) {
    all.insert(all.end(), word.begin(), word.end());
    return true;
  });
  return all;
}

std::string LlamaVocabulary::piece(LlamaToken token) const {
  std::string bytes(64, '\0');
  for (;;) {
    const std::int32_t size =
        llama_token_to_piece(vocab_, token, bytes.data(), static_cast<std::int32_t>(bytes.size()),
                             /*lstrip=*/0, /*special=*/false);
    if (size >= 0) {
      bytes.resize(static_cast<std::size_t>(size));
      return bytes;
    }
    bytes.resize(static_cast<std::size_t>(-size));
  }
}

std::size_t LlamaVocabulary::message_tokens(const Message& message) const {
  const auto role = static_cast<std::size_t>(message.role);
  const std::string_view content =
      trims_[role] ? trimmed(message.content) : std::string_view(message.content);
  std::size_t count = 0;
  const auto add = [&](std::string_view, const std::vector<LlamaToken>& word) {
    count += word.size();
    return true;
  };
  if (!frames_[role]) {
    // A role that the template has no words for: the prompt will fail, whatever is counted here.
    for_each_word(content, add);
    return count;
  }
  const MessageFrame& frame = *frames_[role];
  for_each_word(frame.before + std::string(content) + frame.after, add);
  return frame.other_tokens + count;
}

std::string_view LlamaVocabulary::first_tokens(std::string_view text,
                                               std::size_t tokens_max) const {
  if (text.size() <= tokens_max) return text;  // no token is shorter than a byte
  std::size_t left = tokens_max;
  std::size_t bytes = 0;
  for_each_word(text, [&](std::string_view word, const std::vector<LlamaToken>& tokens) {
    if (tokens.size() <= left) {
      left -= tokens.size();
      bytes += word.size();
      return true;
    }
    std::size_t within = 0;
    for (std::size_t i = 0; i < left; ++i) within += piece(tokens[i]).size();
    // Some vocabularies put a space before the first word.
    const bool added = within > 0 && word.front() != ' ' && piece(tokens[0]).starts_with(' ');
    bytes += within - (added ? 1 : 0);
    return false;
  });
  return utf8_prefix(text, bytes);
}

}  // namespace understudy
#endif
