// The KV cache: pages of 64 tokens, a page's KV heads contiguous, bytes in access order.
//
// Four pages make an extent, which holds all layers, layer after layer: a sequence reads runs of four pages, and memory
// is committed an extent at a time. (With an arena for each layer the first token of all would touch every one.)
#pragma once

#include "pennyweight/kernels.h"
#include "pennyweight/memory.h"

namespace pennyweight {

class Cache {
 public:
  static constexpr int kPageTokens = PageHead::kTokens;
  static constexpr int kExtentPages = 4;            // ids are given out in such runs (engine/pages.py)
  static constexpr size_t kSystemPageBytes = 4096;  // the smallest that a system commits at a time

  // Memory is committed as pages are written. Throws std::invalid_argument for heads that cannot be kept so.
  Cache(int num_layers, int num_kv_heads, int head_dim, int num_pages, KvFormat format);

  KvFormat format() const { return format_; }
  // Queries, keys and values are rotated before they are quantised, and attention's output is rotated back.
  bool rotates() const { return format_ == KvFormat::kInt4; }
  int num_pages() const { return num_pages_; }
  size_t page_bytes() const { return head_bytes_ * num_kv_heads_ * num_layers_; }

  uint8_t* head(int layer, int page, int kv_head) {
    const size_t run = static_cast<size_t>(page / kExtentPages) * num_layers_ + layer;
    return arena_.get() + ((run * kExtentPages + page % kExtentPages) * num_kv_heads_ + kv_head) * head_bytes_;
  }
  size_t head_bytes() const { return head_bytes_; }
  // Quantises one token's key and value of one head, float [head_dim], and stores them at `slot` of its page.
  void store(const KernelTable& kernels, uint8_t* head, int slot, const float* key, const float* value) const;
  void copy_page(int source, int destination);
  // Lets a page have its memory, whatever it holds; from any thread, at any time.
  void commit_page(int page);
  // A page's bytes, layer after layer, out of the cache and back: `page_bytes()` of them.
  void read_page(int page, uint8_t* bytes);
  void write_page(int page, const uint8_t* bytes);

 private:
  struct Token;
  void store_int8(uint8_t* head, int slot, const Token& token) const;
  void store_int4(uint8_t* head, int slot, const Token& token) const;

  int num_layers_;
  int num_kv_heads_;
  int head_dim_;  // as the model has it
  int dim_;       // elements of a head in a page
  int num_pages_;
  KvFormat format_;
  size_t head_bytes_;
  Buffer<uint8_t> arena_;
};

}  // namespace pennyweight
