// Two tiny decoders made of integers alone, so that their weights are the same bits on every machine.
#pragma once

#include <memory>

#include "check.h"
#include "pennyweight/model.h"

namespace pennyweight::test {

// Blocks of a GGUF matrix whose values have a standard deviation near 1 / sqrt(columns).
std::vector<uint8_t> random_source(Random& random, Format format, int rows, int columns);

// Every format of 32 columns and every float format, grouped queries, full attention, SwiGLU, tied head.
std::shared_ptr<const Model> tiny_llama();

// K types, one key head, norms of queries and keys, post-norms, windows, two ropes, GeGLU, a head of its own.
std::shared_ptr<const Model> tiny_gemma();

}  // namespace pennyweight::test
