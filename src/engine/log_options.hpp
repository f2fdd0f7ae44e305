#pragma once
// How [logs] of study.toml reads a log file (ingest_stage.cpp).

#include "engine/study_config.hpp"
#include "ingest/log_reader.hpp"

namespace understudy {

[[nodiscard]] Result<LogOptions> log_options(const StudyConfig::Logs& logs);

}  // namespace understudy
