#include "pennyweight/adapter.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "pennyweight/encoder.h"
#include "require.h"

namespace pennyweight {

namespace {

std::string shape(int rows, int columns) { return std::to_string(rows) + " x " + std::to_string(columns); }

std::vector<float> values_of(std::span<const uint8_t> source, Format format) {
  std::vector<float> values(source.size() / (static_cast<size_t>(traits(format).bits) / 8));
  if (format == Format::kF32) {
    if (!values.empty()) std::memcpy(values.data(), source.data(), 4 * values.size());
    return values;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, source.data() + 2 * i, 2);
    values[i] = format == Format::kF16 ? half_to_float(bits) : std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
  return values;
}

// A float matrix in Q8_0, and the power of two that undoes what it was multiplied by.
struct Rounded {
  MatrixPointer matrix;
  int exponent;
};

Rounded rounded(const std::string& name, const std::vector<float>& values, int rows, int columns,
                std::span<const int> row_map) {
  float largest = 0;
  for (const float x : values) {
    require(std::isfinite(x), name + " has a value that is not finite");
    largest = std::max(largest, std::fabs(x));
  }
  int exponent = 0;
  std::frexp(largest, &exponent);
  exponent -= 7;
  const int width = padded_columns(columns);
  std::vector<float> scaled(static_cast<size_t>(rows) * width);
  for (int row = 0; row < rows; ++row)
    for (int i = 0; i < columns; ++i)
      scaled[static_cast<size_t>(row) * width + i] =
          std::ldexp(values[static_cast<size_t>(row) * columns + i], -exponent);
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(scaled.data()), 4 * scaled.size());
  const int packed_rows = row_map.empty() ? rows : static_cast<int>(row_map.size());
  return {std::make_shared<PackedMatrix>(to_q8_0(bytes, Format::kF32), Format::kQ8_0, packed_rows, width, row_map),
          exponent};
}

// The number of whole vectors of `size` values in a buffer.
int vectors_in(const std::string& name, std::span<const uint8_t> source, Format format, int size) {
  const size_t bytes = static_cast<size_t>(traits(format).bits) / 8 * size;
  require(!source.empty() && source.size() % bytes == 0 && source.size() / bytes < (1U << 24),
          name + " has " + std::to_string(source.size()) + " bytes, expected a multiple of " + std::to_string(bytes) +
              " for rank " + std::to_string(size) + " in " + traits(format).name);
  return static_cast<int>(source.size() / bytes);
}

// The matrix that an adapter adds to; null where the layer has experts in its place.
const PackedMatrix* matrix_of(const Layer& layer, Role role) {
  const std::array<const PackedMatrix*, kNumRoles> matrices = {layer.query.get(),  layer.key.get(),  layer.value.get(),
                                                               layer.output.get(), layer.gate.get(), layer.up.get(),
                                                               layer.down.get()};
  return matrices[static_cast<int>(role)];
}

void check_fit(const Layer& layer, Role role, const LowRank& low, const std::string& where) {
  const PackedMatrix* matrix = matrix_of(layer, role);
  require(matrix != nullptr, where + ": this layer has experts, whose matrices take no adapter");
  require(low.rows() == matrix->rows() && low.columns() == matrix->columns(),
          where + ": the adapter adds " + shape(low.rows(), low.columns()) + ", the matrix is " +
              shape(matrix->rows(), matrix->columns()));
}

}  // namespace

Role role_of(const std::string& name) {
  std::string list;
  for (int i = 0; i < kNumRoles; ++i) {
    if (name == kRoleNames[i]) return static_cast<Role>(i);
    list += (list.empty() ? "" : ", ") + std::string(kRoleNames[i]);
  }
  throw std::invalid_argument("there is no matrix '" + name + "' in a layer; known: " + list);
}

LowRank::LowRank(std::span<const uint8_t> down, std::span<const uint8_t> up, Format format, int rank, float scale,
                 std::span<const int> row_map)
    : rank_(rank) {
  require(traits(format).is_float(), std::string(traits(format).name) + " holds no float values");
  require(rank >= 1 && rank <= kMaxRank,
          "the rank must be 1 to " + std::to_string(kMaxRank) + ", got " + std::to_string(rank));
  columns_ = vectors_in("down", down, format, rank);
  const int rows = vectors_in("up", up, format, rank);
  const Rounded a = rounded("down", values_of(down, format), rank, columns_, {});
  const Rounded b = rounded("up", values_of(up, format), rows, rank, row_map);
  down_ = a.matrix;
  up_ = b.matrix;
  factor_ = std::ldexp(scale, a.exponent + b.exponent);
  require(std::isfinite(factor_), "the scale " + std::to_string(scale) + " makes the sum overflow");
}

Adapter::Adapter(std::shared_ptr<const Model> model, std::vector<AdapterLayer> layers)
    : model_(std::move(model)), layers_(std::move(layers)) {
  require(model_ != nullptr, "an adapter is made for a model");
  require(layers_.size() == model_->layers.size(), "the adapter has " + std::to_string(layers_.size()) +
                                                       " layers, the model " + std::to_string(model_->layers.size()));
  for (size_t i = 0; i < layers_.size(); ++i)
    for (int role = 0; role < kNumRoles; ++role) {
      const LowRank* low = layers_[i][role].get();
      if (low == nullptr) continue;
      check_fit(*model_->layers[i], static_cast<Role>(role), *low,
                "layer " + std::to_string(i) + ", " + kRoleNames[role]);
      units_ = std::max(units_, low->units());
    }
}

size_t Adapter::nbytes() const {
  size_t total = 0;
  for (const AdapterLayer& layer : layers_)
    for (const LowRankPointer& low : layer) total += low ? low->nbytes() : 0;
  return total;
}

}  // namespace pennyweight
