// Compiled once per instruction set: see native/CMakeLists.txt.
#include PW_VOCABULARY
#include "../kernels/attention.inl"

#include "table.h"

namespace pennyweight::PW_TARGET {

void fill_attention(KernelTable& table) {
  table.attend_page[static_cast<int>(KvFormat::kInt8)] = attend_page<BytePage>;
  table.attend_page[static_cast<int>(KvFormat::kInt4)] = attend_page<FourBitPage>;
  table.attend_tile[static_cast<int>(KvFormat::kInt8)] = attend_tile;
  table.attend_tile[static_cast<int>(KvFormat::kInt4)] = attend_tile_int4;
  table.merge = merge;
  table.merge_tile = merge_tile;
}

}  // namespace pennyweight::PW_TARGET
