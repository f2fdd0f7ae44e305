#pragma once
// What the results of one tool look like, learned from the logs: which kind of JSON stands where,
// which keys objects always have and which they ever have, or plain text. A result that was made up
// is held against it.
//
// An object whose keys are data (a price by product id) has values of one shape and any keys.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.hpp"

namespace understudy {

class ResultShape {
 public:
  ResultShape();
  ~ResultShape();
  ResultShape(ResultShape&&) noexcept;
  ResultShape& operator=(ResultShape&&) noexcept;

  /// A result as logged; leave out those that were cut off in the middle.
  void learn(std::string_view result);

  /// What is wrong with a result, in words for whoever made it up; nothing where it could be one of
  /// this tool's. Errors are judged by whether the tool was ever seen to fail.
  [[nodiscard]] std::optional<std::string> fault(std::string_view result) const;

  /// In a line: {"id": string, "price": number or null, …}; "plain text".
  [[nodiscard]] std::string described() const;

  [[nodiscard]] std::uint64_t results() const { return results_; }  ///< learned, errors aside
  [[nodiscard]] std::uint64_t errors() const { return errors_; }

 private:
  enum Kind : std::uint8_t { kObject, kArray, kString, kNumber, kBoolean, kNull, kKinds };
  struct Place;
  static void learn_value(Place& place, const Json& value);
  static void merge(Place& into, const Place& from);
  static bool keys_are_data(const Place& place);
  static Place any_member(const Place& place);
  static std::optional<std::string> fault_at(const Place& place, const Json& value,
                                             const std::string& path);
  static std::optional<std::string> members_fault(const Place& place, const Json& value,
                                                  const std::string& path);
  static void describe(const Place& place, int depth, std::string& out);
  static Kind kind_of(const Json& value);
  static std::string kinds_text(const Place& place);

  std::unique_ptr<Place> top_;
  std::uint64_t texts_ = 0;
  std::uint64_t empty_ = 0;
  std::uint64_t results_ = 0;
  std::uint64_t errors_ = 0;
};

}  // namespace understudy
