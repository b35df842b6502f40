// Super-blocks of 256 columns to panel rows. Most types pair column k with k + 32, or four columns 32 apart, in a
// byte: they are paired anew.
// Block layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
#include "pack_block.h"

namespace pennyweight {

namespace {

uint8_t* block_of(const FormatTraits& f, uint8_t* super, int i) {
  return super + f.super_header_bytes() + f.block_bytes() * i;
}

// Columns 32 i .. 32 i + 31 of 64 bytes that hold two bits of each of 256 columns.
void pairs_of(const uint8_t* bytes, int i, uint8_t* values) {
  for (int k = 0; k < 32; ++k) values[k] = (bytes[32 * (i / 4) + k] >> (2 * (i % 4))) & 3;
}

// Bit i of each of 32 bytes.
uint32_t bits_of(const uint8_t* bytes, int i) {
  uint32_t bits = 0;
  for (int k = 0; k < 32; ++k) bits |= static_cast<uint32_t>((bytes[k] >> i) & 1) << k;
  return bits;
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

// d, dmin, 12 scale bytes, 128 nibble bytes. Q5_K has 32 bytes of fifth bits before the nibbles.
void pack_q45k(const FormatTraits& f, const uint8_t* source, int lane, uint8_t* super) {
  put_half(source, lane, super);
  put_half(source + 2, lane, super + 32);
  const uint8_t* nibbles = source + (f.bits == 5 ? 48 : 16);
  for (int i = 0; i < 8; ++i) {
    uint8_t* block = block_of(f, super, i);
    const uint8_t* pairs = nibbles + 32 * (i / 2);  // block 2n low, 2n + 1 high nibbles
    const int shift = 4 * (i % 2);
    uint8_t packed[16];
    for (int k = 0; k < 16; ++k)
      packed[k] = static_cast<uint8_t>(((pairs[k] >> shift) & 15) | (((pairs[k + 16] >> shift) & 15) << 4));
    put_nibbles(packed, lane, block);
    if (f.bits == 5) put_bits(bits_of(source + 16, i), lane, block + 256);
    uint8_t* out = block + f.quant_bytes();
    k_scale(source + 4, i, out + lane, out + 16 + lane);
  }
}

// 128 bytes of nibbles, 64 of upper bits, 16 signed scales, d; halves of 128 columns.
void pack_q6k(const FormatTraits& f, const uint8_t* source, int lane, uint8_t* super) {
  put_half(source + 208, lane, super);
  for (int i = 0; i < 8; ++i) {
    const uint8_t* low = source + 64 * (i / 4) + 32 * (i % 2);
    const int shift = 4 * (i % 4 / 2);
    uint8_t upper[32];
    pairs_of(source + 128, i, upper);
    uint8_t nibbles[16];
    for (int k = 0; k < 16; ++k)
      nibbles[k] = static_cast<uint8_t>(((low[k] >> shift) & 15) | (((low[k + 16] >> shift) & 15) << 4));
    uint8_t* block = block_of(f, super, i);
    put_nibbles(nibbles, lane, block);
    put_pairs(upper, 0, lane, block + 256);
    uint8_t* out = block + f.quant_bytes();
    out[lane] = source[192 + 2 * i];
    out[16 + lane] = source[192 + 2 * i + 1];
  }
}

// 16 bytes of a scale and a minimum of four bits, 64 of pairs, d, dmin.
void pack_q2k(const FormatTraits& f, const uint8_t* source, int lane, uint8_t* super) {
  put_half(source + 80, lane, super);
  put_half(source + 82, lane, super + 32);
  for (int i = 0; i < 8; ++i) {
    uint8_t values[32];
    pairs_of(source + 16, i, values);
    uint8_t* block = block_of(f, super, i);
    put_pairs(values, 0, lane, block);
    uint8_t* out = block + f.quant_bytes();
    out[lane] = source[2 * i];
    out[16 + lane] = source[2 * i + 1];
  }
}

// The 6-bit scale of columns 16 j .. 16 j + 15: low nibbles of all, then pairs of upper bits.
uint8_t q3k_scale(const uint8_t* packed, int j) {
  const int low = (packed[j % 8] >> (4 * (j / 8))) & 15;
  const int high = (packed[8 + j % 4] >> (2 * (j / 4))) & 3;
  return static_cast<uint8_t>((low | high << 4) - 32);
}

// 32 bytes of third bits, 64 of pairs, 12 of scales, d.
void pack_q3k(const FormatTraits& f, const uint8_t* source, int lane, uint8_t* super) {
  put_half(source + 108, lane, super);
  for (int i = 0; i < 8; ++i) {
    uint8_t values[32];
    pairs_of(source + 32, i, values);
    uint8_t* block = block_of(f, super, i);
    put_pairs(values, 0, lane, block);
    put_bits(bits_of(source, i), lane, block + 128);
    uint8_t* out = block + f.quant_bytes();
    out[lane] = q3k_scale(source + 96, 2 * i);
    out[16 + lane] = q3k_scale(source + 96, 2 * i + 1);
  }
}

// d, 2 bytes of upper and 4 of lower scale bits, nibbles of 32 columns as the panel has them.
void pack_iq4xs(const FormatTraits& f, const uint8_t* source, int lane, uint8_t* super) {
  put_half(source, lane, super);
  for (int i = 0; i < 8; ++i) {
    uint8_t* block = block_of(f, super, i);
    put_nibbles(source + 8 + 16 * i, lane, block);
    const int low = (source[4 + i / 2] >> (4 * (i % 2))) & 15;
    const int high = (source[2 + i / 4] >> (2 * (i % 4))) & 3;
    block[f.quant_bytes() + lane] = static_cast<uint8_t>((low | high << 4) - 32);
  }
}

}  // namespace

void pack_super(Format format, const uint8_t* source, int lane, uint8_t* super) {
  const FormatTraits& f = traits(format);
  if (format == Format::kQ2_K)
    pack_q2k(f, source, lane, super);
  else if (format == Format::kQ3_K)
    pack_q3k(f, source, lane, super);
  else if (format == Format::kQ6_K)
    pack_q6k(f, source, lane, super);
  else if (format == Format::kIQ4_XS)
    pack_iq4xs(f, source, lane, super);
  else
    pack_q45k(f, source, lane, super);
}

}  // namespace pennyweight
