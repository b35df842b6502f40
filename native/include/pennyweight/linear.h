// Linear stages: which thread multiplies which panels with which tokens.
#pragma once

#include <cstdint>
#include <span>

#include "pennyweight/matrix.h"
#include "pennyweight/team.h"

namespace pennyweight {

class AdapterStage;
enum class Role : uint8_t;

// What adapters add to a linear layer's matrices, after their first product (adapter_stage.h).
struct Adapted {
  const AdapterStage* stage = nullptr;
  int layer = 0;
  Role role = {};  // of the first matrix

  // Adds to panels [begin, end) of the matrix at `place`, for tokens [first, first + count); called by one thread.
  void add(int place, int begin, int end, int first, int count, float* out, size_t out_stride) const;
  // Asks for what `add` will read: with many adapters it comes from memory in pieces that no processor foresees.
  void fetch(int place, int begin, int end, int first, int count) const;
};

// Input of a linear layer, row-major by token: quantised blocks, and the float values where a float matrix needs them.
struct Activations {
  Grain grain;
  const ActivationBlock* blocks;
  size_t block_stride;
  const float* values;
  size_t value_stride;
};

// Adds the squares of rows [first, first + count) to what is known of an observed matrix's input. Called by all
// threads.
void observe(Team& team, int thread, const PackedMatrix& w, const Activations& x, int first, int count);

// out[t * out_stride + 16 * (panel - begin) + r] for panels [begin, end) and tokens [first, first + count).
void multiply_panels(const KernelTable& kernels, const PackedMatrix& w, int begin, int end, const Activations& x,
                     int first, int count, float* out, size_t out_stride, bool accumulate);

// Part i writes its columns at out + offset(i), the sum of the padded rows before it. Called by all threads.
void linear_stage(const KernelTable& kernels, Team& team, int thread, std::span<const PackedMatrix* const> parts,
                  const Activations& x, int tokens, float* out, size_t out_stride, bool accumulate,
                  const Adapted* adapted = nullptr);

inline constexpr int kItemTokens = 192;  // tokens of one work item: its panels come from the second-level cache
// Panels of one work item.
inline constexpr int kItemPanels = 4;
inline int panel_chunk(int tokens) { return tokens == 1 ? 2 : kItemPanels; }

// hidden = gate(x W_gate) * (x W_up), in units of 32 columns, finely quantised; also kept as floats if `values`.
void gated_stage(const KernelTable& kernels, Team& team, int thread, Activation activation, const PackedMatrix& gate,
                 const PackedMatrix& up, const Activations& x, int tokens, ActivationBlock* blocks, float* values,
                 const Adapted* adapted = nullptr);

// One unit of it, for tokens [begin, end); called by one thread.
void gated_unit(const KernelTable& kernels, Activation activation, const PackedMatrix& gate, const PackedMatrix& up,
                const Activations& x, int unit, int begin, int end, ActivationBlock* blocks, float* values,
                const Adapted* adapted = nullptr);

}  // namespace pennyweight
