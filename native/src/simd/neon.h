// Vector vocabulary: ARMv8.0 NEON, with the dot product extension where the target has it. A vector is four registers.
#pragma once

#include <arm_neon.h>
#include <stdint.h>

namespace pennyweight::PW_TARGET {

struct F32 {
  float32x4_t v[4];
};
struct I32 {
  int32x4_t v[4];
};
struct B64 {  // 64 bytes: 16 rows (or tokens, or queries) of 4
  uint8x16_t v[4];
};

#define PW_INLINE static inline __attribute__((always_inline))

PW_INLINE F32 load(const float* p) { return {{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}}; }
// The four quarters of `r` in terms of their number q.
#define PW_QUARTERS(type, expression)                                          \
  type r;                                                                      \
  _Pragma("GCC unroll 4") for (int q = 0; q < 4; ++q) { r.v[q] = expression; } \
  return r

PW_INLINE void store(float* p, F32 a) {
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) vst1q_f32(p + 4 * q, a.v[q]);
}
PW_INLINE F32 broadcast(float x) { PW_QUARTERS(F32, vdupq_n_f32(x)); }
PW_INLINE F32 zero() { return broadcast(0.0F); }
PW_INLINE F32 add(F32 a, F32 b) { PW_QUARTERS(F32, vaddq_f32(a.v[q], b.v[q])); }
PW_INLINE F32 sub(F32 a, F32 b) { PW_QUARTERS(F32, vsubq_f32(a.v[q], b.v[q])); }
PW_INLINE F32 mul(F32 a, F32 b) { PW_QUARTERS(F32, vmulq_f32(a.v[q], b.v[q])); }
PW_INLINE F32 div(F32 a, F32 b) { PW_QUARTERS(F32, vdivq_f32(a.v[q], b.v[q])); }
PW_INLINE F32 fma(F32 a, F32 b, F32 c) { PW_QUARTERS(F32, vfmaq_f32(c.v[q], a.v[q], b.v[q])); }
// Like x86: `b` where the operands do not compare (NaN).
PW_INLINE F32 max(F32 a, F32 b) { PW_QUARTERS(F32, vbslq_f32(vcgtq_f32(a.v[q], b.v[q]), a.v[q], b.v[q])); }
PW_INLINE F32 min(F32 a, F32 b) { PW_QUARTERS(F32, vbslq_f32(vcltq_f32(a.v[q], b.v[q]), a.v[q], b.v[q])); }
PW_INLINE F32 abs(F32 a) { PW_QUARTERS(F32, vabsq_f32(a.v[q])); }
PW_INLINE F32 round(F32 a) { PW_QUARTERS(F32, vrndnq_f32(a.v[q])); }
PW_INLINE float tree_sum(F32 a) {
  const float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
PW_INLINE float maximum(F32 a) {
  return vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(a.v[0], a.v[2]), vmaxnmq_f32(a.v[1], a.v[3])));
}
PW_INLINE uint32_t at_least_bits(F32 a, F32 b) {
  const uint32_t bit[4] = {1, 2, 4, 8};
  uint32_t bits = 0;
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) bits |= vaddvq_u32(vandq_u32(vcgeq_f32(a.v[q], b.v[q]), vld1q_u32(bit))) << (4 * q);
  return bits;
}
PW_INLINE bool any_different(F32 a, F32 b) {
  uint32x4_t same = vceqq_f32(a.v[0], b.v[0]);
#pragma GCC unroll 4
  for (int q = 1; q < 4; ++q) same = vandq_u32(same, vceqq_f32(a.v[q], b.v[q]));
  return vminvq_u32(same) == 0;
}

// Lane i of the result is lane i ^ kDistance (a power of two).
template <int kDistance>
PW_INLINE F32 swap_lanes(F32 a) {
  if constexpr (kDistance == 1) {
    PW_QUARTERS(F32, vrev64q_f32(a.v[q]));
  } else if constexpr (kDistance == 2) {
    PW_QUARTERS(F32, vextq_f32(a.v[q], a.v[q], 2));
  } else {
    PW_QUARTERS(F32, a.v[q ^ (kDistance / 4)]);
  }
}

