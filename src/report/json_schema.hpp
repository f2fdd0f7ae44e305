#pragma once
// Checks a document against a JSON Schema, as far as the schemas in docs/formats/ use the language:
// $ref into the same file, type, const, enum, properties, required, additionalProperties, items,
// anyOf, minimum, maximum. Annotations are ignored; any other keyword is reported, so that a schema
// can't ask for what is not checked.

#include <string>
#include <vector>

#include "report/json_fwd.hpp"

namespace understudy {

/// What is wrong, each with the place as a JSON Pointer (RFC 6901); empty when the document fits.
[[nodiscard]] std::vector<std::string> schema_violations(const Json& schema, const Json& document);

}  // namespace understudy
