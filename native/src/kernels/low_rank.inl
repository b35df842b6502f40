// The wide product of an adapter: few columns, so that weights come in runs of 16 and a row's sums never leave the
// registers. The bits are those of a fine linear layer over Q8_0 whose other columns are zeros.
#pragma once

#include "linear.inl"

namespace pennyweight::PW_TARGET {

// out += kPanels neighbouring panels times kTokens tokens.
template <int kPanels, int kTokens>
PW_INLINE void low_rank_tile(const LowRankPanels& w, const uint8_t* panel, const ActivationBlock* x, size_t x_stride,
                             float* out, size_t out_stride) {
  using Dot = WeightDot<8>;
  F32 acc[kPanels][kTokens];
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t)
#pragma GCC unroll 2
    for (int i = 0; i < kPanels; ++i) acc[i][t] = zero();
  for (int run = 0; run < w.num_runs; ++run, panel += LowRankPanels::kRunBytes) {
    const int half = run % 2;
    const ActivationBlock* a = x + run / 2;
    Dot dots[kPanels][kTokens];
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t)
#pragma GCC unroll 2
      for (int i = 0; i < kPanels; ++i)
        dots[i][t] = Dot::begin(zero_start<128>(a[t * x_stride].minus_8_half_sums[half]));
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) {
      B64 weights[kPanels];
#pragma GCC unroll 2
      for (int i = 0; i < kPanels; ++i) weights[i] = load_bytes(panel + w.panel_bytes() * i + 64 * g);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t)
#pragma GCC unroll 2
        for (int i = 0; i < kPanels; ++i) Dot::step(dots[i][t], weights[i], a[t * x_stride].q + 16 * half + 4 * g);
    }
#pragma GCC unroll 2
    for (int i = 0; i < kPanels; ++i) {
      const F32 scale = load_half(panel + w.panel_bytes() * i + 256);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t)
        acc[i][t] = fma(to_float(Dot::end(dots[i][t])), mul(scale, broadcast(a[t * x_stride].scale[half])), acc[i][t]);
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t)
#pragma GCC unroll 2
    for (int i = 0; i < kPanels; ++i) emit(out + t * out_stride + kPanelRows * i, acc[i][t], true);
}

static void low_rank(const LowRankPanels& w, int begin, int end, const ActivationBlock* x, size_t x_stride, int tokens,
                     float* out, size_t out_stride) {
  for (int panel = begin; panel < end;) {
    const uint8_t* p = w.panels + w.panel_bytes() * panel;
    const bool pair = kPanelTile == 2 && end - panel >= 2;
    int t = 0;
    auto run = [&]<int kPanels, int kTokens>() {
      low_rank_tile<kPanels, kTokens>(w, p, x + t * x_stride, x_stride, out + t * out_stride, out_stride);
      t += kTokens;
    };
    if constexpr (kPanelTile == 2) {
      if (pair) {
        while (tokens - t >= 4) run.template operator()<2, 4>();
        while (tokens - t >= 2) run.template operator()<2, 2>();
        if (t < tokens) run.template operator()<2, 1>();
      }
    }
    while (tokens - t >= 4) run.template operator()<1, 4>();
    while (tokens - t >= 2) run.template operator()<1, 2>();
    if (t < tokens) run.template operator()<1, 1>();
    panel += pair ? 2 : 1;
    out += kPanelRows * (pair ? 2 : 1);
  }
}

}  // namespace pennyweight::PW_TARGET
