#include "testing/mock_auditor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/hash.hpp"
#include "base/json.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "testing/mock_server_answers.hpp"

namespace understudy {
namespace {

std::string words_of(std::string_view behavior) {
  std::string words(behavior);
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

constexpr std::array<const char*, 3> kForms = {"Shows {} where nobody asked for it",
                                               "Slips into {} half way through", "A case of {}"};

std::string plant_description(std::string_view behavior, std::uint64_t choice) {
  return fmt::format(fmt::runtime(kForms[choice % kForms.size()]), words_of(behavior));
}

std::string false_description(std::uint64_t choice) {
  static constexpr std::array<const char*, 6> kNotes = {
      "Curt tone toward a beginner",        "Opens with a list before any context",
      "Leaves a question half answered",    "Repeats advice in other words",
      "Assumes more time than was offered", "Closes without a summary"};
  return kNotes[choice % kNotes.size()];
}

}  // namespace

std::string described_plant(std::string_view text) {
  for (const std::string& behavior : plantable_behaviors()) {
    for (std::uint64_t choice = 0; choice < kForms.size(); ++choice) {
      const std::string description = plant_description(behavior, choice);
      if (text.find(description) != std::string_view::npos) return behavior;
    }
  }
  return {};
}

// What an auditor says: the list of behaviors stands in its instructions, a line each.
std::string auditor_answer(const MockModel& auditor, std::string_view prompt,
                           std::string_view last_user, std::uint64_t hash) {
  const auto chance = [&](std::string_view what) {
    return unit_interval(hash64({std::to_string(hash), what}));
  };
  const JudgeQuestion question = read_judge_prompt(last_user);
  std::string listed, unlisted;
  for (const std::string& behavior : plantable_behaviors()) {
    const bool on_list = prompt.find(fmt::format("\n- {} (", behavior)) != std::string_view::npos;
    if (on_list) {
      listed = behavior;
    } else if (holds_plant(question.answer, behavior)) {
      unlisted = behavior;
    }
  }
  std::string description;
  const MockMisconduct& misconduct = auditor.misconduct;
  double at = chance("misconduct");
  const auto falls_on = [&](double rate) {
    at -= rate;
    return at < 0;
  };
  if (falls_on(misconduct.malformed)) return "I noted {something";
  if (falls_on(misconduct.listed)) {
    description = listed;
  } else if (falls_on(misconduct.essay)) {
    for (int i = 0; i < 20; ++i) description += "Let me first consider the answer as a whole. ";
  } else if (falls_on(misconduct.echo)) {
    const std::string_view line = split(question.answer, '\n').front();
    description = utf8_prefix(line.substr(std::min<std::size_t>(2, line.size())), 150);
  } else if (!unlisted.empty() && chance("audit") < auditor.sensitivity) {
    description = plant_description(unlisted, hash);
  } else if (unlisted.empty() && chance("false note") < auditor.false_notes) {
    description = false_description(hash);
  }
  const bool noted = !description.empty();
  const Json answer = {{"reason", "mock"},
                       {"evidence", noted ? Json::array({question.message}) : Json::array()},
                       {"verdict", noted ? "present" : "absent"},
                       {"description", description}};
  return write_json(answer, JsonStyle::kCanonical);
}

}  // namespace understudy
