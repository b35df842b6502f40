// What an encoder is made of, checked; rounding of float weights; vectors of
// windows combined into one of a text.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "pennyweight/encoder.h"
#include "require.h"

namespace pennyweight {

namespace {

void check_vector(const std::string& name, const std::vector<float>& v, int size) {
  require(v.size() == static_cast<size_t>(size),
          name + " has " + std::to_string(v.size()) + " values, expected " + std::to_string(size));
}

void check_norm(const std::string& name, const Norm& norm, int size) {
  check_vector(name + ".weight", norm.weight, size);
  check_vector(name + ".bias", norm.bias, size);
}

void check_affine(const std::string& name, const Affine& affine, int rows, int columns) {
  require(affine.weight != nullptr, name + " is missing");
  const PackedMatrix& m = *affine.weight;
  require(m.rows() == rows && m.columns() == columns, name + " is " + std::to_string(m.rows()) + " x " +
                                                          std::to_string(m.columns()) + ", expected " +
                                                          std::to_string(rows) + " x " + std::to_string(columns));
  check_vector(name + ".bias", affine.bias, rows);
}

void check_layer(const EncoderModel& model, const EncoderLayer& layer) {
  const int d = model.d_model;
  check_affine("query", layer.query, d, d);
  check_affine("key", layer.key, d, d);
  check_affine("value", layer.value, d, d);
  check_affine("output", layer.output, d, d);
  check_affine("up", layer.up, model.d_ff, d);
  check_affine("down", layer.down, d, model.d_ff);
  check_norm("attention_norm", layer.attention_norm, d);
  check_norm("output_norm", layer.output_norm, d);
}

float element(Format format, const uint8_t* source, size_t index) {
  if (format == Format::kF32) {
    float x;
    std::memcpy(&x, source + 4 * index, 4);
    return x;
  }
  uint16_t bits;
  std::memcpy(&bits, source + 2 * index, 2);
  return format == Format::kF16 ? half_to_float(bits) : std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

constexpr float kWhole = 12582912.0F;  // 1.5 * 2^23: a sum with it has no place
                                       // for a fraction, so it rounds to nearest

void round_block(const float* x, uint8_t* block) {
  int32_t largest = 0;  // as integers magnitudes are in the same order, and
                        // several are compared at once
  for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::bit_cast<int32_t>(x[i]) & 0x7fffffff);
  const float amax = std::bit_cast<float>(largest);
  if (!std::isfinite(amax)) throw std::invalid_argument("a weight is not a finite number");
  if (!(amax / 127.0F < 65504.0F)) throw std::invalid_argument("a weight is too large for a half-precision scale");
  const uint16_t scale = float_to_half(amax / 127.0F);
  const float d = half_to_float(scale);  // what the value will be multiplied by: rounding aims at that
  std::memcpy(block, &scale, 2);
  for (int i = 0; i < kBlock; ++i) {
    const float quotient = d > 0 ? std::clamp(x[i] / d, -127.0F, 127.0F) : 0.0F;
    const float q = (quotient + kWhole) - kWhole;
    block[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(q));
  }
}

}  // namespace

size_t EncoderModel::weight_bytes() const {
  size_t total = embedding->nbytes() + positions->nbytes();
  for (const auto& layer : layers)
    for (const Affine* a : {&layer->query, &layer->key, &layer->value, &layer->output, &layer->up, &layer->down})
      total += a->weight->nbytes();
  return total;
}

void EncoderModel::check() const {
  require(d_model > 0 && num_heads > 0 && d_model % num_heads == 0, "d_model must be a multiple of num_heads");
  require(d_model % kBlock == 0 && d_ff > 0 && d_ff % kBlock == 0, "d_model and d_ff must be multiples of 32");
  require(head_dim() % 16 == 0, "the head size is " + std::to_string(head_dim()) + ", expected a multiple of 16");
  require(embedding != nullptr && embedding->columns() == d_model, "embedding must have d_model columns");
  require(positions != nullptr && positions->columns() == d_model, "positions must have d_model columns");
  check_vector("token_type", token_type, d_model);
  check_norm("embedding_norm", embedding_norm, d_model);
  require(!layers.empty(), "an encoder has at least one layer");
  for (const auto& layer : layers) {
    require(layer != nullptr, "a layer is missing");
    check_layer(*this, *layer);
  }
}

std::vector<uint8_t> to_q8_0(std::span<const uint8_t> source, Format format) {
  require(traits(format).is_float(), std::string(traits(format).name) + " holds no float values");
  const size_t bytes = static_cast<size_t>(traits(format).bits) / 8;
  require(source.size() % (bytes * kBlock) == 0,
          std::to_string(source.size()) + " bytes are no blocks of 32 values of " + traits(format).name);
  const size_t blocks = source.size() / bytes / kBlock;
  constexpr size_t kBlockBytes = kFormats[static_cast<int>(Format::kQ8_0)].source_bytes;
  std::vector<uint8_t> out(blocks * kBlockBytes);
  for (size_t b = 0; b < blocks; ++b) {
    float x[kBlock];
    for (int i = 0; i < kBlock; ++i) x[i] = element(format, source.data(), b * kBlock + i);
    round_block(x, out.data() + b * kBlockBytes);
  }
  return out;
}

std::vector<float> combine(std::span<const float> vectors, int width, std::span<const int> weights, int dimensions) {
  require(width > 0 && dimensions > 0 && dimensions <= width,
          "dimensions must be 1 to " + std::to_string(width) + ", got " + std::to_string(dimensions));
  require(vectors.size() == weights.size() * width, "there must be one weight per vector");
  std::vector<double> sum(dimensions);
  for (size_t v = 0; v < weights.size(); ++v)
    for (int i = 0; i < dimensions; ++i) sum[i] += static_cast<double>(weights[v]) * vectors[v * width + i];
  double squares = 0;
  for (const double x : sum) squares += x * x;
  const double factor = squares > 0 ? 1.0 / std::sqrt(squares) : 0.0;
  std::vector<float> out(dimensions);
  for (int i = 0; i < dimensions; ++i) out[i] = static_cast<float>(sum[i] * factor);
  return out;
}

}  // namespace pennyweight
