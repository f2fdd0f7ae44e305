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
  for (LlamaToken token = 0; token < count; ++token) {
    if (!llama_vocab_is_control(vocab_, token)) continue;
    const std::string text = llama_vocab_get_text(vocab_, token);
    if (!text.empty()) markers_.emplace_back(text, token);
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
  Message message;
  message.content = "a";
  UNDERSTUDY_TRY(const auto with_header, parts({message}, true));
  overhead_ = tokens_of(with_header).size() - message_tokens(message);
  return {};
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

std::vector<LlamaToken> LlamaVocabulary::tokens(std::string_view text) const {
  std::vector<LlamaToken> found(text.size() / 3 + 16);
  for (;;) {
    const std::int32_t count =
        llama_tokenize(vocab_, text.data(), static_cast<std::int32_t>(text.size()), found.data(),
                       static_cast<std::int32_t>(found.size()), /*add_special=*/false,
                       /*parse_special=*/false);
    if (count >= 0) {
      found.resize(static_cast<std::size_t>(count));
      return found;
    }
    UNDERSTUDY_ASSERT(-count > static_cast<std::int32_t>(found.size()));
    found.resize(static_cast<std::size_t>(-count));
  }
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
  const auto alone = parts({message}, false);
  // A template without words for this role: the prompt will fail, whatever is counted here.
  if (!alone) return tokens(message.content).size();
  const std::size_t count = tokens_of(*alone).size();
  return llama_vocab_get_add_bos(vocab_) ? count - 1 : count;
}

std::string_view LlamaVocabulary::first_tokens(std::string_view text,
                                               std::size_t tokens_max) const {
  // No token is shorter than a byte, so a short text needs no look; and of a long one only its
  // beginning, which is cut where a word ends: there the vocabulary's words begin anew.
  if (text.size() <= tokens_max) return text;
  for (std::size_t size = 8 * tokens_max + 64;; size *= 4) {
    std::string_view beginning = utf8_prefix(text, size);
    if (beginning.size() < text.size()) {
      const std::size_t space = beginning.find_last_of(' ');
      if (space != std::string_view::npos) beginning = beginning.substr(0, space);
    }
    const std::vector<LlamaToken> found = tokens(beginning);
    if (found.size() <= tokens_max) {
      if (beginning.size() == text.size()) return text;
      if (size < text.size()) continue;
    }
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < std::min(tokens_max, found.size()); ++i) {
      bytes += piece(found[i]).size();
    }
    // Some vocabularies put a space before the first word.
    const bool added_space =
        !found.empty() && bytes > 0 && text.front() != ' ' && piece(found.front()).starts_with(' ');
    return utf8_prefix(text, bytes - (added_space ? 1 : 0));
  }
}

}  // namespace understudy
#endif
