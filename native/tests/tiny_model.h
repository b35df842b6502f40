// Small decoders made of integers alone, so that their weights are the same bits on every machine.
#pragma once

#include <memory>
#include <span>

#include "check.h"
#include "pennyweight/model.h"

namespace pennyweight::test {

// Blocks of a GGUF matrix whose values have a standard deviation near 1 / sqrt(columns).
std::vector<uint8_t> random_source(Random& random, Format format, int rows, int columns);

// The decoder of `shapes`, whose sizes, windows, ropes and scales are set; matrices of the layers take `formats` in
// turn, the head is the embedding. `all_norms`: of queries and keys, and post-norms.
std::shared_ptr<const Model> random_model(Random& random, const Model& shapes, std::span<const Format> formats,
                                          Format embedding, bool all_norms);

// A matrix of such blocks, and a vector of values around 1.
MatrixPointer random_matrix(Random& random, Format format, int rows, int columns);

// Inverse frequencies that fall with the square of the pair's index.
std::vector<double> rope(int pairs, double spread);

// Every format of 32 columns and every float format, grouped queries, full attention, SwiGLU, tied head.
std::shared_ptr<const Model> tiny_llama();

// K types, one key head, norms of queries and keys, post-norms, windows, two ropes, GeGLU, a head of its own.
std::shared_ptr<const Model> tiny_gemma();

// The same shapes in types of two and three bits and of looked-up values.
std::shared_ptr<const Model> tiny_low_bits();

// No size fits a panel, a block or sixteen lanes: every matrix with such columns is of a float type.
std::shared_ptr<const Model> tiny_odd();

// Block types over whole blocks, beside a feed-forward size and heads that are none.
std::shared_ptr<const Model> tiny_mixed_widths();

}  // namespace pennyweight::test
