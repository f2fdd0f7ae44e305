#pragma once
// The frozen forecast: `understudy.forecast/1` as bytes. The file is canonical JSON (RFC 8785), has
// a SHA-256 digest for each section and one commitment over them. `thaw` says which section differs
// where one bit is not as it was, also where the file is no longer JSON.

#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"

namespace understudy {

/// Sections beside the header, in the order of the file.
[[nodiscard]] const std::vector<std::string>& forecast_sections();

/// `document` has the header's keys (schema, understudy_version, manifest_hash, unit) and every
/// section; gives it digests and commitment. The bytes are the file.
[[nodiscard]] std::string freeze(Json document);

/// The document. kMismatch names the sections that differ ("header", "digests" and "commitment"
/// among them); kInput: this is no forecast at all.
[[nodiscard]] Result<Json> thaw(std::string_view bytes);

}  // namespace understudy
