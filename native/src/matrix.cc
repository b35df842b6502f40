#include "pennyweight/matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace pennyweight {

namespace {

uint16_t read_half(const uint8_t* p, int lane) {
  uint16_t half;
  std::memcpy(&half, p + 2 * lane, 2);
  return half;
}

// The stored weight of column k (0..31) of row `lane`, before the zero point is subtracted.
int stored_weight(const FormatTraits& f, const uint8_t* block, int lane, int k) {
  const int g = k / 4;
  const int j = 4 * lane + k % 4;
  auto pair = [&](const uint8_t* plane) { return (plane[64 * (g / 4) + j] >> (2 * (g % 4))) & 3; };
  auto bit = [&](const uint8_t* plane) { return (plane[j] >> g) & 1; };
  if (f.bits == 8) return block[64 * g + j];
  if (f.bits == 2) return pair(block);
  if (f.bits == 3) return pair(block) | bit(block + 128) << 2;
  const int nibble = (block[64 * (g % 4) + j] >> (g < 4 ? 0 : 4)) & 15;
  if (f.codebook) return kCodebook[nibble];
  if (f.bits == 5) return nibble | bit(block + 256) << 4;
  if (f.bits == 6) return nibble | pair(block + 256) << 4;
  return nibble;
}

// What a weight of column c (0..31) is multiplied with and what is added.
struct Scale {
  float scale;
  float minimum;
};

Scale scale_of(const FormatTraits& f, const uint8_t* super, const uint8_t* scales, int lane, int c) {
  const uint8_t* halves = f.super_scales ? super : scales;
  const float d = half_to_float(read_half(halves, lane));
  const float m = f.has_minimum ? half_to_float(read_half(halves + 32, lane)) : 0.0F;
  if (!f.super_scales) return {d, m};
  const uint8_t own = scales[(f.group == 16 ? 16 * (c / 16) : 0) + lane];
  if (!f.has_minimum) return {d * static_cast<int8_t>(own), 0.0F};
  if (f.group == 16) return {d * static_cast<float>(own & 15), -(m * static_cast<float>(own >> 4))};
  return {d * static_cast<float>(own), -(m * static_cast<float>(scales[16 + lane]))};
}

void float_row(Format format, const uint8_t* panel, int columns, int lane, float* out) {
  for (int k = 0; k < columns; ++k) {
    const size_t index = static_cast<size_t>(k) * kPanelRows + lane;
    if (format == Format::kF32) {
      std::memcpy(out + k, panel + 4 * index, 4);
      continue;
    }
    uint16_t bits;
    std::memcpy(&bits, panel + 2 * index, 2);
    out[k] = format == Format::kF16 ? half_to_float(bits) : std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
}

// `rows`, unless the source cannot hold them: what is asked for in one piece is checked before memory is.
int checked_rows(std::span<const uint8_t> source, Format format, int rows, int columns, std::span<const int> row_map) {
  const FormatTraits& f = traits(format);
  if (rows <= 0 || columns <= 0 || columns % f.source_columns != 0) return rows;
  const size_t row_bytes = source_row_bytes(format, columns);
  const size_t bytes = row_bytes * static_cast<size_t>(rows);
  if (row_map.empty() ? source.size() != bytes : source.size() < row_bytes)
    throw std::invalid_argument("a matrix of " + std::to_string(rows) + " x " + std::to_string(columns) + " " + f.name +
                                " takes " + std::to_string(bytes) + " bytes, got " + std::to_string(source.size()));
  return rows;
}

}  // namespace

Format format_of(const std::string& name) {
  std::string list;
  for (int i = 0; i < kNumFormats; ++i) {
    if (name == kFormats[i].name) return static_cast<Format>(i);
    list += (list.empty() ? "" : ", ") + std::string(kFormats[i].name);
  }
  throw std::invalid_argument("unknown weight type '" + name + "'; known: " + list);
}

float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000U) << 16;
  const uint32_t exponent = (half >> 10) & 31U;
  const uint32_t mantissa = half & 1023U;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000U | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

uint16_t float_to_half(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000U;
  const uint32_t magnitude = bits & 0x7fffffffU;
  uint32_t half;
  if (magnitude > 0x7f800000U)
    half = 0x7e00U;                  // not a number
  else if (magnitude < 0x38800000U)  // subnormal: multiples of 2^-24
    half = static_cast<uint32_t>(std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24F));
  else
    half = std::min((magnitude - 0x38000000U + 0xfffU + ((magnitude >> 13) & 1U)) >> 13, 0x7c00U);
  return static_cast<uint16_t>(sign | half);
}

