#pragma once
// Which token comes next: temperature, nucleus (top-p), one uniform number. A pure function of its
// arguments, without libm: the same logits give the same token on every machine.

#include <cstdint>
#include <span>
#include <vector>

namespace understudy {

/// The index of the chosen token.
/// `logits`: one per token, finite, at least one. `temperature` >= 0; 0 takes the largest logit,
/// the first of equal ones. `top_p` in (0, 1]: only the smallest set of most probable tokens that
/// together have at least this probability (Holtzman et al. 2020). `uniform` in [0, 1).
/// `scratch` is overwritten; keep it between calls to save the allocation.
[[nodiscard]] std::size_t choose_token(std::span<const float> logits, double temperature,
                                       double top_p, double uniform, std::vector<float>& scratch);

}  // namespace understudy
