#include "panels.h"

#include <cmath>

namespace pennyweight::test {

namespace {

void put_half(uint8_t* p, uint16_t h) { std::memcpy(p, &h, 2); }
uint16_t get_half(const uint8_t* p) {
  uint16_t h;
  std::memcpy(&h, p, 2);
  return h;
}

float random_scale(Random& random) {
  if (random.one_in(8)) return random.one_in(2) ? 0.0F : 1e-32F;
  return (1.5F + random.uniform()) * 0.01F;
}

float random_element(Random& random) {
  if (random.one_in(16)) return 0.0F;
  if (random.one_in(16)) return random.uniform() * 1e-38F;
  return random.normal();
}

void fill_floats(Random& random, Format format, uint8_t* p, size_t elements) {
  for (size_t i = 0; i < elements; ++i) {
    const float x = random_element(random);
    if (format == Format::kF16) {
      put_half(p + 2 * i, half_bits(random));
    } else if (format == Format::kBF16) {
      std::memcpy(p + 2 * i, reinterpret_cast<const uint8_t*>(&x) + 2, 2);
    } else {
      std::memcpy(p + 4 * i, &x, 4);
    }
  }
}

// Values of the IQ4 types.
constexpr int kIq4[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// The weight of a column of a block, an integer.
int weight(const FormatTraits& f, const uint8_t* block, int row, int column) {
  const int g = column / 4;
  const int byte = 4 * row + column % 4;
  if (f.bits == 8) return block[64 * g + byte] - 128;
  if (f.bits < 4) {
    const int pair = block[64 * (g / 4) + byte] >> 2 * (g % 4) & 3;
    return f.bits == 2 ? pair : (pair | (block[128 + byte] >> g & 1) << 2) - 4;
  }
  int w = block[64 * (g % 4) + byte] >> (g < 4 ? 0 : 4) & 15;
  if (f.codebook) return kIq4[w];
  if (f.bits == 5) w |= (block[256 + byte] >> g & 1) << 4;
  if (f.bits == 6) w |= (block[256 + 64 * (g / 4) + byte] >> 2 * (g % 4) & 3) << 4;
  return w - f.zero;
}

struct DefinedScales {
  float d[2];  // of the lower and the upper 16 columns
  float m[2];
};

DefinedScales defined_scales(const FormatTraits& f, const uint8_t* super, const uint8_t* scales, int row) {
  const float d = half_value(get_half((f.super_scales ? super : scales) + 2 * row));
  const float m = f.has_minimum ? half_value(get_half((f.super_scales ? super : scales) + 32 + 2 * row)) : 0.0F;
  if (!f.super_scales) return {{d, d}, {m, m}};
  auto as_signed = [&](int at) { return d * static_cast<float>(static_cast<int8_t>(scales[at])); };
  if (f.group == 16 && f.has_minimum)
    return {{d * static_cast<float>(scales[row] & 15), d * static_cast<float>(scales[16 + row] & 15)},
            {-(m * static_cast<float>(scales[row] >> 4)), -(m * static_cast<float>(scales[16 + row] >> 4))}};
  if (f.group == 16) return {{as_signed(row), as_signed(16 + row)}, {0.0F, 0.0F}};
  if (!f.has_minimum) return {{as_signed(row), as_signed(row)}, {0.0F, 0.0F}};
  const float scale = d * static_cast<float>(scales[row]);
  const float minimum = -(m * static_cast<float>(scales[16 + row]));
  return {{scale, scale}, {minimum, minimum}};
}

}  // namespace

// Every kind of finite half: zero, subnormal, ordinary, the largest.
uint16_t half_bits(Random& random) {
  const auto sign = static_cast<uint16_t>(random.one_in(4) ? 0x8000 : 0);
  if (random.one_in(16)) return sign;
  if (random.one_in(8)) return static_cast<uint16_t>(sign | random.below(1024));
  if (random.one_in(16)) return static_cast<uint16_t>(sign | 0x7bff);
  return static_cast<uint16_t>(sign | random.between(1, 25) << 10 | random.below(1024));
}

float half_value(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const float fraction = static_cast<float>(half & 1023);
  const float magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024.0F + fraction, exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

Panels random_panels(Random& random, Format format, int columns, int count, Fill fill, size_t misalignment) {
  const FormatTraits& f = traits(format);
  const size_t supers = static_cast<size_t>(columns) / kBlock / f.blocks_per_super();
  Panels panels{format, columns, count, supers * f.super_bytes(), {}, misalignment};
  panels.bytes.resize(misalignment + panels.panel_bytes * count);
  uint8_t* p = panels.bytes.data() + misalignment;
  if (f.is_float()) {
    fill_floats(random, format, p, static_cast<size_t>(columns) * count * kPanelRows);
    return panels;
  }
  for (size_t super = 0; super < supers * count; ++super) {
    for (size_t i = 0; i < f.super_header_bytes(); i += 2, p += 2) put_half(p, half_bits(random));
    for (int block = 0; block < f.blocks_per_super(); ++block) {
      for (size_t i = 0; i < f.quant_bytes(); ++i)
        *p++ = static_cast<uint8_t>(fill == Fill::kZeros ? 0 : fill == Fill::kOnes ? 255 : random.below(256));
      if (f.super_scales)
        for (size_t i = 0; i < f.scale_bytes(); ++i)
          *p++ = static_cast<uint8_t>(random.one_in(8) ? 255 : random.below(256));
      else
        for (size_t i = 0; i < f.scale_bytes(); i += 2, p += 2) put_half(p, half_bits(random));
    }
  }
  return panels;
}

std::vector<ActivationBlock> random_activations(Random& random, int tokens, int blocks, Grain grain) {
  std::vector<ActivationBlock> x(static_cast<size_t>(tokens) * blocks);
  for (ActivationBlock& a : x) {
    const int kind = random.below(8);  // 0, 1: extremes
    int sums[2] = {0, 0};
    for (int i = 0; i < kBlock; ++i) {
      a.q[i] = static_cast<int8_t>(kind == 0 ? 127 : kind == 1 ? -127 : random.between(-127, 127));
      sums[i / 16] += a.q[i];
    }
    a.scale[0] = random_scale(random);
    a.scale[1] = grain == Grain::kFine ? random_scale(random) : a.scale[0];
    a.scaled_sum = random.normal();
    a.minus_8_sums = -8 * (sums[0] + sums[1]);
    a.minus_8_half_sums[0] = -8 * sums[0];
    a.minus_8_half_sums[1] = -8 * sums[1];
  }
  return x;
}

float defined_row(const Panels& panels, int panel, int row, const ActivationBlock* x, Grain grain) {
  const FormatTraits& f = traits(panels.format);
  const int group = grain == Grain::kFine ? 16 : f.group;
  const uint8_t* p = panels.data() + panels.panel_bytes * panel;
  const uint8_t* super = p;
  float acc = 0;
  for (int b = 0; b < panels.columns / kBlock; ++b, p += f.block_bytes()) {
    if (b % f.blocks_per_super() == 0) {
      super = p;
      p += f.super_header_bytes();
    }
    const DefinedScales s = defined_scales(f, super, p + f.quant_bytes(), row);
    for (int first = 0; first < kBlock; first += group) {
      int dot = 0;
      for (int c = first; c < first + group; ++c) dot += weight(f, p, row, c) * x[b].q[c];
      acc = std::fma(static_cast<float>(dot), s.d[first / 16] * x[b].scale[first / 16], acc);
    }
    if (!f.has_minimum) continue;
    if (f.group == 32) acc = std::fma(s.m[0], x[b].scaled_sum, acc);
    for (int half = 0; f.group == 16 && half < 2; ++half) {
      int sum = 0;
      for (int c = 16 * half; c < 16 * half + 16; ++c) sum += x[b].q[c];
      acc = std::fma(s.m[half], x[b].scale[half] * static_cast<float>(sum), acc);
    }
  }
  return acc;
}

}  // namespace pennyweight::test
