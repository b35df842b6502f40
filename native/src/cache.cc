#include "pennyweight/cache.h"

#include <atomic>
#include <cstring>

namespace pennyweight {

Cache::Cache(int num_layers, int num_kv_heads, int head_dim, int num_pages)
    : num_layers_(num_layers),
      num_kv_heads_(num_kv_heads),
      head_dim_(head_dim),
      num_pages_(num_pages),
      head_bytes_(PageHead::bytes(head_dim)) {
  const auto extents = static_cast<size_t>((num_pages + kExtentPages - 1) / kExtentPages);
  arena_ = allocate<uint8_t>(extents * kExtentPages * page_bytes());
}

void Cache::store(uint8_t* head, int slot, const int8_t* key, const float* key_scales, const int8_t* value,
                  float value_scale) const {
  uint8_t* keys = head + static_cast<size_t>(slot / 16) * head_dim_ * 16 + 4 * (slot % 16);
  for (int g = 0; g < head_dim_ / 4; ++g) {
    uint32_t dword;
    std::memcpy(&dword, key + 4 * g, 4);
    dword ^= 0x80808080U;
    std::memcpy(keys + 64 * g, &dword, 4);
  }
  for (int group = 0; group < head_groups(head_dim_); ++group)
    std::memcpy(head + PageHead::key_scales(head_dim_) + 256 * group + 4 * slot, key_scales + group, 4);
  std::memcpy(head + PageHead::value_scales(head_dim_) + 4 * slot, &value_scale, 4);
  uint8_t* values = head + PageHead::values(head_dim_) + 64 * (slot % 16) + slot / 16;
  for (int d = 0; d < head_dim_; ++d)
    values[static_cast<size_t>(d / 16) * 1024 + 4 * (d % 16)] = static_cast<uint8_t>(value[d]);
}

void Cache::copy_page(int source, int destination) {
  const size_t bytes = head_bytes_ * num_kv_heads_;
  for (int layer = 0; layer < num_layers_; ++layer)
    std::memcpy(head(layer, destination, 0), head(layer, source, 0), bytes);
}

void Cache::commit_page(int page) {
  // Memory never written reads as zero and gets a zero; other values stay, and a step may store some meanwhile.
  const size_t bytes = head_bytes_ * num_kv_heads_;
  for (int layer = 0; layer < num_layers_; ++layer) {
    uint8_t* run = head(layer, page, 0);
    for (size_t at = 0; at < bytes; at += kSystemPageBytes) {
      uint8_t never_written = 0;
      std::atomic_ref<uint8_t>(run[at]).compare_exchange_strong(never_written, 0, std::memory_order_relaxed);
    }
  }
}

}  // namespace pennyweight
