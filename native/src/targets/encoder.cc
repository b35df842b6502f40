// Compiled once per instruction set: see native/CMakeLists.txt.
#include PW_VOCABULARY
#include "../kernels/encoder.inl"

#include "table.h"

namespace pennyweight::PW_TARGET {

void fill_encoder(KernelTable& table) {
  table.layernorm = layernorm;
  table.gelu = gelu;
  table.attend_all = attend_all;
}

}  // namespace pennyweight::PW_TARGET
