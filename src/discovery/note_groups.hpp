#pragma once
// Notes of one line each, put together where they say about the same in about the same words.
// Input: descriptions, from a model and therefore hostile; output: every note in exactly one group.
// Deterministic, and whatever the order of the notes. Who the notes are of is not known here, so
// that groups can be tested for a difference on the notes that made them.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace understudy {

struct NoteGroup {
  /// Up to three words that these notes have and others have not, the most telling first. Words of
  /// the notes: letters, digits and bytes of UTF-8 alone.
  std::vector<std::string> terms;
  std::vector<std::size_t> notes;  ///< indices of the input, the most typical first
};

/// The largest group first. Words count by their first five characters, and those that a
/// description of any answer has don't; a note joins the group whose words it is nearest to (cosine
/// of at least 0.4), else it begins one. O(notes × groups).
[[nodiscard]] std::vector<NoteGroup> group_notes(std::span<const std::string> descriptions);

}  // namespace understudy