PW_INLINE I32 load_i32(const int32_t* p) { PW_QUARTERS(I32, vld1q_s32(p + 4 * q)); }
PW_INLINE void store_i32(int32_t* p, I32 a) {
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) vst1q_s32(p + 4 * q, a.v[q]);
}
PW_INLINE I32 broadcast_i32(int32_t x) { PW_QUARTERS(I32, vdupq_n_s32(x)); }
PW_INLINE I32 add_i32(I32 a, I32 b) { PW_QUARTERS(I32, vaddq_s32(a.v[q], b.v[q])); }
PW_INLINE I32 or_i32(I32 a, I32 b) { PW_QUARTERS(I32, vorrq_s32(a.v[q], b.v[q])); }
template <int kBits>
PW_INLINE I32 shift_left(I32 a) {
  PW_QUARTERS(I32, vshlq_n_s32(a.v[q], kBits));
}
PW_INLINE int32_t sum_i32(I32 a) { return vaddvq_s32(vaddq_s32(vaddq_s32(a.v[0], a.v[1]), vaddq_s32(a.v[2], a.v[3]))); }
PW_INLINE I32 lane_index() {
  const int32_t four[4] = {0, 1, 2, 3};
  PW_QUARTERS(I32, vaddq_s32(vld1q_s32(four), vdupq_n_s32(4 * q)));
}
PW_INLINE F32 to_float(I32 a) { PW_QUARTERS(F32, vcvtq_f32_s32(a.v[q])); }
PW_INLINE I32 round_to_int(F32 a) { PW_QUARTERS(I32, vcvtnq_s32_f32(a.v[q])); }
// 2^n for integral n in [-126, 127].
PW_INLINE F32 power_of_two(F32 n) {
  const I32 bits = shift_left<23>(add_i32(round_to_int(n), broadcast_i32(127)));
  PW_QUARTERS(F32, vreinterpretq_f32_s32(bits.v[q]));
}
// Lanes with low <= x <= high keep `a`, the others get `b`.
PW_INLINE F32 select_between(I32 x, I32 low, I32 high, F32 a, F32 b) {
  PW_QUARTERS(F32, vbslq_f32(vandq_u32(vcleq_s32(low.v[q], x.v[q]), vcleq_s32(x.v[q], high.v[q])), a.v[q], b.v[q]));
}
// Lanes with x >= low keep `a`, the others (NaN too) get `b`.
PW_INLINE F32 select_at_least(F32 x, F32 low, F32 a, F32 b) {
  PW_QUARTERS(F32, vbslq_f32(vcgeq_f32(x.v[q], low.v[q]), a.v[q], b.v[q]));
}
PW_INLINE void store_s8(int8_t* p, I32 a) {
  const int16x8_t lower = vcombine_s16(vmovn_s32(a.v[0]), vmovn_s32(a.v[1]));
  const int16x8_t upper = vcombine_s16(vmovn_s32(a.v[2]), vmovn_s32(a.v[3]));
  vst1q_s8(p, vcombine_s8(vmovn_s16(lower), vmovn_s16(upper)));
}
// Pointers to 16-bit elements may be odd: they are loaded as bytes.
PW_INLINE uint16x4_t load_four_halves(const void* p, int q) {
  return vreinterpret_u16_u8(vld1_u8((const uint8_t*)p + 8 * q));
}
PW_INLINE F32 load_half(const void* p) { PW_QUARTERS(F32, vcvt_f32_f16(vreinterpret_f16_u16(load_four_halves(p, q)))); }
PW_INLINE F32 load_bf16(const void* p) {
  PW_QUARTERS(F32, vreinterpretq_f32_u32(vshll_n_u16(load_four_halves(p, q), 16)));
}
PW_INLINE F32 load_u8(const void* p) {
  const uint8x16_t bytes = vld1q_u8((const uint8_t*)p);
  const uint16x8_t lower = vmovl_u8(vget_low_u8(bytes));
  const uint16x8_t upper = vmovl_high_u8(bytes);
  return {{vcvtq_f32_u32(vmovl_u16(vget_low_u16(lower))), vcvtq_f32_u32(vmovl_high_u16(lower)),
           vcvtq_f32_u32(vmovl_u16(vget_low_u16(upper))), vcvtq_f32_u32(vmovl_high_u16(upper))}};
}
PW_INLINE F32 load_s8(const void* p) {
  const int8x16_t bytes = vld1q_s8((const int8_t*)p);
  const int16x8_t lower = vmovl_s8(vget_low_s8(bytes));
  const int16x8_t upper = vmovl_high_s8(bytes);
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(lower))), vcvtq_f32_s32(vmovl_high_s16(lower)),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(upper))), vcvtq_f32_s32(vmovl_high_s16(upper))}};
}
// The low (0) or high (4) nibbles of 16 bytes.
template <int kShift>
PW_INLINE F32 load_u4(const void* p) {
  uint8_t nibbles[16];
  const uint8x16_t bytes = vld1q_u8((const uint8_t*)p);
  vst1q_u8(nibbles, kShift == 0 ? vandq_u8(bytes, vdupq_n_u8(15)) : vshrq_n_u8(bytes, 4));
  return load_u8(nibbles);
}

