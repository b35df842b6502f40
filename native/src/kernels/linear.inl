// Linear layers over packed panels: one kernel for every number of tokens and every format.
// The dots of T tokens x 16 rows stay in registers; a block's weights are unpacked four columns at a time and used by
// all T tokens at once. Each lane adds its blocks in ascending order whatever T is, so a token's result never depends
// on its company.
#pragma once

#include "pennyweight/kernels.h"

namespace pennyweight::PW_TARGET {

// Left by kBits, or right if negative; the caller masks what crosses a byte.
template <int kBits>
PW_INLINE B64 shift(B64 a) {
  if constexpr (kBits > 0) return shift_left_16<kBits>(a);
  if constexpr (kBits < 0) return shift_right_16<-kBits>(a);
  return a;
}

// The weights of columns 4 kGroup .. 4 kGroup + 3 of a block.
template <Format kFormat, int kGroup>
PW_INLINE B64 unpack(const uint8_t* p) {
  constexpr int kBits = traits(kFormat).bits;
  if constexpr (kBits == 8) return load_bytes(p + 64 * kGroup);
  if constexpr (kBits < 4) {
    const B64 pairs = and_bytes(shift<-2 * (kGroup % 4)>(load_bytes(p + 64 * (kGroup / 4))), set_bytes(3));
    if constexpr (kBits == 2) return pairs;
    return or_bytes(pairs, and_bytes(shift<2 - kGroup>(load_bytes(p + 128)), set_bytes(4)));
  }
  B64 w = load_bytes(p + 64 * (kGroup % 4));
  if constexpr (kGroup >= 4) w = shift_right_16<4>(w);
  w = and_bytes(w, set_bytes(15));
  if constexpr (traits(kFormat).codebook) return look_up(kCodebook, w);
  if constexpr (kBits == 5) return or_bytes(w, and_bytes(shift<4 - kGroup>(load_bytes(p + 256)), set_bytes(16)));
  if constexpr (kBits == 6) {
    const B64 upper = load_bytes(p + 256 + 64 * (kGroup / 4));
    return or_bytes(w, and_bytes(shift<4 - 2 * (kGroup % 4)>(upper), set_bytes(48)));
  }
  return w;
}

// Float scales of one block; minimums are used where the format has them, the upper ones by groups of 16.
struct Scales {
  F32 scale;
  F32 upper;
  F32 minimum;
  F32 upper_minimum;
};

template <Format kFormat>
PW_INLINE Scales load_scales(const uint8_t* super, const uint8_t* p) {
  constexpr FormatTraits f = traits(kFormat);
  Scales s = {zero(), zero(), zero(), zero()};
  if constexpr (!f.super_scales) {
    s.scale = load_half(p);
    if constexpr (f.has_minimum) s.minimum = load_half(p + 32);
  } else if constexpr (f.group == 16 && f.has_minimum) {
    const F32 d = load_half(super);
    const F32 m = load_half(super + 32);
    s.scale = mul(d, load_u4<0>(p));
    s.upper = mul(d, load_u4<0>(p + 16));
    s.minimum = sub(zero(), mul(m, load_u4<4>(p)));
    s.upper_minimum = sub(zero(), mul(m, load_u4<4>(p + 16)));
  } else if constexpr (f.group == 16) {
    const F32 d = load_half(super);
    s.scale = mul(d, load_s8(p));
    s.upper = mul(d, load_s8(p + 16));
  } else if constexpr (!f.has_minimum) {
    s.scale = mul(load_half(super), load_s8(p));
  } else {
    s.scale = mul(load_half(super), load_u8(p));
    s.minimum = mul(load_half(super + 32), load_u8(p + 16));
    s.minimum = sub(zero(), s.minimum);
  }
  return s;
}

// The accumulator's start that subtracts the zero point: -zero * sum, from -8 * sum.
template <int kZero>
PW_INLINE I32 zero_start(int32_t minus_8_sum) {
  if constexpr (kZero == 4) return broadcast_i32(minus_8_sum / 2);
  const I32 eights = broadcast_i32(minus_8_sum);
  if constexpr (kZero == 8) return eights;
  if constexpr (kZero == 16) return shift_left<1>(eights);
  if constexpr (kZero == 32) return shift_left<2>(eights);
  if constexpr (kZero == 128 && !kSignedWeights8) return shift_left<4>(eights);
  return broadcast_i32(0);
}

// scale * sum of the lower (0) or upper (1) half of a block.
PW_INLINE float scaled_half_sum(const ActivationBlock& a, int half) {
  return a.scale[half] * (float)(a.minus_8_half_sums[half] / -8);
}

// dots[p][t] += columns 4 kGroup .. 4 kGroup + 3, for all panels and tokens of the tile.
template <Format kFormat, int kGroup, int kPanels, int kTokens>
PW_INLINE void step_tokens(const uint8_t* const* p, const ActivationBlock* x, size_t x_stride,
                           WeightDot<traits(kFormat).dot_bits()> (*dots)[kTokens]) {
  B64 w[kPanels];
#pragma GCC unroll 2
  for (int i = 0; i < kPanels; ++i) w[i] = unpack<kFormat, kGroup>(p[i]);
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t)
#pragma GCC unroll 2
    for (int i = 0; i < kPanels; ++i)
      WeightDot<traits(kFormat).dot_bits()>::step(dots[i][t], w[i], x[t * x_stride].q + 4 * kGroup);
}

