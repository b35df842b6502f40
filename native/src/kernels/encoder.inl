// What an encoder needs beside linear layers: LayerNorm, GELU, attention without a mask (docs/numerics.md, "Encoder").
#pragma once

#include "math.inl"

namespace pennyweight::PW_TARGET {

static void layernorm(const float* x, const float* weight, const float* bias, float eps, int n, float* y) {
  F32 sum = zero();
  for (int i = 0; i < n; i += 16) sum = add(sum, load(x + i));
  const F32 mean = broadcast(tree_sum(sum) / static_cast<float>(n));
  F32 squares = zero();
  for (int i = 0; i < n; i += 16) {
    const F32 d = sub(load(x + i), mean);
    squares = fma(d, d, squares);
  }
  const F32 r = broadcast(1.0F / __builtin_sqrtf(tree_sum(squares) / static_cast<float>(n) + eps));
  for (int i = 0; i < n; i += 16) store(y + i, fma(mul(sub(load(x + i), mean), r), load(weight + i), load(bias + i)));
}

// x times the normal distribution function of x, whose tail is t (a1 + t (a2 + ...)) exp(-x^2 / 2) with
// t = 1 / (1 + p |x|): Abramowitz and Stegun 7.1.26, absolute error 7.5e-8.
PW_INLINE F32 gelu_of(F32 x) {
  const F32 t = div(broadcast(1.0F), fma(abs(x), broadcast(0.231641888F), broadcast(1.0F)));
  F32 p = broadcast(0.530702715F);
  p = fma(p, t, broadcast(-0.726576014F));
  p = fma(p, t, broadcast(0.710706871F));
  p = fma(p, t, broadcast(-0.142248368F));
  p = fma(p, t, broadcast(0.127414796F));
  const F32 tail = mul(mul(p, t), exp2(mul(mul(x, x), broadcast(-0.721347520F))));
  return mul(x, select_at_least(x, zero(), sub(broadcast(1.0F), tail), tail));
}

static void gelu(float* x, int n) {
  for (int i = 0; i < n; i += 16) store(x + i, gelu_of(load(x + i)));
}

inline constexpr int kAttendTile = kTokenTile > 8 ? 8 : 4;  // independent sums that keep the multipliers busy

// scores[j][lane] = q . k_j for kKeys keys; returns their maximum with `highest`.
template <int kKeys>
PW_INLINE F32 score_keys(const float* q, const float* keys, int head_dim, float* scores, F32 highest) {
  F32 s[kKeys];
#pragma GCC unroll 8
  for (int j = 0; j < kKeys; ++j) s[j] = zero();
  for (int d = 0; d < head_dim; ++d) {
    const F32 element = load(q + 16 * d);
#pragma GCC unroll 8
    for (int j = 0; j < kKeys; ++j) s[j] = fma(element, broadcast(keys[j * head_dim + d]), s[j]);
  }
#pragma GCC unroll 8
  for (int j = 0; j < kKeys; ++j) {
    store(scores + 16 * j, s[j]);
    highest = max(highest, s[j]);
  }
  return highest;
}

// out[d][lane] = sum of p_j v_j[d] over keys, times `inverse`, for kElements elements.
template <int kElements>
PW_INLINE void mix_values(const float* p, const float* values, int count, int head_dim, F32 inverse, float* out) {
  F32 o[kElements];
#pragma GCC unroll 8
  for (int d = 0; d < kElements; ++d) o[d] = zero();
  for (int j = 0; j < count; ++j) {
    const F32 weight = load(p + 16 * j);
#pragma GCC unroll 8
    for (int d = 0; d < kElements; ++d) o[d] = fma(weight, broadcast(values[j * head_dim + d]), o[d]);
  }
#pragma GCC unroll 8
  for (int d = 0; d < kElements; ++d) store(out + 16 * d, mul(o[d], inverse));
}

static void attend_all(const float* q, const float* keys, const float* values, int count, int head_dim, float factor,
                       float* scores, float* out) {
  F32 highest = broadcast(kMinusInfinity);
  int j = 0;
  for (; j + kAttendTile <= count; j += kAttendTile)
    highest = score_keys<kAttendTile>(q, keys + j * head_dim, head_dim, scores + 16 * j, highest);
  for (; j < count; ++j) highest = score_keys<1>(q, keys + j * head_dim, head_dim, scores + 16 * j, highest);
  F32 sum = zero();
  for (j = 0; j < count; ++j) {
    const F32 p = exp2(mul(sub(load(scores + 16 * j), highest), broadcast(factor)));
    store(scores + 16 * j, p);
    sum = add(sum, p);
  }
  const F32 inverse = div(broadcast(1.0F), sum);
  for (int d = 0; d < head_dim; d += kAttendTile)
    mix_values<kAttendTile>(scores, values + d, count, head_dim, inverse, out + 16 * d);
}

}  // namespace pennyweight::PW_TARGET
