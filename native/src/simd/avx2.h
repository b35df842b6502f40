// Vector vocabulary: AVX2 with FMA and F16C; with AVX-VNNI too where the target has it. A vector is two registers.
#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace pennyweight::PW_TARGET {

struct F32 {
  __m256 lo, hi;
};
struct I32 {
  __m256i lo, hi;
};
struct B64 {  // 64 bytes: 16 rows (or tokens, or queries) of 4
  __m256i lo, hi;
};

#define PW_INLINE static inline __attribute__((always_inline))

PW_INLINE __m256i load_256(const void* p) { return _mm256_loadu_si256((const __m256i*)p); }
PW_INLINE __m128i load_128(const void* p) { return _mm_loadu_si128((const __m128i*)p); }

PW_INLINE F32 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
PW_INLINE void store(float* p, F32 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
PW_INLINE F32 broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
PW_INLINE F32 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
PW_INLINE F32 add(F32 a, F32 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
PW_INLINE F32 sub(F32 a, F32 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
PW_INLINE F32 mul(F32 a, F32 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
PW_INLINE F32 div(F32 a, F32 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
PW_INLINE F32 fma(F32 a, F32 b, F32 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
PW_INLINE F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
PW_INLINE F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
PW_INLINE F32 abs(F32 a) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
PW_INLINE F32 round(F32 a) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.lo, kNearest), _mm256_round_ps(a.hi, kNearest)};
}
PW_INLINE float tree_sum(F32 a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
PW_INLINE float maximum(F32 a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
PW_INLINE uint32_t at_least_bits(F32 a, F32 b) {
  const uint32_t lo = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_GE_OQ));
  return lo | (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_GE_OQ)) << 8;
}
PW_INLINE bool any_different(F32 a, F32 b) {
  const __m256 lo = _mm256_cmp_ps(a.lo, b.lo, _CMP_NEQ_UQ);
  const __m256 hi = _mm256_cmp_ps(a.hi, b.hi, _CMP_NEQ_UQ);
  return _mm256_movemask_ps(_mm256_or_ps(lo, hi)) != 0;
}

// Lane i of the result is lane i ^ kDistance (a power of two).
template <int kDistance>
PW_INLINE F32 swap_lanes(F32 a) {
  if constexpr (kDistance == 1) return {_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1)};
  if constexpr (kDistance == 2) return {_mm256_permute_ps(a.lo, 0x4e), _mm256_permute_ps(a.hi, 0x4e)};
  if constexpr (kDistance == 4) return {_mm256_permute2f128_ps(a.lo, a.lo, 1), _mm256_permute2f128_ps(a.hi, a.hi, 1)};
  return {a.hi, a.lo};
}

PW_INLINE I32 load_i32(const int32_t* p) { return {load_256(p), load_256(p + 8)}; }
PW_INLINE void store_i32(int32_t* p, I32 a) {
  _mm256_storeu_si256((__m256i*)p, a.lo);
  _mm256_storeu_si256((__m256i*)(p + 8), a.hi);
}
PW_INLINE I32 broadcast_i32(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
PW_INLINE I32 add_i32(I32 a, I32 b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
PW_INLINE I32 or_i32(I32 a, I32 b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
template <int kBits>
PW_INLINE I32 shift_left(I32 a) {
  return {_mm256_slli_epi32(a.lo, kBits), _mm256_slli_epi32(a.hi, kBits)};
}
PW_INLINE int32_t sum_i32(I32 a) {
  const __m256i eight = _mm256_add_epi32(a.lo, a.hi);
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
PW_INLINE I32 lane_index() {
  return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)};
}
PW_INLINE F32 to_float(I32 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
PW_INLINE I32 round_to_int(F32 a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
// 2^n for integral n in [-126, 127].
PW_INLINE F32 power_of_two(F32 n) {
  const I32 bits = shift_left<23>(add_i32(round_to_int(n), broadcast_i32(127)));
  return {_mm256_castsi256_ps(bits.lo), _mm256_castsi256_ps(bits.hi)};
}
PW_INLINE __m256 blend(__m256i choose_b, __m256 a, __m256 b) {
  return _mm256_blendv_ps(a, b, _mm256_castsi256_ps(choose_b));
}
// Lanes with low <= x <= high keep `a`, the others get `b`.
PW_INLINE F32 select_between(I32 x, I32 low, I32 high, F32 a, F32 b) {
  const __m256i lo = _mm256_or_si256(_mm256_cmpgt_epi32(low.lo, x.lo), _mm256_cmpgt_epi32(x.lo, high.lo));
  const __m256i hi = _mm256_or_si256(_mm256_cmpgt_epi32(low.hi, x.hi), _mm256_cmpgt_epi32(x.hi, high.hi));
  return {blend(lo, a.lo, b.lo), blend(hi, a.hi, b.hi)};
}
// Lanes with x >= low keep `a`, the others (NaN too) get `b`.
PW_INLINE F32 select_at_least(F32 x, F32 low, F32 a, F32 b) {
  return {_mm256_blendv_ps(b.lo, a.lo, _mm256_cmp_ps(x.lo, low.lo, _CMP_GE_OQ)),
          _mm256_blendv_ps(b.hi, a.hi, _mm256_cmp_ps(x.hi, low.hi, _CMP_GE_OQ))};
}
PW_INLINE void store_s8(int8_t* p, I32 a) {
  const __m256i low_byte = _mm256_set1_epi32(255);
  const __m256i halves = _mm256_packus_epi32(_mm256_and_si256(a.lo, low_byte), _mm256_and_si256(a.hi, low_byte));
  const __m256i ordered = _mm256_permute4x64_epi64(halves, 0xd8);
  _mm_storeu_si128((__m128i*)p,
                   _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
}
PW_INLINE F32 load_half(const void* p) {
  return {_mm256_cvtph_ps(load_128(p)), _mm256_cvtph_ps(load_128((const char*)p + 16))};
}
PW_INLINE F32 load_bf16(const void* p) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_128(p)), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_128((const char*)p + 16)), 16))};
}
PW_INLINE F32 load_u8(const void* p) {
  const __m128i bytes = load_128(p);
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}
PW_INLINE F32 load_s8(const void* p) {
  const __m128i bytes = load_128(p);
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
// The low (0) or high (4) nibbles of 16 bytes.
template <int kShift>
PW_INLINE F32 load_u4(const void* p) {
  const __m128i nibbles = _mm_and_si128(_mm_srli_epi16(load_128(p), kShift), _mm_set1_epi8(15));
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(nibbles)),
          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(nibbles, 8)))};
}

