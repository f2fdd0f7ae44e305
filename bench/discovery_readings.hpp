#pragma once
// What readers say of findings who know neither which answers have a feature nor which model an
// answer is of. Each finding has a statement that an answer bears out or not (discovery_notes.md).
// A sheet holds a contrast's answers in the order of a hash; a reader marks every statement on
// every answer (discovery_readings.csv). Texts stay where they are: only hashes and marks are kept.

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace understudy {

struct ReadFinding {
  std::string finding;
  std::string statement;
  std::string note;  ///< what reading ten typical answers said
};

struct SheetItem {
  std::string id;
  std::string asked;
  std::string answer;
};

class Readings {
 public:
  /// Of the contrast with this key; without findings where nothing was read.
  explicit Readings(const std::string& key);

  [[nodiscard]] const ReadFinding* find(const std::string& finding) const;
  [[nodiscard]] std::size_t readers() const { return readers_.size(); }

  struct Count {
    std::uint64_t yes = 0;
    std::uint64_t marked = 0;
  };
  /// Of the answers that this reader marked, inside `items` or outside.
  [[nodiscard]] Count count(std::size_t reader, const ReadFinding& finding,
                            const std::set<std::string>& items, bool inside) const;
  /// Marks of the first two readers on the same answers.
  [[nodiscard]] std::vector<std::pair<int, int>> both(const ReadFinding& finding) const;

  /// DIRECTORY/KEY.md, for a reader. False where it cannot be written.
  [[nodiscard]] bool write_sheet(const std::string& directory, std::vector<SheetItem> items) const;

 private:
  using Marks = std::vector<std::pair<std::string, std::string>>;  // item, a character a statement
  [[nodiscard]] std::size_t place(const ReadFinding& finding) const;

  std::string key_;
  std::vector<ReadFinding> findings_;
  std::vector<std::pair<std::string, Marks>> readers_;  // by name
};

}  // namespace understudy
