#pragma once
// The examples of a behavior file, put to the model or program that grades it: `behaviors test`.

#include <string>
#include <vector>

#include "engine/model_loop.hpp"
#include "grading/behavior_text.hpp"

namespace understudy {

/// `role`: grader_question.hpp. Answers that have the wrong form are asked for again, as in a
/// study.
[[nodiscard]] Result<std::vector<ExampleOutcome>> run_examples(const Behavior& behavior,
                                                               const std::string& role,
                                                               ChatModel& model, Clock& clock,
                                                               const StopRequest& stop);

}  // namespace understudy
