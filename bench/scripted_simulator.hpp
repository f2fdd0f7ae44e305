#pragma once
// A simulator model without a model: it reads the prompt of environment/simulated_tool.hpp as a
// model would, copies what was recorded for the same call, follows what the session has said,
// adapts the most similar call, or fills the described shape. Now and then it errs as models do. A
// function of the prompt and the seed alone.

#include <cstdint>
#include <string>
#include <vector>

#include "environment/tool_world.hpp"

namespace understudy {

struct ScriptedErrors {
  double fenced = 0.05;     ///< puts a code fence around its answer
  double refuses = 0.02;    ///< "I'm sorry, …", on the first attempt
  double asks = 0.02;       ///< asks the user, on the first attempt
  double misshapen = 0.05;  ///< leaves out a key or says it in words, on the first attempt
};

[[nodiscard]] std::string scripted_answer(const SimulatorQuestion& question,
                                          const ScriptedErrors& errors = {});

}  // namespace understudy