PW_INLINE B64 load_bytes(const void* p) { return {load_256(p), load_256((const char*)p + 32)}; }
PW_INLINE void store_bytes(void* p, B64 a) {
  _mm256_storeu_si256((__m256i*)p, a.lo);
  _mm256_storeu_si256((__m256i*)((char*)p + 32), a.hi);
}
PW_INLINE B64 bytes_of(I32 a) { return {a.lo, a.hi}; }
PW_INLINE B64 broadcast_bytes(const void* dword) {
  int32_t x;
  __builtin_memcpy(&x, dword, 4);
  return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
PW_INLINE B64 and_bytes(B64 a, B64 b) { return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
PW_INLINE B64 or_bytes(B64 a, B64 b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
PW_INLINE B64 set_bytes(uint8_t x) { return {_mm256_set1_epi8((char)x), _mm256_set1_epi8((char)x)}; }
// table[index] for indices below 16.
PW_INLINE B64 look_up(const uint8_t* table, B64 index) {
  const __m256i twice = _mm256_broadcastsi128_si256(load_128(table));
  return {_mm256_shuffle_epi8(twice, index.lo), _mm256_shuffle_epi8(twice, index.hi)};
}
// Shifts of 16-bit halves: the caller masks what crosses a byte.
template <int kBits>
PW_INLINE B64 shift_right_16(B64 a) {
  return {_mm256_srli_epi16(a.lo, kBits), _mm256_srli_epi16(a.hi, kBits)};
}
template <int kBits>
PW_INLINE B64 shift_left_16(B64 a) {
  return {_mm256_slli_epi16(a.lo, kBits), _mm256_slli_epi16(a.hi, kBits)};
}

#if defined(__AVXVNNI__)

// acc + dot of 4 unsigned with 4 signed bytes per lane, exact for all byte values.
PW_INLINE I32 dot_u8s8(I32 acc, B64 u, B64 s) {
  return {_mm256_dpbusd_avx_epi32(acc.lo, u.lo, s.lo), _mm256_dpbusd_avx_epi32(acc.hi, u.hi, s.hi)};
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

#else

// acc + dot of 4 unsigned with 4 signed bytes per lane, exact for all byte values: maddubs would saturate, so even
// and odd bytes are widened. Kernels reuse one operand many times, the compiler then widens it once.
PW_INLINE __m256i dot_u8s8_256(__m256i acc, __m256i u, __m256i s) {
  const __m256i u_even = _mm256_and_si256(u, _mm256_set1_epi16(255));
  const __m256i u_odd = _mm256_srli_epi16(u, 8);
  const __m256i s_even = _mm256_srai_epi16(_mm256_slli_epi16(s, 8), 8);
  const __m256i s_odd = _mm256_srai_epi16(s, 8);
  acc = _mm256_add_epi32(acc, _mm256_madd_epi16(u_even, s_even));
  return _mm256_add_epi32(acc, _mm256_madd_epi16(u_odd, s_odd));
}
PW_INLINE I32 dot_u8s8(I32 acc, B64 u, B64 s) {
  return {dot_u8s8_256(acc.lo, u.lo, s.lo), dot_u8s8_256(acc.hi, u.hi, s.hi)};
}

// Dot of up to 8 groups of weights (unsigned, kBits wide; 8: value + 128) with activations in [-127, 127].
// Products of pairs are added in int16 as long as they fit: 8 steps of up to 4 bits reach 8 * 2 * 15 * 127 = 30480.
inline constexpr bool kSignedWeights8 = true;  // 8-bit weights are used as the value itself
template <int kBits>
struct WeightDot {
  static constexpr int kChain = kBits <= 4 ? 8 : kBits == 5 ? 4 : kBits == 6 ? 2 : 1;
  I32 acc;
  B64 chain;  // int16
  int steps;

  PW_INLINE WeightDot begin(I32 start) { return {start, set_bytes(0), 0}; }
  PW_INLINE void step(WeightDot& d, B64 w, const void* x_dword) {
    const B64 x = broadcast_bytes(x_dword);
    d.chain.lo = _mm256_add_epi16(d.chain.lo, products(w.lo, x.lo));
    d.chain.hi = _mm256_add_epi16(d.chain.hi, products(w.hi, x.hi));
    // Left to itself GCC adds as a tree, which keeps all products alive, in memory.
    __asm__("" : "+x"(d.chain.lo), "+x"(d.chain.hi));
    if (++d.steps == kChain) d = begin(end(d));
  }
  PW_INLINE I32 end(const WeightDot& d) {
    if (d.steps == 0) return d.acc;
    const __m256i ones = _mm256_set1_epi16(1);
    return {_mm256_add_epi32(d.acc.lo, _mm256_madd_epi16(d.chain.lo, ones)),
            _mm256_add_epi32(d.acc.hi, _mm256_madd_epi16(d.chain.hi, ones))};
  }
  PW_INLINE __m256i products(__m256i w, __m256i x) {
    if constexpr (kBits < 8) return _mm256_maddubs_epi16(w, x);
    const __m256i value = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(value), _mm256_sign_epi8(x, value));
  }
};

#endif

PW_INLINE void prefetch(const void* p) { _mm_prefetch((const char*)p, _MM_HINT_T0); }
PW_INLINE void prefetch_far(const void* p) { _mm_prefetch((const char*)p, _MM_HINT_T1); }

// Panels and tokens of the largest register block.
inline constexpr int kPanelTile = 1;
inline constexpr int kTokenTile = 4;

}  // namespace pennyweight::PW_TARGET
