// The best codes of a run of weights: scale (and minimum) that leave the least weighted squared error.
#pragma once

#include <cstdint>

namespace pennyweight {

inline constexpr int kMostFitted = 32;

// `n` values (a multiple of 8, at most kMostFitted) and how much the squared error of each counts, above 0.
struct Run {
  const float* x;
  const float* importance;
  int n;
};

// What a code stands for: integers [low, high], or the values of the IQ4 types.
struct Levels {
  float low;
  float high;
  bool codebook;
};

struct Fit {
  float scale;
  float minimum;  // 0 where there is none
  float error;    // weighted sum of squares
};

// The scale (of either sign) of x ~ scale * code.
Fit fit_scale(const Run& run, const Levels& levels);

// Scale (not negative) and minimum of x ~ scale * code + minimum, codes 0 .. most; `at_most` bounds the minimum.
Fit fit_range(const Run& run, float most, float at_most);

// codes[i] = the nearest code of (x[i] - minimum) / scale; returns the weighted squared error of those. A scale of 0
// gives code 0 where the levels have it.
float encode(const Run& run, const Levels& levels, float scale, float minimum, float* codes);

// The half of least error among the nearest to `fit`'s scale, and to its minimum if `with_minimum`.
Fit round_to_halves(const Run& run, const Levels& levels, const Fit& fit, bool with_minimum);

}  // namespace pennyweight
