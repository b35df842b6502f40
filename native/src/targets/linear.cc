// Compiled once per instruction set: see native/CMakeLists.txt.
#include PW_VOCABULARY
#include "../kernels/linear.inl"

#include "../kernels/low_rank.inl"
#include "table.h"

namespace pennyweight::PW_TARGET {

template <Format kFormat>
static void use(KernelTable& table) {
  table.linear[0][static_cast<int>(kFormat)] = linear<kFormat, Grain::kCoarse>;
  table.linear[1][static_cast<int>(kFormat)] = linear<kFormat, Grain::kFine>;
}

void fill_linear(KernelTable& table) {
  table.low_rank = low_rank;
  table.linear_float[0] = linear_float<Format::kF32>;
  table.linear_float[1] = linear_float<Format::kF16>;
  table.linear_float[2] = linear_float<Format::kBF16>;
  use<Format::kQ4_0>(table);
  use<Format::kQ4_1>(table);
  use<Format::kQ5_0>(table);
  use<Format::kQ5_1>(table);
  use<Format::kQ8_0>(table);
  use<Format::kQ4_K>(table);
  use<Format::kQ5_K>(table);
  use<Format::kQ6_K>(table);
  use<Format::kQ2_K>(table);
  use<Format::kQ3_K>(table);
  use<Format::kIQ4_NL>(table);
  use<Format::kIQ4_XS>(table);
}

}  // namespace pennyweight::PW_TARGET
