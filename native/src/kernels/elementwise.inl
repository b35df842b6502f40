// Norms, quantisation, gates, rotation, and the vector parts of sampling (docs/numerics.md, "Building blocks").
#pragma once

#include "math.inl"

namespace pennyweight::PW_TARGET {

// `count` of 16 values, the others 0.
PW_INLINE F32 load_first(const float* x, int count) {
  float first[16] = {};
  for (int j = 0; j < count; ++j) first[j] = x[j];
  return load(first);
}

PW_INLINE void store_first(float* x, F32 value, int count) {
  float all[16];
  store(all, value);
  for (int j = 0; j < count; ++j) x[j] = all[j];
}

PW_INLINE float root(float x) { return __builtin_sqrtf(x); }

// amax -> (scale, inverse)
struct QuantScale {
  float scale;
  float inverse;
};
PW_INLINE QuantScale quant_scale(float amax) {
  if (!(amax >= kTiny)) return {0.0F, 0.0F};
  return {amax / 127.0F, 127.0F / amax};
}

// 16 values to int8; returns their sum.
PW_INLINE int32_t quantize_half(F32 x, float inverse, int8_t* q) {
  const I32 v = round_to_int(mul(x, broadcast(inverse)));
  store_s8(q, v);
  return static_cast<int16_t>(sum_i32(v));  // it fits, unless x is not a number
}

static void quantize(const float* x, int n, Grain grain, ActivationBlock* out) {
  for (; n > 0; n -= kBlock, x += kBlock, ++out) {
    const F32 a = load(x);
    const F32 b = load(x + 16);
    float lower = maximum(abs(a));
    float upper = maximum(abs(b));
    if (grain == Grain::kCoarse) lower = upper = lower > upper ? lower : upper;
    const QuantScale s = quant_scale(lower);
    const QuantScale t = quant_scale(upper);
    const int32_t sums[2] = {quantize_half(a, s.inverse, out->q), quantize_half(b, t.inverse, out->q + 16)};
    out->scale[0] = s.scale;
    out->scale[1] = t.scale;
    out->scaled_sum = grain == Grain::kCoarse
                          ? s.scale * static_cast<float>(sums[0] + sums[1])
                          : s.scale * static_cast<float>(sums[0]) + t.scale * static_cast<float>(sums[1]);
    out->minus_8_sums = -8 * (sums[0] + sums[1]);
    out->minus_8_half_sums[0] = -8 * sums[0];
    out->minus_8_half_sums[1] = -8 * sums[1];
  }
}

static void rmsnorm(const float* x, const float* weight, float eps, int n, float* y) {
  const int whole = n / 16 * 16;
  F32 squares = zero();
  for (int i = 0; i < whole; i += 16) squares = fma(load(x + i), load(x + i), squares);
  F32 tail = zero();
  if (whole < n) {
    tail = load_first(x + whole, n - whole);
    squares = fma(tail, tail, squares);
  }
  const float mean = tree_sum(squares) / static_cast<float>(n);
  const F32 r = broadcast(1.0F / root(mean + eps));
  for (int i = 0; i < whole; i += 16) store(y + i, mul(mul(load(x + i), r), load(weight + i)));
  if (whole < n) store_first(y + whole, mul(mul(tail, r), load_first(weight + whole, n - whole)), n - whole);
}

static void add_vectors(float* x, const float* y, int n) {
  int i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, add(load(x + i), load(y + i)));
  for (; i < n; ++i) x[i] += y[i];
}

static void add_scaled(float* x, const float* y, float factor, int n) {
  int i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, fma(load(y + i), broadcast(factor), load(x + i)));
  if (i < n) store_first(x + i, fma(load_first(y + i, n - i), broadcast(factor), load_first(x + i, n - i)), n - i);
}

static void scale_and_cap(float* x, float scale, double cap, int n) {
  const F32 limit = broadcast(static_cast<float>(cap));
  const F32 factor = broadcast(cap > 0 ? static_cast<float>(2.8853900817779268 / cap) : 0.0F);
  auto finished = [&](F32 z) {
    z = mul(z, broadcast(scale));
    return cap > 0 ? softcap(mul(z, factor), limit) : z;
  };
  int i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, finished(load(x + i)));
  if (i < n) store_first(x + i, finished(load_first(x + i, n - i)), n - i);
}