// A block's contribution to acc[p][t], for all panels and tokens of the tile.
template <Format kFormat, Grain kGrain, int kPanels, int kTokens>
PW_INLINE void add_block(const uint8_t* const* p, const Scales* s, const ActivationBlock* x, size_t x_stride,
                         F32 (*acc)[kTokens]) {
  constexpr FormatTraits f = traits(kFormat);
  using Dot = WeightDot<f.dot_bits()>;
  constexpr bool kHalves = f.group == 16 || kGrain == Grain::kFine;
  Dot dots[kPanels][kTokens];
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) {
    const ActivationBlock& a = x[t * x_stride];
#pragma GCC unroll 2
    for (int i = 0; i < kPanels; ++i)
      dots[i][t] = Dot::begin(zero_start<f.zero>(kHalves ? a.minus_8_half_sums[0] : a.minus_8_sums));
  }
  step_tokens<kFormat, 0, kPanels, kTokens>(p, x, x_stride, dots);
  step_tokens<kFormat, 1, kPanels, kTokens>(p, x, x_stride, dots);
  step_tokens<kFormat, 2, kPanels, kTokens>(p, x, x_stride, dots);
  step_tokens<kFormat, 3, kPanels, kTokens>(p, x, x_stride, dots);
  if constexpr (kHalves) {
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) {
      const ActivationBlock& a = x[t * x_stride];
#pragma GCC unroll 2
      for (int i = 0; i < kPanels; ++i) {
        acc[i][t] = fma(to_float(Dot::end(dots[i][t])), mul(s[i].scale, broadcast(a.scale[0])), acc[i][t]);
        dots[i][t] = Dot::begin(zero_start<f.zero>(a.minus_8_half_sums[1]));
      }
    }
  }
  step_tokens<kFormat, 4, kPanels, kTokens>(p, x, x_stride, dots);
  step_tokens<kFormat, 5, kPanels, kTokens>(p, x, x_stride, dots);
  step_tokens<kFormat, 6, kPanels, kTokens>(p, x, x_stride, dots);
  step_tokens<kFormat, 7, kPanels, kTokens>(p, x, x_stride, dots);
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) {
    const ActivationBlock& a = x[t * x_stride];
#pragma GCC unroll 2
    for (int i = 0; i < kPanels; ++i) {
      const F32 scale = mul(f.group == 16 ? s[i].upper : s[i].scale, broadcast(a.scale[1]));
      acc[i][t] = fma(to_float(Dot::end(dots[i][t])), scale, acc[i][t]);
      if constexpr (f.has_minimum && f.group == 16) {
        acc[i][t] = fma(s[i].minimum, broadcast(scaled_half_sum(a, 0)), acc[i][t]);
        acc[i][t] = fma(s[i].upper_minimum, broadcast(scaled_half_sum(a, 1)), acc[i][t]);
      } else if constexpr (f.has_minimum) {
        acc[i][t] = fma(s[i].minimum, broadcast(a.scaled_sum), acc[i][t]);
      }
    }
  }
}

PW_INLINE void emit(float* out, F32 value, bool accumulate) { store(out, accumulate ? add(load(out), value) : value); }

// One token runs a panel at a time and fetches ahead: what bounds it is memory.
inline constexpr size_t kPrefetchBytes = 1536;

// Several tokens fetch what is multiplied next into the second-level cache, a few lines with every block they multiply:
// the processor's own prefetching would begin anew with every panel.
struct Ahead {
  const uint8_t* p;
  int lines;  // with every block
};

