#include "pennyweight/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>

#include "fit.h"
#include "pennyweight/matrix.h"
#include "quantize_super.h"
#include "require.h"

namespace pennyweight {

namespace {

constexpr float kLargestHalf = 65504.0F;
constexpr float kLeastImportance = 1e-4F;  // of the row's mean: a column that was never used is not free to be wrong

void put_half(float value, uint8_t* to) {
  const uint16_t half = float_to_half(value);
  std::memcpy(to, &half, 2);
}

// Codes 0..15 of 32 columns: column k in the low nibble of byte k, k + 16 in the high one.
void put_nibbles(const int* codes, uint8_t* to) {
  for (int k = 0; k < 16; ++k) to[k] = static_cast<uint8_t>((codes[k] & 15) | ((codes[k + 16] & 15) << 4));
}

void put_fifth_bits(const int* codes, uint8_t* to) {
  uint32_t bits = 0;
  for (int k = 0; k < kBlock; ++k) bits |= static_cast<uint32_t>((codes[k] >> 4) & 1) << k;
  std::memcpy(to, &bits, 4);
}

int place_of(float value) {
  const int stored = static_cast<int>(value) + 128;
  return static_cast<int>(std::find(kCodebook, kCodebook + 16, stored) - kCodebook);
}

// Codes that are what a type of 32 columns stores.
Levels levels_of(const FormatTraits& f) {
  if (f.codebook) return {-127, 113, true};
  if (f.bits == 8) return {-127, 127, false};
  const auto most = static_cast<float>((1 << f.bits) - 1);
  const auto zero = static_cast<float>(f.zero);
  return {-zero, most - zero, false};
}

void quantize_block(const FormatTraits& f, const Run& run, uint8_t* out) {
  const Levels levels = levels_of(f);
  Fit fit = f.has_minimum ? fit_range(run, levels.high, INFINITY) : fit_scale(run, levels);
  fit = round_to_halves(run, levels, fit, f.has_minimum);
  float values[kBlock];
  encode(run, levels, fit.scale, fit.minimum, values);
  int codes[kBlock];
  for (int k = 0; k < kBlock; ++k)
    codes[k] = f.codebook ? place_of(values[k]) : static_cast<int>(values[k]) + (f.bits == 8 ? 0 : f.zero);
  put_half(fit.scale, out);
  out += 2;
  if (f.has_minimum) {
    put_half(fit.minimum, out);
    out += 2;
  }
  if (f.bits == 8) {
    for (int k = 0; k < kBlock; ++k) out[k] = static_cast<uint8_t>(static_cast<int8_t>(codes[k]));
    return;
  }
  if (f.bits == 5) {
    put_fifth_bits(codes, out);
    out += 4;
  }
  put_nibbles(codes, out);
}

void put_floats(Format format, const float* row, int columns, std::vector<uint8_t>& out) {
  for (int k = 0; k < columns; ++k) {
    const auto bits = std::bit_cast<uint32_t>(row[k]);
    uint32_t value = bits;
    if (format == Format::kF16) value = float_to_half(row[k]);
    if (format == Format::kBF16) value = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
    out.insert(out.end(), bytes, bytes + traits(format).bits / 8);
  }
}

// Few levels around 0 are fitted by clipping the largest weights, which costs perplexity where it costs no divergence:
// their errors count more (docs/log.md).
std::vector<float> weights_of_row(const FormatTraits& f, const float* row, const float* importance, int columns) {
  std::vector<float> weights(importance, importance + columns);
  if (f.has_minimum || f.codebook || f.super_scales || f.bits > 5) return weights;
  double squares = 0;
  for (int k = 0; k < columns; ++k) squares += static_cast<double>(row[k]) * row[k];
  const auto mean = static_cast<float>(squares / columns);
  if (!(mean > 0)) return weights;
  for (int k = 0; k < columns; ++k) weights[k] *= std::sqrt(1.0F + row[k] * row[k] / mean);
  return weights;
}

// Weights of the squared errors: the importance, never quite 0.
std::vector<float> weights_of(std::span<const float> importance, int columns) {
  std::vector<float> weights(columns, 1.0F);
  if (importance.empty()) return weights;
  double total = 0;
  for (const float value : importance) {
    require(std::isfinite(value) && value >= 0, "importance must be finite and not negative");
    total += value;
  }
  const auto mean = static_cast<float>(total / columns);
  if (!(mean > 0)) return weights;
  for (int k = 0; k < columns; ++k) weights[k] = std::max(importance[k] / mean, kLeastImportance);
  return weights;
}

}  // namespace

bool can_quantize(Format format) {
  return format != Format::kQ2_K && format != Format::kQ3_K && format != Format::kQ5_K && format != Format::kIQ4_XS;
}

void quantize_row(Format format, const float* row, const float* importance, int columns, std::vector<uint8_t>& out) {
  const FormatTraits& f = traits(format);
  float amax = 0;
  for (int k = 0; k < columns; ++k) {
    require(std::isfinite(row[k]), "a weight is not a finite number");
    amax = std::max(amax, std::fabs(row[k]));
  }
  if (f.is_float()) {
    require(format != Format::kF16 || amax <= kLargestHalf, "a weight is too large for half precision");
    return put_floats(format, row, columns, out);
  }
  require(amax <= kLargestHalf, "a weight is too large for a half-precision scale");
  const size_t start = out.size();
  out.resize(start + source_row_bytes(format, columns));
  uint8_t* to = out.data() + start;
  const std::vector<float> weights = weights_of_row(f, row, importance, columns);
  for (int k = 0; k < columns; k += f.source_columns, to += f.source_bytes) {
    if (f.super_scales)
      quantize_super(format, row + k, weights.data() + k, to);
    else
      quantize_block(f, {row + k, weights.data() + k, kBlock}, to);
  }
}

std::vector<uint8_t> requantize(std::span<const uint8_t> source, Format from, Format to, int columns,
                                std::span<const float> importance) {
  const FormatTraits& f = traits(to);
  require(can_quantize(to), std::string(f.name) + " cannot be written");
  require(columns > 0 && columns % f.source_columns == 0, std::string(f.name) + " needs rows of a multiple of " +
                                                              std::to_string(f.source_columns) + " columns, got " +
                                                              std::to_string(columns));
  require(
      importance.empty() || importance.size() == static_cast<size_t>(columns),
      "importance has " + std::to_string(importance.size()) + " values for " + std::to_string(columns) + " columns");
  require(columns % traits(from).source_columns == 0 && source.size() % source_row_bytes(from, columns) == 0,
          std::to_string(source.size()) + " bytes are no rows of " + std::to_string(columns) + " columns of " +
              traits(from).name);
  const std::vector<float> weights = weights_of(importance, columns);
  const auto rows = static_cast<int>(source.size() / source_row_bytes(from, columns));
  std::vector<uint8_t> out;
  if (rows == 0) return out;
  const PackedMatrix matrix(source, from, rows, columns, {});
  std::vector<float> row(columns);
  out.reserve(source_row_bytes(to, columns) * rows);
  for (int i = 0; i < rows; ++i) {
    matrix.row(i, row.data());
    quantize_row(to, row.data(), weights.data(), columns, out);
  }
  return out;
}

}  // namespace pennyweight
