// Small random decoders with what families beside Llama and Gemma 3 differ in, one operation or another in each.
#pragma once

#include <memory>

#include "pennyweight/model.h"

namespace pennyweight::test {

// No norms before, norms over all heads as one vector, biases everywhere, a layer without rotation, a residual scale;
// no size fits a panel, a block or sixteen lanes, and the heads together are wider than the model.
std::shared_ptr<const Model> tiny_olmo();

// Soft caps of scores and logits, a rope magnitude beside pairs that do not turn, a logit scale, a window.
std::shared_ptr<const Model> tiny_capped();

// Experts beside a router of floats, two used of six, their weights normalised; block types.
std::shared_ptr<const Model> tiny_experts();

// Experts of odd sizes, three used of nineteen, weights scaled, post-norms, a residual scale; a router in blocks.
std::shared_ptr<const Model> tiny_odd_experts();

}  // namespace pennyweight::test
