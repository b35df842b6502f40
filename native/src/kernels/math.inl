// Functions every kernel shares (docs/numerics.md, "Building blocks").
#pragma once

#include "pennyweight/kernels.h"

namespace pennyweight::PW_TARGET {

inline constexpr float kLog2e = 1.44269502F;
inline constexpr float kTiny = 1e-30F;

PW_INLINE F32 exp2(F32 t) {
  t = min(max(t, broadcast(-126.0F)), broadcast(126.0F));
  const F32 n = round(t);
  const F32 f = sub(t, n);
  F32 p = broadcast(0.000154035308F);
  p = fma(p, f, broadcast(0.00133335581F));
  p = fma(p, f, broadcast(0.00961812865F));
  p = fma(p, f, broadcast(0.0555041091F));
  p = fma(p, f, broadcast(0.240226507F));
  p = fma(p, f, broadcast(0.693147182F));
  p = fma(p, f, broadcast(1.0F));
  return mul(p, power_of_two(n));
}

// cap * tanh(x / cap), from t = x * 2 log2(e) / cap.
PW_INLINE F32 softcap(F32 t, F32 cap) { return sub(cap, div(add(cap, cap), add(broadcast(1.0F), exp2(t)))); }

}  // namespace pennyweight::PW_TARGET
