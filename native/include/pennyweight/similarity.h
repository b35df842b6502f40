// How near vectors kept as bytes are to one: the products that a search through them sorts by.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pennyweight {

// Dot products of `query` with each of `vectors`: Q8_0 blocks (format.h), a vector of query.size() values after
// the other. The query is rounded to Q8_0 too; sums within a block are exact, then run in float, in order.
std::vector<float> similarities(std::span<const float> query, std::span<const uint8_t> vectors);

}  // namespace pennyweight
