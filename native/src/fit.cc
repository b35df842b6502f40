#include "fit.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "pennyweight/format.h"
#include "pennyweight/matrix.h"

namespace pennyweight {

namespace {

constexpr int kLanes = 8;
constexpr int kMostRefinements = 8;

float sum(const float* lanes) {
  float total = 0;
  for (int l = 0; l < kLanes; ++l) total += lanes[l];
  return total;
}

// Ties to even, for what is far below 2^22; compilers vectorise it where they would call a function for nearbyint.
float nearest(float x) { return (x + 12582912.0F) - 12582912.0F; }

// The place in kCodebook nearest to each of -128 .. 127, plus 128.
struct NearestPlaces {
  float value[256];
};

constexpr NearestPlaces nearest_places() {
  NearestPlaces places = {};
  for (int v = 0; v < 256; ++v) {
    int best = 0;
    for (int i = 1; i < 16; ++i) {
      const int d = kCodebook[i] > v ? kCodebook[i] - v : v - kCodebook[i];
      const int best_d = kCodebook[best] > v ? kCodebook[best] - v : v - kCodebook[best];
      if (d < best_d) best = i;
    }
    places.value[v] = static_cast<float>(kCodebook[best]) - 128.0F;
  }
  return places;
}

constexpr NearestPlaces kNearest = nearest_places();

// The nearest code's value of `y`.
void round_codes(const Levels& levels, const float* y, int n, float* codes) {
  for (int i = 0; i < n; ++i) codes[i] = nearest(std::min(std::max(y[i], levels.low), levels.high));
  if (levels.codebook)
    for (int i = 0; i < n; ++i) codes[i] = kNearest.value[static_cast<int>(codes[i]) + 128];
}

// A scale so small that its inverse is infinite counts as 0.
void divided(const Run& run, float inverse, float minimum, float* y) {
  if (!std::isfinite(inverse)) inverse = 0;
  for (int i = 0; i < run.n; ++i) y[i] = (run.x[i] - minimum) * inverse;
}

// Sums over a run of codes, each weighted by importance.
struct Moments {
  float xq;
  float qq;
  float q;
};

Moments moments(const Run& run, const float* codes) {
  float xq[kLanes] = {};
  float qq[kLanes] = {};
  float q[kLanes] = {};
  for (int i = 0; i < run.n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) {
      const float weighted = run.importance[i + l] * codes[i + l];
      xq[l] += weighted * run.x[i + l];
      qq[l] += weighted * codes[i + l];
      q[l] += weighted;
    }
  return {sum(xq), sum(qq), sum(q)};
}

struct Totals {
  float w;
  float x;
  float xx;
};

Totals totals(const Run& run) {
  float w[kLanes] = {};
  float x[kLanes] = {};
  float xx[kLanes] = {};
  for (int i = 0; i < run.n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) {
      const float weighted = run.importance[i + l] * run.x[i + l];
      w[l] += run.importance[i + l];
      x[l] += weighted;
      xx[l] += weighted * run.x[i + l];
    }
  return {sum(w), sum(x), sum(xx)};
}

// Codes for one scale, and the scale that suits these codes best.
Fit refit(const Run& run, const Levels& levels, float xx, float inverse) {
  float y[kMostFitted];
  float codes[kMostFitted];
  divided(run, inverse, 0.0F, y);
  round_codes(levels, y, run.n, codes);
  const Moments m = moments(run, codes);
  if (!(m.qq > 0)) return {0, 0, xx};
  return {m.xq / m.qq, 0, xx - m.xq * m.xq / m.qq};
}

// The same with a minimum, by the normal equations of two unknowns.
Fit refit(const Run& run, const Levels& levels, const Totals& t, const Fit& from, float at_most) {
  float y[kMostFitted];
  float codes[kMostFitted];
  divided(run, from.scale > 0 ? 1.0F / from.scale : 0.0F, from.minimum, y);
  round_codes(levels, y, run.n, codes);
  const Moments m = moments(run, codes);
  const float determinant = t.w * m.qq - m.q * m.q;
  Fit fit = {0, std::min(t.x / t.w, at_most), 0};
  if (determinant > 0) {
    fit.scale = (t.w * m.xq - t.x * m.q) / determinant;
    fit.minimum = (t.x - fit.scale * m.q) / t.w;
  }
  if (fit.minimum > at_most) {
    fit.minimum = at_most;
    fit.scale = m.qq > 0 ? (m.xq - at_most * m.q) / m.qq : 0.0F;
  }
  fit.scale = std::max(fit.scale, 0.0F);
  fit.error = encode(run, levels, fit.scale, fit.minimum, codes);
  return fit;
}

// `steps` halves further from 0 than `x`, but neither beyond it nor infinite.
float next_half(float x, int steps) {
  constexpr int kLargest = 0x7bff;
  const int magnitude = std::clamp((float_to_half(x) & 0x7fff) + steps, 0, kLargest);
  const float half = half_to_float(static_cast<uint16_t>(magnitude));
  return x < 0 ? -half : half;
}

}  // namespace

Fit fit_scale(const Run& run, const Levels& levels) {
  float amax = 0;
  for (int i = 0; i < run.n; ++i) amax = std::max(amax, std::fabs(run.x[i]));
  const float xx = totals(run).xx;
  Fit best = {0, 0, xx};
  if (!(amax > 0)) return best;
  // The largest value on the last code, a little beyond or short of it: with few codes that differs.
  const float widest = std::max(-levels.low, levels.high);
  const int reach = levels.codebook ? 25 : widest > 100 ? 4 : 14;
  const int clipped = levels.codebook ? 25 : 4;  // clipping more saves divergence, and costs perplexity: docs/log.md
  const float step = levels.codebook ? 0.02F * widest : widest > 100 ? 0.25F : 0.035F * (widest + 1);
  float best_inverse = 0;
  auto attempt = [&](float inverse) {
    const Fit fit = refit(run, levels, xx, inverse);
    if (!(fit.error < best.error)) return;
    best = fit;
    best_inverse = inverse;
  };
  for (int i = -reach; i <= clipped; ++i)
    for (const float sign : {1.0F, -1.0F}) attempt(sign * (widest + step * static_cast<float>(i)) / amax);
  const float middle = best_inverse;
  for (int i = -4; i <= 4; ++i) attempt(middle + 0.2F * step * static_cast<float>(i) / amax);
  for (int i = 0; i < kMostRefinements && std::fabs(best.scale) > 0; ++i) {
    const Fit fit = refit(run, levels, xx, 1.0F / best.scale);
    if (!(fit.error < best.error)) break;
    best = fit;
  }
  return best;
}

Fit fit_range(const Run& run, float most, float at_most) {
  const Levels levels = {0, most, false};
  const Totals t = totals(run);
  float low = run.x[0];
  float high = run.x[0];
  for (int i = 1; i < run.n; ++i) {
    low = std::min(low, run.x[i]);
    high = std::max(high, run.x[i]);
  }
  low = std::min(low, at_most);
  Fit best = {0, low, std::numeric_limits<float>::infinity()};
  // Both ends in steps of a share of a code, mostly inwards: few weights are at the ends.
  const float code = (high - low) / most;
  for (int i = -1; i <= 6; ++i)
    for (int j = -1; j <= 6; ++j) {
      const float from = low + 0.2F * static_cast<float>(i) * code;
      const float to = high - 0.2F * static_cast<float>(j) * code;
      const Fit fit = refit(run, levels, t, {(to - from) / most, from, 0}, at_most);
      if (fit.error < best.error) best = fit;
    }
  for (int i = 0; i < kMostRefinements; ++i) {
    const Fit fit = refit(run, levels, t, best, at_most);
    if (!(fit.error < best.error)) break;
    best = fit;
  }
  return best;
}

float encode(const Run& run, const Levels& levels, float scale, float minimum, float* codes) {
  float y[kMostFitted];
  const float inverse = std::fabs(scale) > 0 ? 1.0F / scale : 0.0F;
  divided(run, inverse, minimum, y);
  round_codes(levels, y, run.n, codes);
  float error[kLanes] = {};
  for (int i = 0; i < run.n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) {
      const float d = run.x[i + l] - (scale * codes[i + l] + minimum);
      error[l] += run.importance[i + l] * d * d;
    }
  return sum(error);
}

Fit round_to_halves(const Run& run, const Levels& levels, const Fit& fit, bool with_minimum) {
  float codes[kMostFitted];
  Fit best = {0, 0, std::numeric_limits<float>::infinity()};
  const int reach = levels.high > 100 && !levels.codebook ? 6 : 2;  // a code of eight bits is few halves wide
  for (int i = -reach; i <= reach; ++i)
    for (int j = with_minimum ? -1 : 0; j <= (with_minimum ? 1 : 0); ++j) {
      const float scale = next_half(fit.scale, i);
      const float minimum = with_minimum ? next_half(fit.minimum, j) : 0.0F;
      const float error = encode(run, levels, scale, minimum, codes);
      if (error < best.error) best = {scale, minimum, error};
    }
  return best;
}

}  // namespace pennyweight
