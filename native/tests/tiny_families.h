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

}  // namespace pennyweight::test
