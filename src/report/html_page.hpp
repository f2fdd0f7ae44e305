#pragma once
// What every page begins with.

#include <string>
#include <string_view>

#include "report/json_fwd.hpp"

namespace understudy {

/// Doctype and head: the stylesheet, and a content security policy that lets in nothing but it.
/// `title` is plain text.
[[nodiscard]] std::string html_head(std::string_view title);

/// An understudy.fidelity/1 document as a page. The same bytes for the same input.
[[nodiscard]] std::string html_fidelity(const Json& document, std::string_view study_name);

}  // namespace understudy
