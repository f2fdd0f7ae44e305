#pragma once
// The synthetic values: how the N-th of a kind is written, and how ours are told from others.

#include <cstdint>
#include <string>
#include <string_view>

#include "ingest/deidentify/deidentifier.hpp"

namespace understudy {

/// The number of one of our own surrogates, from an entity's key; 0 for everything else.
[[nodiscard]] std::uint32_t own_number(EntityKind kind, std::string_view key);

/// The surrogate with a number (from 1), written like `original`: with or without country code,
/// parentheses, separators. So a number in JSON stays a number.
[[nodiscard]] std::string surrogate(EntityKind kind, std::uint32_t number,
                                    std::string_view original);

/// Luhn's check digit (ISO/IEC 7812-1) over digits that lack it.
[[nodiscard]] char luhn_digit(std::string_view digits);

}  // namespace understudy
