// Compiled once per instruction set: see native/CMakeLists.txt.
#include PW_VOCABULARY
#include "../kernels/attention.inl"

#include "table.h"

namespace pennyweight::PW_TARGET {

void fill_attention(KernelTable& table) {
  table.attend_page = attend_page;
  table.attend_tile = attend_tile;
  table.merge = merge;
  table.merge_tile = merge_tile;
}

}  // namespace pennyweight::PW_TARGET
