#include "cli/verbs.hpp"

#include <fmt/format.h>

#include <array>

#include "cli/behaviors.hpp"
#include "cli/calibrate.hpp"
#include "cli/mock_server.hpp"

namespace understudy {
namespace {

constexpr std::array kVerbs = {
    Verb{"demo", "real conversations, a real model, a forecast: nothing to prepare", run_demo},
    Verb{"init", "write a commented study.toml", run_init},
    Verb{"plan", "before spending: calls, cost, time, and what could be seen", run_plan},
    Verb{"tools", "a dry run: what each tool of the logs would be answered by", run_tools},
    Verb{"run", "every stage that is not up to date; always resumes; prints the table", run_study},
    Verb{"ingest", "stage 1: read the logs, count out, de-identify", run_ingest},
    Verb{"sample", "stage 2: build the frame, draw prefixes", run_sample},
    Verb{"replay", "stage 3: the candidate answers each prefix", run_replay},
    Verb{"grade", "stage 4: grade every answer", run_grade},
    Verb{"estimate", "stage 5: verdicts to rates with intervals", run_estimate},
    Verb{"report", "stage 6: report.json and report.html from what is stored", run_report},
    Verb{"forecast", "freeze, hash and sign what the study says of the release to come",
         run_forecast},
    Verb{"verify", "hold a frozen forecast against the new model's real traffic", run_verify},
    Verb{"batch", "the same replay through batch files: submit, status, collect", run_batch},
    Verb{"backtest", "forecast on one part of the logs, verify on the other, repeat", run_backtest},
    Verb{"behaviors", "the graders: list, show, test a file's examples, compare versions",
         run_behaviors},
    Verb{"label", "what people say of answers: import, export, what to label next", run_label},
    Verb{"discover", "what nobody named: how the candidate's answers differ from the logged ones",
         run_discover},
    Verb{"fidelity", "is the replay real, and what can it not see", run_fidelity},
    Verb{"calibrate", "worlds with known truth: coverage and error of our estimates",
         run_calibrate},
    Verb{"mock-server", "an OpenAI-compatible server to rehearse against", run_mock_server},
};

}  // namespace

std::span<const Verb> verbs() {
  return kVerbs;
}

std::string usage() {
  std::string text =
      "understudy: how often would the candidate model do what nobody wants, before launch?\n\n"
      "It steps into real, logged conversations in place of the model that held them, answers in\n"
      "the same context, and is graded; out come rates with intervals, beside the old model's.\n\n"
      "  understudy demo                                        try it, nothing to prepare\n"
      "  understudy init DIR --logs FILE --model PROVIDER/NAME  set up a study of your own\n"
      "  understudy run DIR                                     run it, or go on with it\n\n"
      "verbs (each has --help with an example):\n";
  for (const Verb& verb : kVerbs) text += fmt::format("  {:<12} {}\n", verb.name, verb.does);
  text +=
      "\nexit codes: 0 done, 1 a gate failed, 2 usage, 3 nothing usable in the input, 4 disk or\n"
      "database, 5 paused (run resumes), 6 part of the work failed, 7 a forecast does not check\n";
  return text;
}

}  // namespace understudy
