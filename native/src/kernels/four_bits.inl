// Keys and values on their way into four bits: rotation and quantisation (docs/numerics.md, "Keys and values in four
// bits").
#pragma once

#include "elementwise.inl"
#include "page.inl"

namespace pennyweight::PW_TARGET {

// Lanes i and i ^ kDistance become their sum and their difference.
template <int kDistance>
PW_INLINE F32 butterfly(F32 a, const float* signs) {
  return fma(a, load(signs), swap_lanes<kDistance>(a));
}

static void hadamard(float* x, int head_dim) {
  static constexpr float kSigns[4][16] = {{1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1},
                                          {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1},
                                          {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1},
                                          {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1}};
  const int run = head_dim & -head_dim;
  for (int i = 0; i < head_dim; i += 16) {
    F32 a = butterfly<1>(load(x + i), kSigns[0]);
    a = butterfly<2>(a, kSigns[1]);
    a = butterfly<4>(a, kSigns[2]);
    store(x + i, butterfly<8>(a, kSigns[3]));
  }
  for (int width = 16; width < run; width *= 2)
    for (int first = 0; first < head_dim; first += 2 * width)
      for (int i = first; i < first + width; i += 16) {
        const F32 a = load(x + i);
        const F32 b = load(x + i + width);
        store(x + i, add(a, b));
        store(x + i + width, sub(a, b));
      }
  const F32 factor = broadcast(1.0F / __builtin_sqrtf(static_cast<float>(run)));
  for (int i = 0; i < head_dim; i += 16) store(x + i, mul(load(x + i), factor));
}

// The nearest float32 whose lower half is 0.
PW_INLINE float round_to_bf16(float x) {
  uint32_t u;
  __builtin_memcpy(&u, &x, 4);
  u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000U;
  __builtin_memcpy(&x, &u, 4);
  return x;
}

// The codes of 16 values in units of 127 / largest, and the levels they stand for.
struct Codes {
  F32 code;
  F32 level;
};
PW_INLINE Codes nearest_codes(F32 y) {
  F32 steps = zero();
  F32 magnitude = broadcast(kLevels[8]);
#pragma GCC unroll 7
  for (int i = 0; i < 7; ++i) {
    const F32 limit = broadcast(0.5F * (kLevels[8 + i] + kLevels[9 + i]));
    steps = add(steps, select_at_least(abs(y), limit, broadcast(1.0F), zero()));
    magnitude = add(magnitude, select_at_least(abs(y), limit, broadcast(kLevels[9 + i] - kLevels[8 + i]), zero()));
  }
  return {select_at_least(y, zero(), add(broadcast(8.0F), steps), sub(broadcast(7.0F), steps)),
          select_at_least(y, zero(), magnitude, sub(zero(), magnitude))};
}

static void quantize_head_4(const float* x, int n, int group, int8_t* codes, float* scales) {
  for (int first = 0; first < n; first += group, ++scales) {
    const int end = first + group < n ? first + group : n;
    F32 amax = zero();
    for (int i = first; i < end; i += 16) amax = max(amax, abs(load(x + i)));
    const QuantScale s = quant_scale(maximum(amax));
    F32 products = zero();
    F32 squares = zero();
    for (int i = first; i < end; i += 16) {
      const F32 y = mul(load(x + i), broadcast(s.inverse));
      const Codes nearest = nearest_codes(y);
      store_s8(codes + i, round_to_int(nearest.code));
      products = fma(y, nearest.level, products);
      squares = fma(nearest.level, nearest.level, squares);
    }
    *scales = round_to_bf16(tree_sum(products) / tree_sum(squares) * s.scale);
  }
}

}  // namespace pennyweight::PW_TARGET