// out of kPanels neighbouring panels, `panel_bytes` apart, times kTokens tokens.
template <Format kFormat, Grain kGrain, int kPanels, int kTokens>
PW_INLINE void panels_times_tokens(const uint8_t* panel, size_t panel_bytes, int num_blocks, Ahead& ahead,
                                   const ActivationBlock* x, size_t x_stride, float* out, size_t out_stride,
                                   bool accumulate) {
  constexpr FormatTraits f = traits(kFormat);
  constexpr int kLines = static_cast<int>((f.block_bytes() + 63) / 64);
  F32 acc[kPanels][kTokens];
  const uint8_t* p[kPanels];
#pragma GCC unroll 2
  for (int i = 0; i < kPanels; ++i) {
    p[i] = panel + panel_bytes * i;
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) acc[i][t] = zero();
  }
  for (int b = 0; b < num_blocks; b += f.blocks_per_super()) {
    const uint8_t* super[kPanels];
#pragma GCC unroll 2
    for (int i = 0; i < kPanels; ++i) {
      super[i] = p[i];
      p[i] += f.super_header_bytes();
    }
    for (int k = 0; k < f.blocks_per_super(); ++k) {
      Scales s[kPanels];
#pragma GCC unroll 2
      for (int i = 0; i < kPanels; ++i) {
        if constexpr (kTokens == 1)
          for (int line = 0; line < kLines; ++line) prefetch(p[i] + kPrefetchBytes + 64 * line);
        s[i] = load_scales<kFormat>(super[i], p[i] + f.quant_bytes());
      }
      if constexpr (kTokens > 1) {
        for (int line = 0; line < ahead.lines; ++line) prefetch_far(ahead.p + 64 * line);
        ahead.p += 64 * ahead.lines;
      }
      add_block<kFormat, kGrain, kPanels, kTokens>(p, s, x + b + k, x_stride, acc);
#pragma GCC unroll 2
      for (int i = 0; i < kPanels; ++i) p[i] += f.block_bytes();
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t)
#pragma GCC unroll 2
    for (int i = 0; i < kPanels; ++i) emit(out + t * out_stride + kPanelRows * i, acc[i][t], accumulate);
}

// The `bytes` behind p, spread over the blocks that `tokens` are multiplied with.
PW_INLINE Ahead fetch_ahead(const uint8_t* p, size_t bytes, int num_blocks, int tokens) {
  const int tiles = tokens / kTokenTile + (tokens % kTokenTile > 1);  // of more than one token
  const int blocks = tiles * num_blocks;
  return {p, blocks == 0 ? 0 : (static_cast<int>(bytes / 64) + blocks - 1) / blocks};
}

// Two neighbouring panels at a time where there are registers for it: each activation is then broadcast for two dots.
// One token goes panel by panel: it waits for memory, which likes one stream.
template <Format kFormat, Grain kGrain>
void linear(const PanelRange& w, const ActivationBlock* x, size_t x_stride, int tokens, float* out, size_t out_stride,
            bool accumulate) {
  for (int panel = w.begin; panel < w.end;) {
    const bool pair = kPanelTile == 2 && w.end - panel >= 2 && tokens > 1;
    const uint8_t* p = w.panels + w.panel_bytes * panel;
    const size_t bytes = w.panel_bytes * (pair ? 2 : 1);
    Ahead ahead = fetch_ahead(p + bytes, bytes, w.num_blocks, tokens);
    int t = 0;
    auto run = [&]<int kPanels, int kTokens>() {
      panels_times_tokens<kFormat, kGrain, kPanels, kTokens>(p, w.panel_bytes, w.num_blocks, ahead, x + t * x_stride,
                                                             x_stride, out + t * out_stride, out_stride, accumulate);
      t += kTokens;
    };
    if constexpr (kPanelTile == 2) {
      if (pair) {
        while (tokens - t >= kTokenTile && tokens - t != 8) run.template operator()<2, kTokenTile>();
        while (tokens - t >= 4) run.template operator()<2, 4>();
        while (tokens - t >= 2) run.template operator()<2, 2>();
        if (t < tokens) run.template operator()<2, 1>();
      }
    }
    if constexpr (kTokenTile >= 4)
      while (tokens - t >= 4) run.template operator()<1, 4>();
    while (tokens - t >= 2) run.template operator()<1, 2>();
    if (t < tokens) run.template operator()<1, 1>();
    panel += pair ? 2 : 1;
    out += kPanelRows * (pair ? 2 : 1);
  }
}

template <Format kFormat>
PW_INLINE F32 load_column(const uint8_t* p) {
  if constexpr (kFormat == Format::kF32) return load(reinterpret_cast<const float*>(p));
  if constexpr (kFormat == Format::kF16) return load_half(p);
  return load_bf16(p);
}

inline constexpr int kFloatTile = kPanelTile == 2 ? 8 : 4;

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
    for (; tokens - t >= kFloatTile; t += kFloatTile)
      float_panel<kFormat, kFloatTile>(p, columns, x + t * x_stride, x_stride, out + t * out_stride, out_stride,
                                       accumulate);
    for (; t < tokens; ++t)
      float_panel<kFormat, 1>(p, columns, x + t * x_stride, x_stride, out + t * out_stride, out_stride, accumulate);
  }
}

}  // namespace pennyweight::PW_TARGET
