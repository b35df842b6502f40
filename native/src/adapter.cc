#include "pennyweight/adapter.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "pennyweight/encoder.h"
#include "require.h"

namespace pennyweight {

namespace {

constexpr int kPieceValues = 8192;    // rounded at a time
constexpr int kLeastExponent = -100;  // of the largest value; what is smaller still is as good as zero

std::string shape(int rows, int columns) { return std::to_string(rows) + " x " + std::to_string(columns); }

// A factor as it is given: rows x columns values of a float format.
struct Source {
  std::string name;
  std::span<const uint8_t> bytes;
  Format format;
  int rows;
  int columns;

  void read(size_t first, size_t count, float* out) const {
    if (format == Format::kF32) {
      std::memcpy(out, bytes.data() + 4 * first, 4 * count);
      return;
    }
    for (size_t i = 0; i < count; ++i) {
      uint16_t bits;
      std::memcpy(&bits, bytes.data() + 2 * (first + i), 2);
      out[i] = format == Format::kF16 ? half_to_float(bits) : std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
    }
  }
};

// The exponent of the largest value.
int exponent_of(const Source& source) {
  constexpr size_t kPiece = 1024;
  float values[kPiece];
  int32_t largest = 0;  // as integers magnitudes are in the same order, and
                        // several are compared at once
  const size_t total = static_cast<size_t>(source.rows) * source.columns;
  for (size_t first = 0; first < total; first += kPiece) {
    const size_t count = std::min(kPiece, total - first);
    source.read(first, count, values);
    for (size_t i = 0; i < count; ++i) largest = std::max(largest, std::bit_cast<int32_t>(values[i]) & 0x7fffffff);
  }
  const float magnitude = std::bit_cast<float>(largest);
  require(std::isfinite(magnitude), source.name + " has a value that is not finite");
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  return std::max(exponent, kLeastExponent);
}

// A float matrix in Q8_0, and the power of two that undoes what it was
// multiplied by.
struct Rounded {
  PackedMatrix matrix;
  int exponent;
};

// In pieces that stay in the cache: fresh memory for whole matrices took longer
// than the rounding.
Rounded rounded(const Source& source, std::span<const int> row_map) {
  const int exponent = exponent_of(source) - 7;
  const float scale = std::ldexp(1.0F, -exponent);
  const int width = padded_columns(source.columns);
  const int piece = std::max(1, kPieceValues / width);
  std::vector<float> scaled(static_cast<size_t>(piece) * width);
  PackedMatrix matrix(Format::kQ8_0, row_map.empty() ? source.rows : static_cast<int>(row_map.size()), width, row_map);
  for (int first = 0; first < source.rows; first += piece) {
    const int rows = std::min(piece, source.rows - first);
    for (int row = 0; row < rows; ++row) {
      float* to = scaled.data() + static_cast<size_t>(row) * width;
      source.read((static_cast<size_t>(first) + row) * source.columns, source.columns, to);
      for (int i = 0; i < source.columns; ++i) to[i] *= scale;
    }
    const auto* bytes = reinterpret_cast<const uint8_t*>(scaled.data());
    matrix.add(to_q8_0({bytes, 4 * static_cast<size_t>(rows) * width}, Format::kF32));
  }
  matrix.check_complete();
  return {std::move(matrix), exponent};
}

// Writes the panels of a Q8_0 matrix in runs of 16 columns: an adapter of rank
// 16 has no second half of a block.
void put_runs(const PackedMatrix& m, int num_runs, uint8_t* to) {
  constexpr size_t kQuants = traits(Format::kQ8_0).quant_bytes();
  for (int panel = 0; panel < m.num_panels(); ++panel)
    for (int run = 0; run < num_runs; ++run, to += LowRankPanels::kRunBytes) {
      const uint8_t* block =
          m.panels() + m.panel_bytes() * panel + traits(Format::kQ8_0).block_bytes() * static_cast<size_t>(run / 2);
      std::memcpy(to, block + kQuants / 2 * (run % 2), kQuants / 2);
      std::memcpy(to + kQuants / 2, block + kQuants, LowRankPanels::kRunBytes - kQuants / 2);
    }
}

// The number of whole vectors of `size` values in a buffer.
int vectors_in(const std::string& name, std::span<const uint8_t> source, Format format, int size) {
  const size_t bytes = static_cast<size_t>(traits(format).bits) / 8 * size;
  require(!source.empty() && source.size() % bytes == 0 && source.size() / bytes < (1U << 24),
          name + " has " + std::to_string(source.size()) + " bytes, expected a multiple of " + std::to_string(bytes) +
              " for rank " + std::to_string(size) + " in " + traits(format).name);
  return static_cast<int>(source.size() / bytes);
}

// The matrix that an adapter adds to; null where the layer has experts in its
// place.
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
  Rounded a = rounded({"down", down, format, rank, columns_}, {});
  Rounded b = rounded({"up", up, format, rows, rank}, row_map);
  down_ = std::make_shared<PackedMatrix>(std::move(a.matrix));
  up_ = std::make_shared<PackedMatrix>(std::move(b.matrix));
  factor_ = std::ldexp(scale, a.exponent + b.exponent);
  require(std::isfinite(factor_), "the scale " + std::to_string(scale) + " makes the sum overflow");
}

LowRankParts LowRank::put(uint8_t* to) const {
  std::memcpy(to, down_->panels(), down_bytes());
  put_runs(*up_, runs(), to + down_bytes());
  const PanelRange down = {to, down_->panel_bytes(), down_->padded_columns() / kBlock, 0, down_->num_panels()};
  return {down, {to + down_bytes(), runs()}, factor_, units()};
}

Adapter::Adapter(std::shared_ptr<const Model> model, const std::vector<AdapterLayer>& layers)
    : model_(std::move(model)), layers_(layers.size()) {
  require(model_ != nullptr, "an adapter is made for a model");
  require(layers.size() == model_->layers.size(), "the adapter has " + std::to_string(layers.size()) +
                                                      " layers, the model " + std::to_string(model_->layers.size()));
  for (size_t i = 0; i < layers.size(); ++i)
    for (int role = 0; role < kNumRoles; ++role) {
      const LowRank* low = layers[i][role].get();
      if (low == nullptr) continue;
      check_fit(*model_->layers[i], static_cast<Role>(role), *low,
                "layer " + std::to_string(i) + ", " + kRoleNames[role]);
      units_ = std::max(units_, low->units());
      nbytes_ += low->nbytes();
    }
  panels_ = allocate<uint8_t>(nbytes_);
  uint8_t* to = panels_.get();
  for (size_t i = 0; i < layers.size(); ++i)
    for (int role = 0; role < kNumRoles; ++role)
      if (const LowRank* low = layers[i][role].get(); low != nullptr) {
        layers_[i][role] = low->put(to);
        to += low->nbytes();
      }
}

}  // namespace pennyweight
