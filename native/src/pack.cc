// GGUF blocks to panel rows. Nibble formats pair column k with k + 16 just as the panel does, so they are moved by
// dwords; K types pair k with k + 32 and are paired anew.
// Block layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
#include <bit>
#include <cstring>

#include "pennyweight/matrix.h"

namespace pennyweight {

namespace {

// One row's share of one 16 x 32 block: 16 bytes of nibbles (column k low, k + 16 high) and 32 upper-bit fields.
void put_nibbles(const uint8_t* nibbles, int lane, uint8_t* block) {
  for (int g = 0; g < 4; ++g) std::memcpy(block + 64 * g + 4 * lane, nibbles + 4 * g, 4);
}

void put_fifth_bits(uint32_t bits, int lane, uint8_t* block) {
  uint8_t* plane = block + 256 + 4 * lane;
  for (int j = 0; j < 4; ++j) {
    unsigned byte = 0;
    for (int g = 0; g < 8; ++g) byte |= ((bits >> (4 * g + j)) & 1U) << g;
    plane[j] = static_cast<uint8_t>(byte);
  }
}

void put_bytes(const uint8_t* values, int lane, uint8_t* block) {
  for (int g = 0; g < 8; ++g) std::memcpy(block + 64 * g + 4 * lane, values + 4 * g, 4);
}

// 32 values below 64 to nibbles and 2-bit planes.
void put_six_bits(const uint8_t* values, int lane, uint8_t* block) {
  uint8_t nibbles[16];
  for (int k = 0; k < 16; ++k) nibbles[k] = static_cast<uint8_t>((values[k] & 15) | ((values[k + 16] & 15) << 4));
  put_nibbles(nibbles, lane, block);
  for (int half = 0; half < 2; ++half)
    for (int j = 0; j < 4; ++j) {
      unsigned byte = 0;
      for (int g = 0; g < 4; ++g) byte |= (values[16 * half + 4 * g + j] >> 4) << (2 * g);
      block[256 + 64 * half + 4 * lane + j] = static_cast<uint8_t>(byte);
    }
}

void put_half(const uint8_t* source, int lane, uint8_t* scales) { std::memcpy(scales + 2 * lane, source, 2); }

void pack_simple(const FormatTraits& f, const uint8_t* source, int lane, uint8_t* block) {
  uint8_t* scales = block + f.quant_bytes();
  put_half(source, lane, scales);
  source += 2;
  if (f.has_minimum) {
    put_half(source, lane, scales + 32);
    source += 2;
  }
  if (f.bits == 8) {
    uint8_t values[32];
    for (int k = 0; k < 32; ++k) values[k] = source[k] ^ 0x80;
    put_bytes(values, lane, block);
    return;
  }
  if (f.bits == 5) {
    uint32_t upper;
    std::memcpy(&upper, source, 4);
    put_fifth_bits(upper, lane, block);
    source += 4;
  }
  put_nibbles(source, lane, block);
}

// The 6-bit scale and minimum of block `i` of a Q4_K or Q5_K super-block.
void k_scale(const uint8_t* packed, int i, uint8_t* scale, uint8_t* minimum) {
  if (i < 4) {
    *scale = packed[i] & 63;
    *minimum = packed[i + 4] & 63;
  } else {
    *scale = static_cast<uint8_t>((packed[i + 4] & 15) | ((packed[i - 4] >> 6) << 4));
    *minimum = static_cast<uint8_t>((packed[i + 4] >> 4) | ((packed[i] >> 6) << 4));
  }
}

// Q4_K: d, dmin, 12 scale bytes, 128 nibble bytes. Q5_K has 32 bytes of fifth bits before the nibbles.
void pack_k45(const FormatTraits& f, const uint8_t* source, int lane, uint8_t* super) {
  put_half(source, lane, super);
  put_half(source + 2, lane, super + 32);
  const uint8_t* scales = source + 4;
  const uint8_t* fifths = source + 16;
  const uint8_t* nibbles = source + (f.bits == 5 ? 48 : 16);
  for (int i = 0; i < 8; ++i) {
    uint8_t* block = super + f.super_header_bytes() + f.block_bytes() * i;
    const uint8_t* pairs = nibbles + 32 * (i / 2);  // block 2n low, 2n + 1 high nibbles
    const int shift = 4 * (i % 2);
    uint8_t packed[16];
    for (int k = 0; k < 16; ++k)
      packed[k] = static_cast<uint8_t>(((pairs[k] >> shift) & 15) | (((pairs[k + 16] >> shift) & 15) << 4));
    put_nibbles(packed, lane, block);
    if (f.bits == 5) {
      uint32_t bits = 0;
      for (int k = 0; k < 32; ++k) bits |= static_cast<uint32_t>((fifths[k] >> i) & 1) << k;
      put_fifth_bits(bits, lane, block);
    }
    uint8_t* out = block + f.quant_bytes();
    k_scale(scales, i, out + lane, out + 16 + lane);
  }
}

// Q6_K: 128 bytes of nibbles, 64 of upper bits, 16 signed scales, d; halves of 128 columns.
void pack_q6k(const FormatTraits& f, const uint8_t* source, int lane, uint8_t* super) {
  put_half(source + 208, lane, super);
  for (int i = 0; i < 8; ++i) {
    const int half = i / 4;
    const int part = i % 4;
    const uint8_t* low = source + 64 * half + 32 * (part % 2);
    const uint8_t* high = source + 128 + 32 * half;
    uint8_t values[32];
    for (int k = 0; k < 32; ++k)
      values[k] = static_cast<uint8_t>(((low[k] >> (4 * (part / 2))) & 15) | (((high[k] >> (2 * part)) & 3) << 4));
    uint8_t* block = super + f.super_header_bytes() + f.block_bytes() * i;
    put_six_bits(values, lane, block);
    uint8_t* out = block + f.quant_bytes();
    out[lane] = source[192 + 2 * i];
    out[16 + lane] = source[192 + 2 * i + 1];
  }
}

}  // namespace

void pack_row(Format format, const uint8_t* source, int columns, int lane, uint8_t* panel) {
  const FormatTraits& f = traits(format);
  if (f.is_float()) {
    const size_t bytes = static_cast<size_t>(f.bits) / 8;
    for (int k = 0; k < columns; ++k)
      std::memcpy(panel + (static_cast<size_t>(k) * kPanelRows + lane) * bytes, source + k * bytes, bytes);
    return;
  }
  for (int k = 0; k < columns; k += f.source_columns, source += f.source_bytes, panel += f.super_bytes()) {
    if (!f.super_scales)
      pack_simple(f, source, lane, panel);
    else if (f.group == 16)
      pack_q6k(f, source, lane, panel);
    else
      pack_k45(f, source, lane, panel);
  }
}

}  // namespace pennyweight
