// The KV cache: one arena per layer, pages of 64 tokens, a page's KV heads contiguous, bytes in access order.
#pragma once

#include <vector>

#include "pennyweight/kernels.h"
#include "pennyweight/memory.h"

namespace pennyweight {

class Cache {
 public:
  static constexpr int kPageTokens = PageHead::kTokens;

  // Memory is committed as pages are written.
  Cache(int num_layers, int num_kv_heads, int head_dim, int num_pages);

  int num_pages() const { return num_pages_; }
  size_t page_bytes() const { return head_bytes_ * num_kv_heads_ * arenas_.size(); }

  uint8_t* head(int layer, int page, int kv_head) {
    return arenas_[layer].get() + (static_cast<size_t>(page) * num_kv_heads_ + kv_head) * head_bytes_;
  }
  // Stores one token's key and value of one head, quantised, at `slot` of its page.
  void store(uint8_t* head, int slot, const int8_t* key, const float* key_scales, const int8_t* value,
             float value_scale) const;
  void copy_page(int source, int destination);

 private:
  int num_kv_heads_;
  int head_dim_;
  int num_pages_;
  size_t head_bytes_;
  std::vector<Buffer<uint8_t>> arenas_;
};

}  // namespace pennyweight
