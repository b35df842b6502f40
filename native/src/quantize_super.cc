#include "quantize_super.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "fit.h"
#include "pennyweight/matrix.h"

namespace pennyweight {

namespace {

constexpr int kSuper = 256;
constexpr Levels kQ6Levels = {-32, 31, false};
constexpr Levels kQ4Levels = {0, 15, false};

// Rounded to half precision, away from 0 if that keeps `largest` within `most` of its multiples.
float half_scale(float largest, float most, uint8_t* to) {
  uint16_t half = float_to_half(largest / most);
  if (half_to_float(half) * (most + 0.5F) < largest) ++half;
  std::memcpy(to, &half, 2);
  return half_to_float(half);
}

int multiple(float value, float unit, int most) {
  return unit > 0 ? static_cast<int>(std::clamp(std::nearbyint(value / unit), -1.0F * most, 1.0F * most)) : 0;
}

// Low nibbles and upper pairs as Q6_K pairs them: four columns, 32 apart, share their bytes.
void put_q6k_codes(const int* codes, uint8_t* out) {
  for (int half = 0; half < 2; ++half)
    for (int l = 0; l < 32; ++l) {
      const int* c = codes + 128 * half + l;
      uint8_t* low = out + 64 * half + l;
      low[0] = static_cast<uint8_t>((c[0] & 15) | ((c[64] & 15) << 4));
      low[32] = static_cast<uint8_t>((c[32] & 15) | ((c[96] & 15) << 4));
      out[128 + 32 * half + l] = static_cast<uint8_t>(c[0] >> 4 | c[32] >> 4 << 2 | c[64] >> 4 << 4 | c[96] >> 4 << 6);
    }
}

void quantize_q6k(const float* x, const float* importance, uint8_t* out) {
  constexpr int kGroups = 16;
  float scales[kGroups];
  float largest = 0;
  for (int g = 0; g < kGroups; ++g) {
    scales[g] = fit_scale({x + 16 * g, importance + 16 * g, 16}, kQ6Levels).scale;
    largest = std::max(largest, std::fabs(scales[g]));
  }
  const float d = half_scale(largest, 127, out + 208);
  int codes[kSuper];
  for (int g = 0; g < kGroups; ++g) {
    const Run run = {x + 16 * g, importance + 16 * g, 16};
    const int nearest = multiple(scales[g], d, 127);
    float values[16];
    float least = std::numeric_limits<float>::infinity();
    for (int s = std::max(nearest - 1, -127); s <= std::min(nearest + 1, 127); ++s) {
      const float error = encode(run, kQ6Levels, d * static_cast<float>(s), 0, values);
      if (!(error < least)) continue;
      least = error;
      out[192 + g] = static_cast<uint8_t>(static_cast<int8_t>(s));
      for (int k = 0; k < 16; ++k) codes[16 * g + k] = static_cast<int>(values[k]) + 32;
    }
  }
  put_q6k_codes(codes, out);
}

// Scale and minimum of group `i`, six bits each, in twelve bytes that were 0.
void put_k_scale(int scale, int minimum, int i, uint8_t* packed) {
  if (i < 4) {
    packed[i] = static_cast<uint8_t>(packed[i] | scale);
    packed[i + 4] = static_cast<uint8_t>(packed[i + 4] | minimum);
  } else {
    packed[i + 4] = static_cast<uint8_t>((scale & 15) | (minimum & 15) << 4);
    packed[i - 4] = static_cast<uint8_t>(packed[i - 4] | scale >> 4 << 6);
    packed[i] = static_cast<uint8_t>(packed[i] | minimum >> 4 << 6);
  }
}

void quantize_q4k(const float* x, const float* importance, uint8_t* out) {
  constexpr int kGroups = 8;
  Fit fits[kGroups];
  float largest = 0;
  float lowest = 0;
  for (int g = 0; g < kGroups; ++g) {
    fits[g] = fit_range({x + 32 * g, importance + 32 * g, 32}, kQ4Levels.high, 0.0F);
    largest = std::max(largest, fits[g].scale);
    lowest = std::max(lowest, -fits[g].minimum);
  }
  const float d = half_scale(largest, 63, out);
  const float m = half_scale(lowest, 63, out + 2);
  std::memset(out + 4, 0, 12);
  for (int g = 0; g < kGroups; ++g) {
    const Run run = {x + 32 * g, importance + 32 * g, 32};
    const int scale = multiple(fits[g].scale, d, 63);
    const int minimum = multiple(-fits[g].minimum, m, 63);
    int best[2] = {0, 0};
    float values[32];
    float least = std::numeric_limits<float>::infinity();
    for (int s = std::max(scale - 1, 0); s <= std::min(scale + 1, 63); ++s)
      for (int n = std::max(minimum - 1, 0); n <= std::min(minimum + 1, 63); ++n) {
        const float error = encode(run, kQ4Levels, d * static_cast<float>(s), -m * static_cast<float>(n), values);
        if (!(error < least)) continue;
        least = error;
        best[0] = s;
        best[1] = n;
      }
    encode(run, kQ4Levels, d * static_cast<float>(best[0]), -m * static_cast<float>(best[1]), values);
    put_k_scale(best[0], best[1], g, out + 4);
    uint8_t* pairs = out + 16 + 32 * (g / 2);
    for (int k = 0; k < 32; ++k) {
      const int code = static_cast<int>(values[k]);
      pairs[k] = static_cast<uint8_t>(g % 2 == 0 ? code : pairs[k] | code << 4);
    }
  }
}

}  // namespace

void quantize_super(Format format, const float* x, const float* importance, uint8_t* out) {
  if (format == Format::kQ4_K)
    quantize_q4k(x, importance, out);
  else
    quantize_q6k(x, importance, out);
}

}  // namespace pennyweight
