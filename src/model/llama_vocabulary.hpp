#pragma once
// What an embedded model reads: messages as tokens, through the model's own chat template and
// vocabulary. The text of a message is never read as a marker: a log that contains `<|im_start|>`
// stays text. Thread rule: const functions may be called from any thread.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "model/prefix_slots.hpp"
#include "records/conversation.hpp"
#include "records/tokenizer.hpp"

struct llama_model;
struct llama_vocab;

namespace understudy {

inline constexpr std::size_t kRoleCount = 5;

class LlamaVocabulary final : public Tokenizer {
 public:
  /// Fails if the model has no chat template, or one that llama.cpp does not know. The model must
  /// outlive the vocabulary.
  [[nodiscard]] static Result<std::unique_ptr<LlamaVocabulary>> open(const llama_model* model,
                                                                     std::string identity);

  /// The whole prompt: messages, then the header of the answer. Fails (kInput) where the template
  /// cannot express the messages; the error holds no text of theirs.
  [[nodiscard]] Result<std::vector<LlamaToken>> prompt(const std::vector<Message>& messages) const;

  /// Tokens of plain text; markers in it are text.
  [[nodiscard]] std::vector<LlamaToken> tokens(std::string_view text) const;
  /// The bytes of a token; none for markers. They need not be whole code points.
  [[nodiscard]] std::string piece(LlamaToken token) const;

  [[nodiscard]] std::size_t message_tokens(const Message& message) const override;
  [[nodiscard]] std::size_t prompt_overhead_tokens() const override { return overhead_; }
  [[nodiscard]] std::string_view first_tokens(std::string_view text,
                                              std::size_t tokens_max) const override;
  [[nodiscard]] std::string identity() const override { return identity_; }

 private:
  /// A prompt in parts: markers as tokens, everything between two markers as one text.
  using Part = std::variant<LlamaToken, std::string>;

  LlamaVocabulary(const llama_model* model, std::string chat_template, std::string identity);
  [[nodiscard]] Result<void> learn_template();
  [[nodiscard]] Result<std::string> apply_template(const std::vector<std::string>& contents,
                                                   const std::vector<Role>& roles,
                                                   bool answer_header) const;
  [[nodiscard]] Result<std::vector<Part>> parts(const std::vector<Message>& messages,
                                                bool answer_header) const;
  void append_marked(std::string_view text, std::vector<Part>& parts) const;
  [[nodiscard]] std::vector<LlamaToken> tokens_of(const std::vector<Part>& parts) const;

  /// What the template makes of one message: its text with `before` and `after` is one text between
  /// markers.
  struct MessageFrame {
    std::size_t other_tokens = 0;
    std::string before;
    std::string after;
  };
  [[nodiscard]] Result<MessageFrame> frame_of(Role role) const;

  /// Calls f(word, tokens) for pieces of text that the vocabulary treats apart, until it says
  /// false.
  template <class F>
  void for_each_word(std::string_view text, F f) const;
  /// Puts words into `words_`, under the mutex. All but the first begin with a space.
  void learn(const std::vector<std::string_view>& words) const;
  [[nodiscard]] std::vector<LlamaToken> tokenize(std::string_view word) const;

  const llama_vocab* vocab_;
  std::string template_;
  std::string identity_;
  std::vector<std::pair<std::string, LlamaToken>> markers_;  ///< longest first
  bool has_words_ = false;  ///< a single space between other characters always begins a new word
  std::array<bool, kRoleCount> trims_{};  ///< by Role: the template trims text
  std::array<std::optional<MessageFrame>, kRoleCount> frames_;  ///< by Role; empty: it has no words
  std::size_t overhead_ = 0;

  struct WordHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view word) const {
      return std::hash<std::string_view>{}(word);
    }
  };
  /// llama.cpp splits text by regular expressions that it compiles anew for every call; remembering
  /// words makes counting the tokens of a whole log many times as fast.
  mutable std::mutex words_mutex_;
  mutable std::unordered_map<std::string, std::vector<LlamaToken>, WordHash, std::equal_to<>>
      words_;
  mutable std::size_t words_bytes_ = 0;
  std::vector<std::size_t> piece_sizes_;  ///< bytes, by token
};

}  // namespace understudy