PW_INLINE B64 load_bytes(const void* p) { PW_QUARTERS(B64, vld1q_u8((const uint8_t*)p + 16 * q)); }
PW_INLINE void store_bytes(void* p, B64 a) {
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) vst1q_u8((uint8_t*)p + 16 * q, a.v[q]);
}
PW_INLINE B64 bytes_of(I32 a) { PW_QUARTERS(B64, vreinterpretq_u8_s32(a.v[q])); }
PW_INLINE B64 broadcast_bytes(const void* dword) {
  int32_t x;
  __builtin_memcpy(&x, dword, 4);
  return bytes_of(broadcast_i32(x));
}
PW_INLINE B64 and_bytes(B64 a, B64 b) { PW_QUARTERS(B64, vandq_u8(a.v[q], b.v[q])); }
PW_INLINE B64 or_bytes(B64 a, B64 b) { PW_QUARTERS(B64, vorrq_u8(a.v[q], b.v[q])); }
PW_INLINE B64 set_bytes(uint8_t x) { PW_QUARTERS(B64, vdupq_n_u8(x)); }
// table[index] for indices below 16.
PW_INLINE B64 look_up(const uint8_t* table, B64 index) {
  const uint8x16_t values = vld1q_u8(table);
  PW_QUARTERS(B64, vqtbl1q_u8(values, index.v[q]));
}
// Shifts within each byte: the caller masks what other targets carry between the bytes of a 16-bit half.
template <int kBits>
PW_INLINE B64 shift_right_16(B64 a) {
  PW_QUARTERS(B64, vshrq_n_u8(a.v[q], kBits));
}
template <int kBits>
PW_INLINE B64 shift_left_16(B64 a) {
  PW_QUARTERS(B64, vshlq_n_u8(a.v[q], kBits));
}

PW_INLINE int8x16_t minus_128(uint8x16_t u) { return vreinterpretq_s8_u8(veorq_u8(u, vdupq_n_u8(128))); }

// Dots run over signed bytes only; 8-bit weights are used as the value itself.
inline constexpr bool kSignedWeights8 = true;

#if defined(__ARM_FEATURE_DOTPROD)

// acc + dot of 4 unsigned with 4 signed bytes per lane, exact for all byte values: u = (u - 128) + 128. The second
// part depends on s alone, and kernels reuse it many times: the compiler then computes it once.
PW_INLINE I32 dot_u8s8(I32 acc, B64 u, B64 s) {
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {
    const int8x16_t x = vreinterpretq_s8_u8(s.v[q]);
    const int32x4_t minus_128_sum = vdotq_s32(vdupq_n_s32(0), vdupq_n_s8(-128), x);
    acc.v[q] = vsubq_s32(vdotq_s32(acc.v[q], minus_128(u.v[q]), x), minus_128_sum);
  }
  return acc;
}

