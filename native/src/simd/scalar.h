// Vector vocabulary: plain C++ for the baseline instruction set. It states what the others compute, and runs anywhere.
#pragma once

#include <stdint.h>

namespace pennyweight::PW_TARGET {

struct F32 {
  float v[16];
};
struct I32 {
  int32_t v[16];
};
struct B64 {  // 64 bytes: 16 rows (or tokens, or queries) of 4
  uint8_t v[64];
};

// The compiler chooses what to inline, but for the longest: all inlined, this is a megabyte that takes a minute.
#define PW_INLINE static inline
#define PW_CALL static __attribute__((noinline, unused))

template <class Vector, class Function>
PW_INLINE Vector each(Function f) {
  Vector r;
#pragma GCC unroll 1
  for (int i = 0; i < 16; ++i) r.v[i] = f(i);
  return r;
}

PW_INLINE uint32_t bits_of(float x) {
  uint32_t u;
  __builtin_memcpy(&u, &x, 4);
  return u;
}
PW_INLINE float float_of(uint32_t u) {
  float x;
  __builtin_memcpy(&x, &u, 4);
  return x;
}

// a * b + c rounded once. Where the baseline has no such instruction: the product is exact in double, the sum is
// rounded to odd, and a second rounding of that cannot go wrong (Boldo and Melquiond, 2008).
PW_INLINE float fused(float a, float b, float c) {
#if defined(__FP_FAST_FMAF)
  return __builtin_fmaf(a, b, c);
#else
  const double p = static_cast<double>(a) * b;
  double sum = p + c;
  const double c_part = sum - p;
  const double error = (p - (sum - c_part)) + (c - c_part);
  int64_t u;
  __builtin_memcpy(&u, &sum, 8);
  const int64_t away = (error > 0) == (sum > 0) ? 1 : -1;
  const bool inexact = error > 0 || error < 0;  // not where the sum is infinite: then the error is NaN
  if (inexact && (u & 1) == 0) u += away;
  __builtin_memcpy(&sum, &u, 8);
  return static_cast<float>(sum);
#endif
}
// To the nearest integer, ties to even: adding 1.5 * 2^23 leaves no bits for a fraction.
PW_INLINE float nearest(float x) {
  if (!(__builtin_fabsf(x) < 4194304.0F)) return x;
  return __builtin_copysignf((x + 12582912.0F) - 12582912.0F, x);
}
PW_INLINE int32_t nearest_int(float x) {
  if (!(__builtin_fabsf(x) < 2147483648.0F)) return INT32_MIN;
  return static_cast<int32_t>(nearest(x));
}
PW_INLINE float half_to_float(uint16_t h) {
  const uint32_t sign = (h & 0x8000U) << 16;
  const uint32_t exponent = (h >> 10) & 31;
  const uint32_t fraction = h & 1023U;
  if (exponent == 31) return float_of(sign | 0x7f800000U | fraction << 13);
  if (exponent != 0) return float_of(sign | (exponent + 112) << 23 | fraction << 13);
  return float_of(sign | bits_of(static_cast<float>(fraction) * 0x1p-24F));  // subnormal or zero, exact
}

PW_INLINE F32 load(const float* p) {
  F32 r;
  __builtin_memcpy(r.v, p, 64);
  return r;
}
PW_INLINE void store(float* p, F32 a) { __builtin_memcpy(p, a.v, 64); }
PW_INLINE F32 broadcast(float x) {
  return each<F32>([=](int) { return x; });
}
PW_INLINE F32 zero() { return broadcast(0.0F); }
PW_INLINE F32 add(F32 a, F32 b) {
  return each<F32>([&](int i) { return a.v[i] + b.v[i]; });
}
PW_INLINE F32 sub(F32 a, F32 b) {
  return each<F32>([&](int i) { return a.v[i] - b.v[i]; });
}
PW_INLINE F32 mul(F32 a, F32 b) {
  return each<F32>([&](int i) { return a.v[i] * b.v[i]; });
}
PW_INLINE F32 div(F32 a, F32 b) {
  return each<F32>([&](int i) { return a.v[i] / b.v[i]; });
}
PW_CALL F32 fma(F32 a, F32 b, F32 c) {
  return each<F32>([&](int i) { return fused(a.v[i], b.v[i], c.v[i]); });
}
PW_INLINE F32 max(F32 a, F32 b) {
  return each<F32>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
PW_INLINE F32 min(F32 a, F32 b) {
  return each<F32>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
PW_INLINE F32 abs(F32 a) {
  return each<F32>([&](int i) { return __builtin_fabsf(a.v[i]); });
}
PW_CALL F32 round(F32 a) {
  return each<F32>([&](int i) { return nearest(a.v[i]); });
}
PW_INLINE float tree_sum(F32 a) {
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) a.v[i] += a.v[i + width];
  return a.v[0];
}
PW_INLINE float maximum(F32 a) {
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) a.v[i] = a.v[i] > a.v[i + width] ? a.v[i] : a.v[i + width];
  return a.v[0];
}
PW_INLINE uint32_t at_least_bits(F32 a, F32 b) {
  uint32_t bits = 0;
  for (int i = 0; i < 16; ++i) bits |= (uint32_t)(a.v[i] >= b.v[i]) << i;
  return bits;
}
PW_INLINE bool any_different(F32 a, F32 b) {
  bool different = false;
  for (int i = 0; i < 16; ++i) different |= a.v[i] != b.v[i];
  return different;
}

// Integer sums wrap around as in the vector instructions, hence the detour through unsigned.
PW_INLINE int32_t wrap(uint32_t x) { return static_cast<int32_t>(x); }

// Lane i of the result is lane i ^ kDistance (a power of two).
template <int kDistance>
PW_INLINE F32 swap_lanes(F32 a) {
  return each<F32>([&](int i) { return a.v[i ^ kDistance]; });
}

PW_INLINE I32 load_i32(const int32_t* p) {
  I32 r;
  __builtin_memcpy(r.v, p, 64);
  return r;
}
PW_INLINE void store_i32(int32_t* p, I32 a) { __builtin_memcpy(p, a.v, 64); }
PW_INLINE I32 broadcast_i32(int32_t x) {
  return each<I32>([=](int) { return x; });
}
PW_INLINE I32 add_i32(I32 a, I32 b) {
  return each<I32>([&](int i) { return wrap(static_cast<uint32_t>(a.v[i]) + static_cast<uint32_t>(b.v[i])); });
}
PW_INLINE I32 or_i32(I32 a, I32 b) {
  return each<I32>([&](int i) { return a.v[i] | b.v[i]; });
}
template <int kBits>
PW_INLINE I32 shift_left(I32 a) {
  return each<I32>([&](int i) { return wrap(static_cast<uint32_t>(a.v[i]) << kBits); });
}
PW_INLINE int32_t sum_i32(I32 a) {
  uint32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += static_cast<uint32_t>(a.v[i]);
  return wrap(sum);
}
PW_INLINE I32 lane_index() {
  return each<I32>([](int i) { return i; });
}
PW_INLINE F32 to_float(I32 a) {
  return each<F32>([&](int i) { return static_cast<float>(a.v[i]); });
}
PW_CALL I32 round_to_int(F32 a) {
  return each<I32>([&](int i) { return nearest_int(a.v[i]); });
}
// 2^n for integral n in [-126, 127].
PW_INLINE F32 power_of_two(F32 n) {
  return each<F32>([&](int i) { return float_of(static_cast<uint32_t>(nearest_int(n.v[i]) + 127) << 23); });
}
// Lanes with low <= x <= high keep `a`, the others get `b`.
PW_INLINE F32 select_between(I32 x, I32 low, I32 high, F32 a, F32 b) {
  return each<F32>([&](int i) { return low.v[i] <= x.v[i] && x.v[i] <= high.v[i] ? a.v[i] : b.v[i]; });
}
// Lanes with x >= low keep `a`, the others (NaN too) get `b`.
PW_INLINE F32 select_at_least(F32 x, F32 low, F32 a, F32 b) {
  return each<F32>([&](int i) { return x.v[i] >= low.v[i] ? a.v[i] : b.v[i]; });
}
PW_INLINE void store_s8(int8_t* p, I32 a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(a.v[i]);
}
PW_INLINE uint16_t load_u16(const void* p, int i) {
  uint16_t u;
  __builtin_memcpy(&u, static_cast<const char*>(p) + 2 * i, 2);
  return u;
}
PW_CALL F32 load_half(const void* p) {
  return each<F32>([&](int i) { return half_to_float(load_u16(p, i)); });
}
PW_INLINE F32 load_bf16(const void* p) {
  return each<F32>([&](int i) { return float_of(static_cast<uint32_t>(load_u16(p, i)) << 16); });
}
PW_INLINE F32 load_u8(const void* p) {
  return each<F32>([&](int i) { return static_cast<float>(static_cast<const uint8_t*>(p)[i]); });
}
PW_INLINE F32 load_s8(const void* p) {
  return each<F32>([&](int i) { return static_cast<float>(static_cast<const int8_t*>(p)[i]); });
}
// The low (0) or high (4) nibbles of 16 bytes.
template <int kShift>
PW_INLINE F32 load_u4(const void* p) {
  return each<F32>([&](int i) { return static_cast<float>(static_cast<const uint8_t*>(p)[i] >> kShift & 15); });
}

PW_INLINE B64 load_bytes(const void* p) {
  B64 r;
  __builtin_memcpy(r.v, p, 64);
  return r;
}
PW_INLINE void store_bytes(void* p, B64 a) { __builtin_memcpy(p, a.v, 64); }
PW_INLINE B64 bytes_of(I32 a) { return load_bytes(a.v); }
PW_INLINE B64 broadcast_bytes(const void* dword) {
  B64 r;
  for (int i = 0; i < 16; ++i) __builtin_memcpy(r.v + 4 * i, dword, 4);
  return r;
}
PW_INLINE B64 and_bytes(B64 a, B64 b) {
  for (int i = 0; i < 64; ++i) a.v[i] &= b.v[i];
  return a;
}
PW_INLINE B64 or_bytes(B64 a, B64 b) {
  for (int i = 0; i < 64; ++i) a.v[i] |= b.v[i];
  return a;
}
PW_INLINE B64 set_bytes(uint8_t x) {
  B64 r;
  for (int i = 0; i < 64; ++i) r.v[i] = x;
  return r;
}
// table[index] for indices below 16.
PW_INLINE B64 look_up(const uint8_t* table, B64 index) {
  for (int i = 0; i < 64; ++i) index.v[i] = table[index.v[i]];
  return index;
}
// Shifts within each byte: the caller masks what other targets carry between the bytes of a 16-bit half.
template <int kBits>
PW_INLINE B64 shift_right_16(B64 a) {
  for (int i = 0; i < 64; ++i) a.v[i] = static_cast<uint8_t>(a.v[i] >> kBits);
  return a;
}
template <int kBits>
PW_INLINE B64 shift_left_16(B64 a) {
  for (int i = 0; i < 64; ++i) a.v[i] = static_cast<uint8_t>(a.v[i] << kBits);
  return a;
}

// acc + dot of 4 unsigned with 4 signed bytes per lane, exact for all byte values.
PW_CALL I32 dot_u8s8(I32 acc, B64 u, B64 s) {
  return each<I32>([&](int i) {
    int32_t sum = acc.v[i];
    for (int j = 4 * i; j < 4 * i + 4; ++j) sum += u.v[j] * static_cast<int8_t>(s.v[j]);
    return sum;
  });
}

// Dot of up to 8 groups of weights (unsigned, kBits wide; 8: value + 128) with signed activations.
inline constexpr bool kSignedWeights8 = false;  // 8-bit weights are used as value + 128
template <int kBits>
struct WeightDot {
  I32 acc;
  PW_INLINE WeightDot begin(I32 start) { return {start}; }
  PW_INLINE void step(WeightDot& d, B64 w, const void* x_dword) {
    d.acc = dot_u8s8(d.acc, w, broadcast_bytes(x_dword));
  }
  PW_INLINE I32 end(const WeightDot& d) { return d.acc; }
};

PW_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }
PW_INLINE void prefetch_far(const void* p) { __builtin_prefetch(p); }

// Panels and tokens of the largest register block.
inline constexpr int kPanelTile = 1;
inline constexpr int kTokenTile = 4;

}  // namespace pennyweight::PW_TARGET
