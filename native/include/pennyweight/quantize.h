// Float weights to GGUF blocks, by a search for the scales of least weighted error.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pennyweight/format.h"

namespace pennyweight {

// Whether `quantize_row` writes blocks of this format.
bool can_quantize(Format format);

// One row of `columns` finite values. `importance` says how much an error in each column counts ([columns], not
// negative), or is null: all count the same. Appends the row's blocks to `out`; throws std::invalid_argument for a
// value that is not finite or beyond what the format's half-precision scales hold.
void quantize_row(Format format, const float* row, const float* importance, int columns, std::vector<uint8_t>& out);

// Rows of blocks of one format in another. Throws std::invalid_argument naming what does not fit.
std::vector<uint8_t> requantize(std::span<const uint8_t> source, Format from, Format to, int columns,
                                std::span<const float> importance);

}  // namespace pennyweight
