#pragma once
// The schema of study.db and how an older one becomes a newer one.

#include "base/result.hpp"
#include "store/sqlite.hpp"

namespace understudy {

/// Creates the tables in an empty database, or migrates an older one step by step; a database of a
/// newer version is an error that names both versions.
Result<void> apply_schema(Database& database);

}  // namespace understudy
