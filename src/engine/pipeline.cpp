// The main path, on one screen. One conversation goes from log to forecast through these stages:
//
//   ingest    read, count out, de-identify           → conversations        ingest_stage.cpp
//   sample    frame, prefixes, probabilities         → frame, prefix        sample_stage.cpp
//   replay    the candidate answers each prefix      → draw                 replay_stage.cpp
//   grade     rules on every answer, a judge on some → verdicts, judgement  grade_stage.cpp
//   estimate  verdicts and weights to rates          → the report document  estimate_stage.cpp
//   report    for people and scripts                 → report.json, .html   report_stage.cpp
//
// Stages meet only in the store: each reads what the one before it left there.

#include "engine/pipeline.hpp"

#include <fmt/format.h>

#include <array>

namespace understudy {
namespace {

struct Stage {
  const char* name;
  Result<StageOutcome> (*run)(Study&);
};

constexpr std::array<Stage, 6> kStages = {{
    {"ingest", ingest_stage},
    {"sample", sample_stage},
    {"replay", replay_stage},
    {"grade", grade_stage},
    {"estimate", estimate_stage},
    {"report", report_stage},
}};

}  // namespace

Result<Json> run_pipeline(Study& study) {
  bool up_to_date = true;
  Json report;
  for (const Stage& stage : kStages) {
    UNDERSTUDY_TRY(StageOutcome outcome, stage.run(study));
    up_to_date = up_to_date && outcome.up_to_date;
    report = std::move(outcome.detail);
  }
  if (up_to_date) study.world.progress.say("all is up to date");
  return report;
}

}  // namespace understudy
