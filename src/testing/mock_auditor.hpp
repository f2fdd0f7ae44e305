#pragma once
// The mock server's auditor: it knows the plants, notes those that are not on its list in words of
// its own, and misbehaves as the scenario says. Pure: every choice comes from the hash.

#include <cstdint>
#include <string>
#include <string_view>

#include "testing/mock_server.hpp"

namespace understudy {

/// `prompt`: all that it is told; `last_user`: the message that ends with the question.
[[nodiscard]] std::string auditor_answer(const MockModel& auditor, std::string_view prompt,
                                         std::string_view last_user, std::uint64_t hash);

/// The plant that a text describes in the auditor's words; empty: none.
[[nodiscard]] std::string described_plant(std::string_view text);

}  // namespace understudy