size_t source_row_bytes(Format format, int columns) {
  const FormatTraits& f = traits(format);
  return static_cast<size_t>(columns) / f.source_columns * f.source_bytes;
}

PackedMatrix::PackedMatrix(std::span<const uint8_t> source, Format format, int rows, int columns,
                           std::span<const int> row_map)
    : PackedMatrix(format, checked_rows(source, format, rows, columns, row_map), columns, row_map) {
  add(source);
  check_complete();
}

PackedMatrix::PackedMatrix(Format format, int rows, int columns, std::span<const int> row_map)
    : format_(format), rows_(rows), columns_(columns), row_map_(row_map.begin(), row_map.end()) {
  const FormatTraits& f = traits(format);
  constexpr int kMost = std::numeric_limits<int>::max() - kBlock;  // padded they are still a number
  if (rows <= 0 || columns <= 0 || columns > kMost || columns % f.source_columns != 0)
    throw std::invalid_argument(described() + ": columns must be a positive multiple of " +
                                std::to_string(f.source_columns));
  if (!row_map.empty() && row_map.size() != static_cast<size_t>(rows))
    throw std::invalid_argument("row_map has " + std::to_string(row_map.size()) + " entries for " +
                                std::to_string(rows) + " rows");
  panel_bytes_ = f.is_float() ? f.block_bytes() * (padded_columns() / kBlock)
                              : f.super_bytes() * (columns / (kBlock * f.blocks_per_super()));
  panels_ = allocate<uint8_t>(nbytes());
}

void PackedMatrix::add(std::span<const uint8_t> source) {
  const size_t row_bytes = source_row_bytes(format_, columns_);
  const size_t most = row_map_.empty() ? row_bytes * (rows_ - source_rows_) : std::numeric_limits<int>::max();
  if (source.size() % row_bytes != 0 || source.size() > most)
    throw std::invalid_argument(described() + " takes " + std::to_string(row_bytes * rows_) + " bytes, got " +
                                std::to_string(row_bytes * source_rows_ + source.size()));
  const int first = source_rows_;
  source_rows_ += static_cast<int>(source.size() / row_bytes);
  auto put = [&](int row, int from) {
    pack_row(format_, source.data() + row_bytes * (from - first), columns_, row % kPanelRows,
             panels_.get() + panel_bytes_ * (row / kPanelRows));
  };
  if (row_map_.empty())
    for (int i = first; i < source_rows_; ++i) put(i, i);
  for (size_t i = 0; i < row_map_.size(); ++i)
    if (row_map_[i] >= first && row_map_[i] < source_rows_) put(static_cast<int>(i), row_map_[i]);
}

void PackedMatrix::check_complete() const {
  if (row_map_.empty() && source_rows_ != rows_)
    throw std::invalid_argument(described() + " takes " + std::to_string(source_row_bytes(format_, columns_) * rows_) +
                                " bytes, got " + std::to_string(source_row_bytes(format_, columns_) * source_rows_));
  for (size_t i = 0; i < row_map_.size(); ++i)
    if (row_map_[i] < 0 || row_map_[i] >= source_rows_)
      throw std::invalid_argument("row_map[" + std::to_string(i) + "] is " + std::to_string(row_map_[i]) +
                                  ", outside " + std::to_string(source_rows_) + " source rows");
}

std::string PackedMatrix::described() const {
  return "a " + std::string(traits(format_).name) + " matrix of " + std::to_string(rows_) + " x " +
         std::to_string(columns_);
}

void PackedMatrix::row(int index, float* out) const {
  const FormatTraits& f = traits(format_);
  const int lane = index % kPanelRows;
  const uint8_t* p = panels_.get() + panel_bytes_ * (index / kPanelRows);
  if (f.is_float()) {
    float_row(format_, p, columns_, lane, out);
    return;
  }
  for (int k = 0; k < columns_; k += kBlock * f.blocks_per_super()) {
    const uint8_t* super = p;
    p += f.super_header_bytes();
    for (int i = 0; i < f.blocks_per_super(); ++i, p += f.block_bytes()) {
      Scale s = {0, 0};
      for (int c = 0; c < kBlock; ++c) {
        if (c % 16 == 0) s = scale_of(f, super, p + f.quant_bytes(), lane, c);
        const auto q = static_cast<float>(stored_weight(f, p, lane, c) - f.zero);
        *out++ = f.has_minimum ? std::fma(s.scale, q, s.minimum) : s.scale * q;
      }
    }
  }
}

}  // namespace pennyweight
