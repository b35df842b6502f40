// Compiled once per instruction set: see native/CMakeLists.txt.
#include PW_VOCABULARY
#include "../kernels/elementwise.inl"

#include "../kernels/four_bits.inl"
#include "table.h"

namespace pennyweight::PW_TARGET {

void fill_elementwise(KernelTable& table) {
  table.quantize = quantize;
  table.rmsnorm = rmsnorm;
  table.add = add_vectors;
  table.add_scaled = add_scaled;
  table.scale_and_cap = scale_and_cap;
  table.gate = gate;
  table.rotate = rotate;
  table.quantize_head = quantize_head;
  table.hadamard = hadamard;
  table.quantize_head_4 = quantize_head_4;
  table.maximum = maximum_of;
  table.all_finite = all_finite;
  table.exponentials = exponentials;
  table.sum = sum_runs;
  table.at_least = at_least;
  table.peak = measure_peak;
}

}  // namespace pennyweight::PW_TARGET
