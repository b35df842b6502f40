// Adapters within a step: rows of the same adapter stand together, and each linear layer of theirs is two products
// more. `reduce` computes the narrow one before the layer, the layer's own work items add the wide one.
#pragma once

#include <span>
#include <vector>

#include "pennyweight/adapter.h"
#include "pennyweight/linear.h"
#include "pennyweight/team.h"

namespace pennyweight {

// Rows [first, first + count) of a batch, which share an adapter.
struct AdaptedRows {
  const Adapter* adapter;
  int first;
  int count;
};

class AdapterStage {
 public:
  AdapterStage(const KernelTable& kernels, Team& team) : kernels_(kernels), team_(team), own_(team.size()) {}

  // Makes room for a step of `rows` rows; called by one thread. Throws std::bad_alloc.
  void plan(std::span<const AdaptedRows> adapted, int rows);
  size_t bytes() const { return bytes_of(sums_); }

  // Called by all threads: what the adapters' narrow products make of a linear layer's input, for `count` matrices from
  // role `first` on. Null if no row has an adapter there; else it ends with a barrier, and what is returned holds until
  // this thread's next call.
  const Adapted* reduce(int thread, int layer, Role first, int count, const Activations& x) {
    return adapted_.empty() ? nullptr : reduce_rows(thread, layer, first, count, x);
  }

 private:
  friend struct Adapted;

  const Adapted* reduce_rows(int thread, int layer, Role first, int count, const Activations& x);
  void reduce_item(const LowRankParts& low, int place, int unit, const Activations& x, int first, int count) const;
  // The sums of a place, [rows][stride].
  ActivationBlock* sums(int place) const { return sums_.get() + static_cast<size_t>(place) * num_rows_ * stride_; }

  const KernelTable& kernels_;
  Team& team_;
  std::vector<AdaptedRows> adapted_;
  int num_rows_ = 0;
  size_t stride_ = 0;             // blocks of a row: the highest rank
  size_t capacity_ = 0;           // blocks
  Buffer<ActivationBlock> sums_;  // [place: which of the matrices that share an input][rows][stride]
  std::vector<Adapted> own_;      // per thread
};

}  // namespace pennyweight
