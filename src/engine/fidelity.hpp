#pragma once
// Is the replay real? What the stored study can say about how far the replayed deployed model
// (Y→Y) is from its own logged answers, how the requests compare with production, how prefixes
// drift, and what no replay can see. Asks no model and changes nothing, unless AwarenessOptions say
// so.

#include <string>

#include "base/json.hpp"
#include "engine/awareness.hpp"
#include "engine/study.hpp"

namespace understudy {

/// understudy.fidelity/1: `parts`, each {"part", "title", "measured", "why_not"?, "columns" and
/// "rows"? (texts), "lines": […], figures…}. A part that needs what the study does not have is
/// there and says so.
[[nodiscard]] Result<Json> fidelity(Study& study, const AwarenessOptions& options = {});
/// For a terminal.
[[nodiscard]] std::string fidelity_text(const Json& document);
/// A share as a rate per 100,000, to four digits.
[[nodiscard]] std::string rate_text(double share);

}  // namespace understudy
