// Where one row's values go in a 16 x 32 block of a panel (format.h).
#pragma once

#include <cstdint>
#include <cstring>

#include "pennyweight/format.h"

namespace pennyweight {

// 16 bytes of nibbles: column k low, k + 16 high.
inline void put_nibbles(const uint8_t* nibbles, int lane, uint8_t* block) {
  for (int g = 0; g < 4; ++g) std::memcpy(block + 64 * g + 4 * lane, nibbles + 4 * g, 4);
}

// A bit of each of 32 columns; `plane` is a run of 64 bytes of the block.
inline void put_bits(uint32_t bits, int lane, uint8_t* plane) {
  for (int j = 0; j < 4; ++j) {
    unsigned byte = 0;
    for (int g = 0; g < 8; ++g) byte |= ((bits >> (4 * g + j)) & 1U) << g;
    plane[4 * lane + j] = static_cast<uint8_t>(byte);
  }
}

// Bits `shift` and `shift + 1` of 32 values; `plane` is a run of 128 bytes of the block.
inline void put_pairs(const uint8_t* values, int shift, int lane, uint8_t* plane) {
  for (int half = 0; half < 2; ++half)
    for (int j = 0; j < 4; ++j) {
      unsigned byte = 0;
      for (int g = 0; g < 4; ++g) byte |= ((values[16 * half + 4 * g + j] >> shift) & 3U) << (2 * g);
      plane[64 * half + 4 * lane + j] = static_cast<uint8_t>(byte);
    }
}

inline void put_half(const uint8_t* source, int lane, uint8_t* scales) { std::memcpy(scales + 2 * lane, source, 2); }

// One row's super-block of 256 columns, into the panel's.
void pack_super(Format format, const uint8_t* source, int lane, uint8_t* super);

}  // namespace pennyweight
