// Linear layers over packed panels: one kernel for every number of tokens and every format.
// T tokens x 16 rows stay in registers; a block's weights are unpacked once and used by all T tokens. Each lane adds
// its blocks in ascending order whatever T is, so a token's result never depends on its company.
#pragma once

#include "pennyweight/kernels.h"

namespace pennyweight::PW_TARGET {

template <int kBits>
PW_INLINE void unpack(const uint8_t* p, B64 (&w)[8]) {
  if constexpr (kBits == 8) {
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) w[g] = load_bytes(p + 64 * g);
    return;
  }
  const B64 low = set_bytes(15);
#pragma GCC unroll 4
  for (int g = 0; g < 4; ++g) {
    const B64 nibbles = load_bytes(p + 64 * g);
    w[g] = and_bytes(nibbles, low);
    w[g + 4] = and_bytes(shift_right_16<4>(nibbles), low);
  }
  if constexpr (kBits == 5) {
    const B64 bit = set_bytes(16);
    const B64 h = load_bytes(p + 256);
    w[0] = or_bytes(w[0], and_bytes(shift_left_16<4>(h), bit));
    w[1] = or_bytes(w[1], and_bytes(shift_left_16<3>(h), bit));
    w[2] = or_bytes(w[2], and_bytes(shift_left_16<2>(h), bit));
    w[3] = or_bytes(w[3], and_bytes(shift_left_16<1>(h), bit));
    w[4] = or_bytes(w[4], and_bytes(h, bit));
    w[5] = or_bytes(w[5], and_bytes(shift_right_16<1>(h), bit));
    w[6] = or_bytes(w[6], and_bytes(shift_right_16<2>(h), bit));
    w[7] = or_bytes(w[7], and_bytes(shift_right_16<3>(h), bit));
  }
  if constexpr (kBits == 6) {
    const B64 bits = set_bytes(48);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const B64 h = load_bytes(p + 256 + 64 * half);
      B64* v = w + 4 * half;
      v[0] = or_bytes(v[0], and_bytes(shift_left_16<4>(h), bits));
      v[1] = or_bytes(v[1], and_bytes(shift_left_16<2>(h), bits));
      v[2] = or_bytes(v[2], and_bytes(h, bits));
      v[3] = or_bytes(v[3], and_bytes(shift_right_16<2>(h), bits));
    }
  }
}

// Float scales of one block; `minimum` is used where the format has it, `upper` by groups of 16.
struct Scales {
  F32 scale;
  F32 upper;
  F32 minimum;
};

template <Format kFormat>
PW_INLINE Scales load_scales(const uint8_t* super, const uint8_t* p) {
  constexpr FormatTraits f = traits(kFormat);
  Scales s = {zero(), zero(), zero()};
  if constexpr (!f.super_scales) {
    s.scale = load_half(p);
    if constexpr (f.has_minimum) s.minimum = load_half(p + 32);
  } else if constexpr (f.group == 16) {
    const F32 d = load_half(super);
    s.scale = mul(d, load_s8(p));
    s.upper = mul(d, load_s8(p + 16));
  } else {
    s.scale = mul(load_half(super), load_u8(p));
    s.minimum = mul(load_half(super + 32), load_u8(p + 16));
    s.minimum = sub(zero(), s.minimum);
  }
  return s;
}

// The accumulator's start that subtracts the zero point: -zero * sum.
template <int kZero>
PW_INLINE I32 zero_start(const ActivationBlock& a) {
  const I32 eights = broadcast_i32(a.minus_8_sums);
  if constexpr (kZero == 0) return broadcast_i32(0);
  if constexpr (kZero == 8) return eights;
  if constexpr (kZero == 16) return shift_left<1>(eights);
  if constexpr (kZero == 128) {
    if constexpr (kSignedWeights8) return broadcast_i32(0);
    return shift_left<4>(eights);
  }
  return eights;
}

template <Format kFormat>
PW_INLINE F32 add_block(const B64 (&w)[8], const Scales& s, const ActivationBlock& a, F32 acc) {
  constexpr FormatTraits f = traits(kFormat);
  using Dot = WeightDot<f.bits>;
  const F32 scale = broadcast(a.scale);
  if constexpr (f.group == 16) {
    Dot lower = Dot::begin(broadcast_i32(-f.zero * a.half_sums[0]));
    Dot upper = Dot::begin(broadcast_i32(-f.zero * a.half_sums[1]));
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) {
      Dot::step(lower, w[g], a.q + 4 * g);
      Dot::step(upper, w[g + 4], a.q + 16 + 4 * g);
    }
    acc = fma(to_float(Dot::end(lower)), mul(s.scale, scale), acc);
    return fma(to_float(Dot::end(upper)), mul(s.upper, scale), acc);
  } else {
    Dot lower = Dot::begin(zero_start<f.zero>(a));
    Dot upper = Dot::begin(broadcast_i32(0));
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) {
      Dot::step(lower, w[g], a.q + 4 * g);
      Dot::step(upper, w[g + 4], a.q + 16 + 4 * g);
    }
    acc = fma(to_float(Dot::end_both(lower, upper)), mul(s.scale, scale), acc);
    if constexpr (f.has_minimum) acc = fma(s.minimum, broadcast(a.scaled_sum), acc);
    return acc;
  }
}

