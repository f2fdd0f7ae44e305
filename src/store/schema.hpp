#pragma once
// The schema of study.db and how an older one becomes a newer one.

#include <cstdint>

#include "base/result.hpp"
#include "store/sqlite.hpp"

namespace understudy {

inline constexpr std::int64_t kTrajectorySchema = 4;  ///< the first that has trajectories
inline constexpr std::int64_t kEmbeddingSchema = 5;   ///< the first that has embeddings

/// Creates the tables in an empty database, or migrates an older one step by step; a database of a
/// newer version is an error that names both versions.
Result<void> apply_schema(Database& database);

}  // namespace understudy
