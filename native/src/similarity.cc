// Similarities of one vector to many. Memory is read once, so plain code is as fast as the disk cache feeds it.
#include "pennyweight/similarity.h"

#include <cstring>
#include <stdexcept>
#include <string>

#include "pennyweight/encoder.h"
#include "pennyweight/format.h"
#include "pennyweight/matrix.h"

namespace pennyweight {

namespace {

constexpr size_t kBlockBytes = kFormats[static_cast<int>(Format::kQ8_0)].source_bytes;

float scale_of(const uint8_t* block) {
  uint16_t half;
  std::memcpy(&half, block, sizeof half);
  return half_to_float(half);
}

int32_t dot(const uint8_t* a, const uint8_t* b) {
  const auto* x = reinterpret_cast<const int8_t*>(a + 2);
  const auto* y = reinterpret_cast<const int8_t*>(b + 2);
  int32_t sum = 0;
  for (int i = 0; i < kBlock; ++i) sum += x[i] * y[i];
  return sum;
}

}  // namespace

std::vector<float> similarities(std::span<const float> query, std::span<const uint8_t> vectors) {
  if (query.empty() || query.size() % kBlock != 0)
    throw std::invalid_argument("a vector has a multiple of 32 values, got " + std::to_string(query.size()));
  const size_t blocks = query.size() / kBlock;
  const size_t bytes = blocks * kBlockBytes;
  if (vectors.size() % bytes != 0)
    throw std::invalid_argument(std::to_string(vectors.size()) + " bytes are no vectors of " +
                                std::to_string(query.size()) + " values");
  const std::vector<uint8_t> rounded =
      to_q8_0({reinterpret_cast<const uint8_t*>(query.data()), query.size_bytes()}, Format::kF32);
  std::vector<float> scales(blocks);
  for (size_t b = 0; b < blocks; ++b) scales[b] = scale_of(rounded.data() + b * kBlockBytes);
  std::vector<float> out(vectors.size() / bytes);
  for (size_t v = 0; v < out.size(); ++v) {
    const uint8_t* vector = vectors.data() + v * bytes;
    float sum = 0;
    for (size_t b = 0; b < blocks; ++b) {
      const uint8_t* block = vector + b * kBlockBytes;
      sum += static_cast<float>(dot(block, rounded.data() + b * kBlockBytes)) * (scales[b] * scale_of(block));
    }
    out[v] = sum;
  }
  return out;
}

}  // namespace pennyweight