static void gate(Activation activation, const float* g_, const float* u, int n, float* h) {
  for (int i = 0; i < n; i += 16) {
    const F32 g = load(g_ + i);
    F32 t;
    if (activation == Activation::kSilu) {
      t = mul(g, broadcast(-kLog2e));
    } else {
      const F32 inner = mul(g, fma(mul(g, g), broadcast(0.0356774081F), broadcast(0.797884561F)));
      t = mul(inner, broadcast(-2.88539008F));
    }
    store(h + i, mul(div(g, add(broadcast(1.0F), exp2(t))), load(u + i)));
  }
}

static void rotate(float* x, const float* cosines, const float* sines, int half) {
  int i = 0;
  for (; i + 16 <= half; i += 16) {
    const F32 a = load(x + i);
    const F32 b = load(x + half + i);
    const F32 c = load(cosines + i);
    const F32 s = load(sines + i);
    store(x + i, fma(a, c, sub(zero(), mul(b, s))));
    store(x + half + i, fma(b, c, mul(a, s)));
  }
  for (; i < half; ++i) {
    const float a = x[i];
    const float b = x[half + i];
    x[i] = __builtin_fmaf(a, cosines[i], -(b * sines[i]));
    x[half + i] = __builtin_fmaf(b, cosines[i], a * sines[i]);
  }
}

static void quantize_head(const float* x, int n, int group, int8_t* q, float* scales, int32_t* sums) {
  for (int first = 0; first < n; first += group, ++scales, ++sums) {
    const int end = first + group < n ? first + group : n;
    auto sixteen = [&](int i) { return end - i < 16 ? load_first(x + i, end - i) : load(x + i); };
    F32 amax = zero();
    for (int i = first; i < end; i += 16) amax = max(amax, abs(sixteen(i)));
    const QuantScale s = quant_scale(maximum(amax));
    *scales = s.scale;
    *sums = 0;
    for (int i = first; i < end; i += 16) *sums += quantize_half(sixteen(i), s.inverse, q + i);
  }
}

static float maximum_of(const float* x, int n) {
  float best = x[0];
  int i = 0;
  if (n >= 16) {
    F32 m = load(x);
    for (; i + 16 <= n; i += 16) m = max(m, load(x + i));
    best = maximum(m);
  }
  for (; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

static bool all_finite(const float* x, int n) {
  F32 probe = zero();  // 0 * x is 0 unless x is infinite or not a number
  int i = 0;
  for (; i + 16 <= n; i += 16) probe = fma(load(x + i), zero(), probe);
  float tail = tree_sum(probe);
  for (; i < n; ++i) tail += x[i] * 0.0F;
  return tail == 0.0F;
}

// What lies more than 126 octaves below the maximum is impossible rather than 2^-126: a masked token is never drawn.
static void exponentials(const float* x, float maximum, float factor, int n, float* p) {
  const F32 m = broadcast(maximum);
  const F32 f = broadcast(factor);
  const F32 floor = broadcast(-126.0F);
  for (int i = 0; i < n; i += 16) {
    float tail[16];  // filled with what gives 0 however small the largest value is
    if (n - i < 16)
      for (int j = 0; j < 16; ++j) tail[j] = i + j < n ? x[i + j] : -__builtin_inff();
    const F32 t = mul(sub(load(n - i < 16 ? tail : x + i), m), f);
    store(p + i, select_at_least(t, floor, exp2(t), zero()));
  }
}

static double sum_runs(const float* p, int n) {
  double total = 0;
  for (int i = 0; i < n; i += 16) total += static_cast<double>(tree_sum(load(p + i)));
  return total;
}

static int at_least(const float* x, int n, float threshold, int* indices) {
  const F32 t = broadcast(threshold);
  int count = 0;
  int i = 0;
  for (; i + 16 <= n; i += 16)
    for (uint32_t bits = at_least_bits(load(x + i), t); bits != 0; bits &= bits - 1)
      indices[count++] = i + __builtin_ctz(bits);
  for (; i < n; ++i)
    if (x[i] >= threshold) indices[count++] = i;
  return count;
}

static double measure_peak(long iterations) {
  I32 acc[12];
  for (int i = 0; i < 12; ++i) acc[i] = broadcast_i32(i);
  B64 u = set_bytes(3);
  B64 s = set_bytes(1);
  for (long n = 0; n < iterations; ++n) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) acc[i] = dot_u8s8(acc[i], u, s);
  }
  volatile int32_t sink = 0;
  for (int i = 0; i < 12; ++i) sink = sink + sum_i32(acc[i]);
  return static_cast<double>(iterations) * 12 * 64;
}

}  // namespace pennyweight::PW_TARGET
