// Vector vocabulary: AVX-512 (F, BW, VL, DQ) with VNNI.
#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace pennyweight::PW_TARGET {

struct F32 {
  __m512 v;
};
struct I32 {
  __m512i v;
};
struct B64 {  // 64 bytes: 16 rows (or tokens, or queries) of 4
  __m512i v;
};

#define PW_INLINE static inline __attribute__((always_inline))

PW_INLINE F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
PW_INLINE void store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
PW_INLINE F32 broadcast(float x) { return {_mm512_set1_ps(x)}; }
PW_INLINE F32 zero() { return {_mm512_setzero_ps()}; }
PW_INLINE F32 add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
PW_INLINE F32 sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
PW_INLINE F32 mul(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
PW_INLINE F32 div(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
PW_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
PW_INLINE F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
PW_INLINE F32 min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
PW_INLINE F32 abs(F32 a) { return {_mm512_abs_ps(a.v)}; }
PW_INLINE F32 round(F32 a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
PW_INLINE float tree_sum(F32 a) { return _mm512_reduce_add_ps(a.v); }
PW_INLINE float maximum(F32 a) { return _mm512_reduce_max_ps(a.v); }
// Bit i: a[i] >= b[i].
PW_INLINE uint32_t at_least_bits(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ); }
PW_INLINE bool any_different(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_NEQ_UQ) != 0; }

// Lane i of the result is lane i ^ kDistance (a power of two).
template <int kDistance>
PW_INLINE F32 swap_lanes(F32 a) {
  if constexpr (kDistance == 1) return {_mm512_permute_ps(a.v, 0xb1)};
  if constexpr (kDistance == 2) return {_mm512_permute_ps(a.v, 0x4e)};
  return {kDistance == 4 ? _mm512_shuffle_f32x4(a.v, a.v, 0xb1) : _mm512_shuffle_f32x4(a.v, a.v, 0x4e)};
}

PW_INLINE I32 load_i32(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
PW_INLINE void store_i32(int32_t* p, I32 a) { _mm512_storeu_si512(p, a.v); }
PW_INLINE I32 broadcast_i32(int32_t x) { return {_mm512_set1_epi32(x)}; }
PW_INLINE I32 add_i32(I32 a, I32 b) { return {_mm512_add_epi32(a.v, b.v)}; }
PW_INLINE I32 or_i32(I32 a, I32 b) { return {_mm512_or_si512(a.v, b.v)}; }
template <int kBits>
PW_INLINE I32 shift_left(I32 a) {
  return {_mm512_slli_epi32(a.v, kBits)};
}
PW_INLINE int32_t sum_i32(I32 a) {  // wraps around; GCC's reduction is undefined where it overflows
  const __m256i eight = _mm256_add_epi32(_mm512_castsi512_si256(a.v), _mm512_extracti64x4_epi64(a.v, 1));
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
PW_INLINE I32 lane_index() { return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }
PW_INLINE F32 to_float(I32 a) { return {_mm512_cvtepi32_ps(a.v)}; }
PW_INLINE I32 round_to_int(F32 a) { return {_mm512_cvtps_epi32(a.v)}; }
// 2^n for integral n in [-126, 127].
PW_INLINE F32 power_of_two(F32 n) {
  return {
      _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127)), 23))};
}
// Lanes with low <= x <= high keep `a`, the others get `b`.
PW_INLINE F32 select_between(I32 x, I32 low, I32 high, F32 a, F32 b) {
  const __mmask16 inside = _mm512_mask_cmple_epi32_mask(_mm512_cmple_epi32_mask(low.v, x.v), x.v, high.v);
  return {_mm512_mask_blend_ps(inside, b.v, a.v)};
}
// Lanes with x >= low keep `a`, the others (NaN too) get `b`.
PW_INLINE F32 select_at_least(F32 x, F32 low, F32 a, F32 b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, low.v, _CMP_GE_OQ), b.v, a.v)};
}
PW_INLINE void store_s8(int8_t* p, I32 a) { _mm_storeu_si128((__m128i*)p, _mm512_cvtepi32_epi8(a.v)); }
PW_INLINE F32 load_half(const void* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))}; }
PW_INLINE F32 load_bf16(const void* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16))};
}
PW_INLINE F32 load_u8(const void* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p)))};
}
PW_INLINE F32 load_s8(const void* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)))};
}
// The low (0) or high (4) nibbles of 16 bytes.
template <int kShift>
PW_INLINE F32 load_u4(const void* p) {
  const __m512i words = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p));
  return {_mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(words, kShift), _mm512_set1_epi32(15)))};
}

PW_INLINE B64 load_bytes(const void* p) { return {_mm512_loadu_si512(p)}; }
PW_INLINE void store_bytes(void* p, B64 a) { _mm512_storeu_si512(p, a.v); }
PW_INLINE B64 bytes_of(I32 a) { return {a.v}; }
PW_INLINE B64 broadcast_bytes(const void* dword) {
  int32_t x;
  __builtin_memcpy(&x, dword, 4);
  return {_mm512_set1_epi32(x)};
}
PW_INLINE B64 and_bytes(B64 a, B64 b) { return {_mm512_and_si512(a.v, b.v)}; }
PW_INLINE B64 or_bytes(B64 a, B64 b) { return {_mm512_or_si512(a.v, b.v)}; }
PW_INLINE B64 set_bytes(uint8_t x) { return {_mm512_set1_epi8((char)x)}; }
// table[index] for indices below 16.
PW_INLINE B64 look_up(const uint8_t* table, B64 index) {
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)table)), index.v)};
}
// Shifts of 16-bit halves: the caller masks what crosses a byte.
template <int kBits>
PW_INLINE B64 shift_right_16(B64 a) {
  return {_mm512_srli_epi16(a.v, kBits)};
}
template <int kBits>
PW_INLINE B64 shift_left_16(B64 a) {
  return {_mm512_slli_epi16(a.v, kBits)};
}

// acc + dot of 4 unsigned with 4 signed bytes per lane, exact for all byte values.
PW_INLINE I32 dot_u8s8(I32 acc, B64 u, B64 s) { return {_mm512_dpbusd_epi32(acc.v, u.v, s.v)}; }

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

PW_INLINE void prefetch(const void* p) { _mm_prefetch((const char*)p, _MM_HINT_T0); }
PW_INLINE void prefetch_far(const void* p) { _mm_prefetch((const char*)p, _MM_HINT_T1); }

// Panels and tokens of the largest register block.
inline constexpr int kPanelTile = 2;
inline constexpr int kTokenTile = 6;

}  // namespace pennyweight::PW_TARGET
