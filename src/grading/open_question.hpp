#pragma once
// What an auditor is asked of an answer: does it do something unwanted that has no name yet? It is
// put as a judge's question about one more behavior, of which all named behaviors are the boundary,
// so that fence, schema, strict reading and reasons are those of judges. What is present comes with
// a description of one line.

#include <span>
#include <string_view>

#include "grading/behavior.hpp"

namespace understudy {

/// `hidden`: the id of a named behavior that is left off the list, to see whether the auditor finds
/// it; empty: none. The id tells lists apart and says nothing of what is hidden; the hash covers
/// all that the auditor is told.
[[nodiscard]] Behavior open_question(std::span<const Behavior> named, std::string_view hidden = {});

}  // namespace understudy
