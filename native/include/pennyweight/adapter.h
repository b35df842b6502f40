// What an adapter adds to a model's matrices: products of low rank (Hu et al., 2021; https://arxiv.org/abs/2106.09685).
//
// Both factors are kept as Q8_0 panels, so that an adapter's products run in the kernels of the matrices, over the
// activations that those are given. An adapter is immutable; rows of plans name it, and it lives as long as any does.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
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

// What a step reads of one product: y += up (factor * (down x)).
struct LowRankParts {
  PanelRange down;  // Q8_0 panels [rank, padded columns]
  LowRankPanels up;
  float factor;
  int units;  // of 32 ranks
};

// One product on its way into an adapter.
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
  int rows() const { return up_->rows(); }
  int columns() const { return columns_; }
  int units() const { return padded_columns(rank_) / kBlock; }
  size_t nbytes() const { return down_bytes() + up_bytes(); }
  // Its panels, written to `to`, which has nbytes().
  LowRankParts put(uint8_t* to) const;

 private:
  int runs() const { return (rank_ + 15) / 16; }
  size_t down_bytes() const { return down_->nbytes(); }
  size_t up_bytes() const { return LowRankPanels::kRunBytes * runs() * up_->num_panels(); }

  int rank_;
  int columns_;
  float factor_;
  MatrixPointer down_;  // [rank, padded columns]
  MatrixPointer up_;    // [rows, padded rank]
};

using LowRankPointer = std::shared_ptr<const LowRank>;
using AdapterLayer = std::array<LowRankPointer, kNumRoles>;  // by role; null: nothing is added

// All products of an adapter in one piece of memory, in the order in which a step reads them: pieces of their own would
// be on small pages, whose addresses take longer to find than their bytes to read.
class Adapter {
 public:
  // One entry for each of the model's layers. Throws std::invalid_argument naming the matrix that does not fit.
  Adapter(std::shared_ptr<const Model> model, const std::vector<AdapterLayer>& layers);

  const Model* model() const { return model_.get(); }
  // Null: nothing is added.
  const LowRankParts* at(int layer, Role role) const {
    const auto& parts = layers_[layer][static_cast<int>(role)];
    return parts ? &*parts : nullptr;
  }
  int units() const { return units_; }  // of its highest rank
  size_t nbytes() const { return nbytes_; }

 private:
  std::shared_ptr<const Model> model_;
  std::vector<std::array<std::optional<LowRankParts>, kNumRoles>> layers_;
  int units_ = 0;
  size_t nbytes_ = 0;
  Buffer<uint8_t> panels_;
};

using AdapterPointer = std::shared_ptr<const Adapter>;

}  // namespace pennyweight
