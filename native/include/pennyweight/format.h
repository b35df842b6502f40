// Weight formats and the one panel layout every format is transcoded into.
//
// A panel is 16 output rows; it is a run of blocks of 32 columns, each block holding the 16 rows interleaved in
// dwords of 4 consecutive columns, so that one 64-byte load is 16 rows x 4 columns, the operand of a byte dot
// product. Nothing is widened: a panel has the bits of its source, plus at most 6 % for scales of K types.
//
// Block of a quantised panel, in order:
//   nibbles  256 B  byte 64*(g%4) + 4*row + j: column 4g+j, low nibble for g < 4, high nibble for g >= 4
//   bit 5     64 B  (5 bits) byte 4*row + j, bit g: the fifth bit of column 4g+j
//   bits 5,6 128 B  (6 bits) byte 64*(g/4) + 4*row + j, bits 2*(g%4)..: the upper two bits
//   pairs    128 B  (2 and 3 bits, instead of nibbles) as bits 5,6: the lower two bits; then, of 3 bits, the third
//            64 B   as bit 5
//   bytes    512 B  (8 bits, instead of nibbles) byte 64*g + 4*row + j: value + 128
//   scales   half[16], then half[16] minimums where the format has them; super-blocks: sub-scales, see below
// A super-block is half[16] scales and half[16] minimum scales, then 8 blocks with their sub-scales:
//   Q4_K, Q5_K  u8[16] scales, u8[16] minimums
//   Q2_K        two runs of u8[16], one per 16 columns: scale in the low, minimum in the high nibble
//   Q3_K, Q6_K  two runs of s8[16], one per 16 columns
//   IQ4_XS      s8[16]
// The nibbles of IQ4 types are places in a table of values (kCodebook); kernels look them up.
// Float panels: per column one vector of 16 rows, 2 or 4 bytes an element. Zeros fill up rows to 16 and columns to 32.
//
// Source formats: GGUF, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstddef>
#include <cstdint>

namespace pennyweight {

inline constexpr int kPanelRows = 16;
inline constexpr int kBlock = 32;

// Columns of a panel: whole blocks, the last filled up with zeros.
constexpr int padded_columns(int columns) { return (columns + kBlock - 1) / kBlock * kBlock; }

enum class Format : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kQ2_K,
  kQ3_K,
  kIQ4_NL,
  kIQ4_XS
};
inline constexpr int kNumFormats = 15;

struct FormatTraits {
  const char* name;
  int bits;            // of a stored weight
  int zero;            // subtracted from a stored weight
  bool has_minimum;    // adds m
  bool super_scales;   // scales of 8 blocks are small integers times a common one
  int group;           // columns per scale
  int source_columns;  // per source block
  int source_bytes;    // per source block
  bool codebook;       // what is stored is a place in kCodebook

  constexpr bool is_float() const { return bits >= 16; }
  // Of what is multiplied: a looked-up value is 8 bits wide.
  constexpr int dot_bits() const { return codebook ? 8 : bits; }
  constexpr int blocks_per_super() const { return super_scales ? 8 : 1; }
  constexpr size_t quant_bytes() const { return is_float() ? 0 : static_cast<size_t>(bits) * 64; }
  constexpr size_t scale_bytes() const {
    if (is_float()) return 0;
    if (super_scales) return group == 16 || has_minimum ? 32 : 16;
    return has_minimum ? 64 : 32;
  }
  // Bytes of one 16 x 32 block without the super-block's header.
  constexpr size_t block_bytes() const {
    return is_float() ? static_cast<size_t>(bits) * 64 : quant_bytes() + scale_bytes();
  }
  constexpr size_t super_header_bytes() const { return super_scales ? 64 : 0; }
  constexpr size_t super_bytes() const { return super_header_bytes() + block_bytes() * blocks_per_super(); }
};

inline constexpr FormatTraits kFormats[kNumFormats] = {
    {"F32", 32, 0, false, false, 32, 1, 4, false},       {"F16", 16, 0, false, false, 32, 1, 2, false},
    {"BF16", 16, 0, false, false, 32, 1, 2, false},      {"Q4_0", 4, 8, false, false, 32, 32, 18, false},
    {"Q4_1", 4, 0, true, false, 32, 32, 20, false},      {"Q5_0", 5, 16, false, false, 32, 32, 22, false},
    {"Q5_1", 5, 0, true, false, 32, 32, 24, false},      {"Q8_0", 8, 128, false, false, 32, 32, 34, false},
    {"Q4_K", 4, 0, true, true, 32, 256, 144, false},     {"Q5_K", 5, 0, true, true, 32, 256, 176, false},
    {"Q6_K", 6, 32, false, true, 16, 256, 210, false},   {"Q2_K", 2, 0, true, true, 16, 256, 84, false},
    {"Q3_K", 3, 4, false, true, 16, 256, 110, false},    {"IQ4_NL", 4, 128, false, false, 32, 32, 18, true},
    {"IQ4_XS", 4, 128, false, true, 32, 256, 136, true},
};

// Values of the IQ4 types, plus 128. Not inline: each instruction set's units keep a copy of their own.
constexpr uint8_t kCodebook[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

constexpr const FormatTraits& traits(Format format) { return kFormats[static_cast<int>(format)]; }

// How finely the input of a linear layer is quantised: one scale per 32 or per 16 columns.
enum class Grain : uint8_t { kCoarse, kFine };

// A run of 32 activations of one token, quantised to int8 (docs/numerics.md, "Linear layers").
struct ActivationBlock {
  int8_t q[kBlock];
  float scale[2];                // of the lower and the upper 16; the same if coarse
  float scaled_sum;              // sum of the quantised values
  int32_t minus_8_sums;          // -8 * sum of q, the accumulator's start for a zero point of 8
  int32_t minus_8_half_sums[2];  // of the lower and the upper 16
};
static_assert(sizeof(ActivationBlock) == 56);

}  // namespace pennyweight
