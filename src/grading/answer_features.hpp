#pragma once
// Features of an answer: small named properties that code can see, such as a phrase of up to three
// words, the shape of a tool call's argument, how lines begin, the language. Discovery counts them
// to find what differs between two models; the rule kind `features` grades by the same ones, so a
// finding becomes a behavior file without translation.
//
// A feature depends on the answer within the window and on the prefix alone, never on what only one
// arm knows (finish reasons, usage). Input is an AnswerView of valid UTF-8; output is each feature
// once, in the order of the text. Deterministic. Text beyond kFeatureBytesMax is not looked at.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "grading/answer_view.hpp"

namespace understudy {

inline constexpr std::size_t kFeatureBytesMax = 32 * 1024;

/// In the order in which a person would rather read them, where several say the same.
enum class FeatureKind : std::uint8_t {
  kCall,      ///< which tools are called, how often, after what
  kArgument,  ///< fields, shapes and words of a call's arguments
  kConduct,   ///< refuses, repeats itself, asks back
  kLanguage,  ///< the answer's language, and a change from the user's
  kWords,     ///< one to three words in a row, in lower case, numbers as N
  kOpening,   ///< the first one to three words
  kClosing,   ///< the last ones
  kShape,     ///< arithmetic: N * N
  kFormat,    ///< headings, lists, code, bold, tables …
  kLine,      ///< how lines begin and end
  kMarks,     ///< runs of punctuation
  kLength,    ///< words, in powers of two
  kCluster,   ///< of embeddings: discovery knows them, no answer alone has one
};

struct Feature {
  std::uint64_t hash = 0;  ///< of kind and text
  FeatureKind kind = FeatureKind::kWords;
  std::string_view text;  ///< tokens with one space between
};

/// "words: great catch". The text may come from an answer: escape it where it is shown.
[[nodiscard]] std::string feature_name(FeatureKind kind, std::string_view text);
/// The hash of the feature that the name is of; nothing where there is no such kind.
[[nodiscard]] Result<std::uint64_t> feature_of_name(std::string_view name);

class FeatureExtractor {
 public:
  FeatureExtractor();
  ~FeatureExtractor();
  FeatureExtractor(FeatureExtractor&&) noexcept;
  FeatureExtractor& operator=(FeatureExtractor&&) noexcept;

  /// What is given is valid until the next call.
  [[nodiscard]] std::span<const Feature> extract(const AnswerView& answer);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace understudy
