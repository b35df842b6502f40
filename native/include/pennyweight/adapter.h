// What an adapter adds to a model's matrices: products of low rank (Hu et al., 2021; https://arxiv.org/abs/2106.09685).
//
// Both factors are kept as Q8_0 panels, so that an adapter's products run in the kernels of the matrices, over the
// activations that those are given. An adapter is immutable; rows of plans name it, and it lives as long as any does.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pennyweight/model.h"

namespace pennyweight {

// The matrices of a layer that an adapter may add to. Those that share an input stand together.
enum class Role : uint8_t { kQuery, kKey, kValue, kOutput, kGate, kUp, kDown };
inline constexpr int kNumRoles = 7;
inline constexpr std::array<const char*, kNumRoles> kRoleNames = {"query", "key", "value", "output",
                                                                  "gate",  "up",  "down"};
Role role_of(const std::string& name);  // std::invalid_argument names the choices

// y += up (factor * (down x))
class LowRank {
 public:
  static constexpr int kMaxRank = 256;

  // `down` holds [rank, columns] and `up` [rows, rank] values of a float format, row by row; row i of the sum is source
  // row row_map[i] of `up` (empty: i). The sum is multiplied by `scale`. Both are rounded to Q8_0 after a power of two
  // has brought their largest value near 127, for the half-precision scales to be exact enough.
  // Throws std::invalid_argument naming the value that does not fit.
  LowRank(std::span<const uint8_t> down, std::span<const uint8_t> up, Format format, int rank, float scale,
          std::span<const int> row_map);

  int rank() const { return rank_; }
  int rows() const { return rows_; }
  int columns() const { return columns_; }
  int units() const { return padded_columns(rank_) / kBlock; }  // of 32 ranks
  size_t nbytes() const { return down_->nbytes() + bytes_of(up_); }
  const PackedMatrix& down() const { return *down_; }
  LowRankPanels up() const { return {up_.get(), (rank_ + 15) / 16}; }
  float factor() const { return factor_; }

 private:
  int rank_;
  int columns_;
  int rows_;
  float factor_;
  MatrixPointer down_;  // [rank, padded columns]
  Buffer<uint8_t> up_;  // [rows / 16][runs of 16 ranks], see LowRankPanels
};

using LowRankPointer = std::shared_ptr<const LowRank>;
using AdapterLayer = std::array<LowRankPointer, kNumRoles>;  // by role; null: nothing is added

class Adapter {
 public:
  // One entry for each of the model's layers. Throws std::invalid_argument naming the matrix that does not fit.
  Adapter(std::shared_ptr<const Model> model, std::vector<AdapterLayer> layers);

  const Model* model() const { return model_.get(); }
  const LowRank* at(int layer, Role role) const { return layers_[layer][static_cast<int>(role)].get(); }
  int units() const { return units_; }  // of its highest rank
  size_t nbytes() const;

 private:
  std::shared_ptr<const Model> model_;
  std::vector<AdapterLayer> layers_;
  int units_ = 0;
};

using AdapterPointer = std::shared_ptr<const Adapter>;

}  // namespace pennyweight
