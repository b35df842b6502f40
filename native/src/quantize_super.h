// Super-blocks of 256 columns, whose scales are small integers times one in half precision.
#pragma once

#include <cstdint>

#include "pennyweight/format.h"

namespace pennyweight {

// One super-block of Q4_K or Q6_K from 256 values and their importance.
void quantize_super(Format format, const float* x, const float* importance, uint8_t* out);

}  // namespace pennyweight
