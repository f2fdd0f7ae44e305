#pragma once
// What a study knows of the recall of its screens: DIR/recall.csv (the format of --recall, with an
// optional `version` of the grader), known cases that were put to them, and finds among the stored
// answers.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/known_cases.hpp"
#include "engine/study.hpp"
#include "engine/verification.hpp"
#include "estimate/rates.hpp"
#include "grading/labels.hpp"

namespace understudy {

struct StudyRecall {
  std::map<std::string, std::vector<RecallChannel>> by_behavior;  ///< channels in canonical order
  std::string identity;  ///< over the files beside the study, for the manifest; empty without any
};

/// Where the finds among the known cases stand: packed keys by content id; none where no stored
/// answer has it.
using FindPlaces = std::map<std::uint64_t, std::vector<std::int64_t>>;
[[nodiscard]] Result<FindPlaces> locate_finds(StudyStore& store, const StudyUnits& units,
                                              const KnownCases& known);

/// Needs the screens' verdicts. Of the known cases only those count that the screen called present
/// or absent; a find that labels call absent is none.
[[nodiscard]] Result<StudyRecall> study_recall(Study& study, const std::vector<Behavior>& behaviors,
                                               const Labels& labels);

}  // namespace understudy