// Dot of up to 8 groups of weights (unsigned, kBits wide; 8: value + 128) with signed activations.
template <int kBits>
struct WeightDot {
  I32 acc;
  PW_INLINE WeightDot begin(I32 start) { return {start}; }
  PW_INLINE void step(WeightDot& d, B64 w, const void* x_dword) {
    const int8x16_t x = vreinterpretq_s8_u8(broadcast_bytes(x_dword).v[0]);
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const int8x16_t value = kBits == 8 ? minus_128(w.v[q]) : vreinterpretq_s8_u8(w.v[q]);
      d.acc.v[q] = vdotq_s32(d.acc.v[q], value, x);
    }
  }
  PW_INLINE I32 end(const WeightDot& d) { return d.acc; }
};

// Panels and tokens of the largest register block.
inline constexpr int kPanelTile = 1;
inline constexpr int kTokenTile = 4;

#else

// Sums of the four columns of each row, from two registers of two rows.
PW_INLINE int32x4_t row_sums(int16x8_t lower, int16x8_t upper) {
  return vpaddq_s32(vpaddlq_s16(lower), vpaddlq_s16(upper));
}

// acc + dot of 4 unsigned with 4 signed bytes per lane, exact for all byte values: u = (u - 128) + 128. The second
// part depends on s alone, and kernels reuse it many times: the compiler then computes it once.
PW_INLINE I32 dot_u8s8(I32 acc, B64 u, B64 s) {
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {
    const int8x16_t x = vreinterpretq_s8_u8(s.v[q]);
    const int8x16_t y = minus_128(u.v[q]);
    const int32x4_t sum = vpaddlq_s16(vpaddlq_s8(x));
    const int32x4_t dot = row_sums(vmull_s8(vget_low_s8(y), vget_low_s8(x)), vmull_high_s8(y, x));
    acc.v[q] = vaddq_s32(vaddq_s32(acc.v[q], dot), vshlq_n_s32(sum, 7));
  }
  return acc;
}

// Dot of up to 8 groups of weights (unsigned, kBits wide; 8: value + 128) with activations in [-127, 127].
// Products of a column are added in int16 as long as they fit: 4 steps of 6 bits reach 4 * 63 * 127 = 32004.
template <int kBits>
struct WeightDot {
  static constexpr int kChain = kBits == 8 ? 2 : 4;
  I32 acc;
  int16x8_t lower[4];  // of the first two rows of each quarter
  int16x8_t upper[4];
  int steps;

  PW_INLINE WeightDot begin(I32 start) {
    WeightDot d;
    d.acc = start;
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) d.lower[q] = d.upper[q] = vdupq_n_s16(0);
    d.steps = 0;
    return d;
  }
  PW_INLINE void step(WeightDot& d, B64 w, const void* x_dword) {
    const int8x16_t x = vreinterpretq_s8_u8(broadcast_bytes(x_dword).v[0]);
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const int8x16_t value = kBits == 8 ? minus_128(w.v[q]) : vreinterpretq_s8_u8(w.v[q]);
      d.lower[q] = vmlal_s8(d.lower[q], vget_low_s8(value), vget_low_s8(x));
      d.upper[q] = vmlal_high_s8(d.upper[q], value, x);
    }
    if (++d.steps == kChain) d = begin(end(d));
  }
  PW_INLINE I32 end(const WeightDot& d) {
    if (d.steps == 0) return d.acc;
    PW_QUARTERS(I32, vaddq_s32(d.acc.v[q], row_sums(d.lower[q], d.upper[q])));
  }
};

// Panels and tokens of the largest register block.
inline constexpr int kPanelTile = 1;
inline constexpr int kTokenTile = 2;

#endif

PW_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }
PW_INLINE void prefetch_far(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace pennyweight::PW_TARGET