PW_INLINE void emit(float* out, F32 value, bool accumulate) {
  store(out, accumulate ? add(load(out), value) : value);
}

// One token runs a panel at a time and fetches ahead: what bounds it is memory.
inline constexpr size_t kPrefetchBytes = 1536;

template <Format kFormat, int kTokens>
PW_INLINE void panel_times_tokens(const uint8_t* p, int num_blocks, const ActivationBlock* x, size_t x_stride,
                                  float* out, size_t out_stride, bool accumulate) {
  constexpr FormatTraits f = traits(kFormat);
  constexpr int kLines = static_cast<int>((f.block_bytes() + 63) / 64);
  F32 acc[kTokens];
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) acc[t] = zero();
  for (int b = 0; b < num_blocks; b += f.blocks_per_super()) {
    const uint8_t* super = p;
    p += f.super_header_bytes();
    for (int i = 0; i < f.blocks_per_super(); ++i, p += f.block_bytes()) {
      for (int line = 0; line < kLines; ++line) prefetch(p + kPrefetchBytes + 64 * line);
      B64 w[8];
      unpack<f.bits>(p, w);
      const Scales s = load_scales<kFormat>(super, p + f.quant_bytes());
#pragma GCC unroll 16
      for (int t = 0; t < kTokens; ++t) acc[t] = add_block<kFormat>(w, s, x[t * x_stride + b + i], acc[t]);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) emit(out + t * out_stride, acc[t], accumulate);
}

template <Format kFormat>
void linear(const PanelRange& w, const ActivationBlock* x, size_t x_stride, int tokens, float* out, size_t out_stride,
            bool accumulate) {
  for (int panel = w.begin; panel < w.end; ++panel, out += kPanelRows) {
    const uint8_t* p = w.panels + w.panel_bytes * panel;
    int t = 0;
    auto run = [&]<int kTokens>() {
      for (; tokens - t >= kTokens; t += kTokens)
        panel_times_tokens<kFormat, kTokens>(p, w.num_blocks, x + t * x_stride, x_stride, out + t * out_stride,
                                             out_stride, accumulate);
    };
    if constexpr (kTokenTile > 8) {
      if (tokens % kTokenTile != 4 || tokens > kTokenTile + 4) run.template operator()<kTokenTile>();
    }
    if constexpr (kTokenTile >= 8) run.template operator()<8>();
    run.template operator()<4>();
    run.template operator()<2>();
    run.template operator()<1>();
  }
}

template <Format kFormat>
PW_INLINE F32 load_column(const uint8_t* p) {
  if constexpr (kFormat == Format::kF32) return load(reinterpret_cast<const float*>(p));
  if constexpr (kFormat == Format::kF16) return load_half(p);
  return load_bf16(p);
}

template <Format kFormat, int kTokens>
PW_INLINE void float_panel(const uint8_t* p, int columns, const float* x, size_t x_stride, float* out,
                           size_t out_stride, bool accumulate) {
  constexpr size_t kColumnBytes = static_cast<size_t>(traits(kFormat).bits) * 2;
  F32 acc[kTokens];
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) acc[t] = zero();
  for (int k = 0; k < columns; ++k, p += kColumnBytes) {
    const F32 w = load_column<kFormat>(p);
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) acc[t] = fma(w, broadcast(x[t * x_stride + k]), acc[t]);
  }
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) emit(out + t * out_stride, acc[t], accumulate);
}

template <Format kFormat>
void linear_float(const PanelRange& w, const float* x, size_t x_stride, int tokens, float* out, size_t out_stride,
                  bool accumulate) {
  const int columns = w.num_blocks * kBlock;
  for (int panel = w.begin; panel < w.end; ++panel, out += kPanelRows) {
    const uint8_t* p = w.panels + w.panel_bytes * panel;
    int t = 0;
    for (; tokens - t >= 8; t += 8)
      float_panel<kFormat, 8>(p, columns, x + t * x_stride, x_stride, out + t * out_stride, out_stride, accumulate);
    for (; t < tokens; ++t)
      float_panel<kFormat, 1>(p, columns, x + t * x_stride, x_stride, out + t * out_stride, out_stride, accumulate);
  }
}

}  // namespace pennyweight::PW_TARGET
