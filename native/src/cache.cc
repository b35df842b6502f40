#include "pennyweight/cache.h"

#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <string>

#include "require.h"

namespace pennyweight {

// A token's key and value of one head: numbers, or codes of four bits.
struct Cache::Token {
  std::array<int8_t, kMaxHeadDim> key;
  std::array<int8_t, kMaxHeadDim> value;
  std::array<float, kMaxHeadGroups> key_scales;
  float value_scale;
};

Cache::Cache(int num_layers, int num_kv_heads, int head_dim, int num_pages, KvFormat format)
    : num_layers_(num_layers),
      num_kv_heads_(num_kv_heads),
      head_dim_(head_dim),
      dim_(padded_head(head_dim)),
      num_pages_(num_pages),
      format_(format),
      head_bytes_(page_head_bytes(format, dim_)) {
  require(can_keep(format, head_dim),
          "int4 keys and values need heads of a multiple of 16 elements, got " + std::to_string(head_dim));
  const auto extents = static_cast<size_t>((num_pages + kExtentPages - 1) / kExtentPages);
  arena_ = allocate<uint8_t>(extents * kExtentPages * page_bytes());
}

void Cache::store(const KernelTable& kernels, uint8_t* head, int slot, const float* key, const float* value) const {
  Token token;
  if (format_ == KvFormat::kInt4) {
    kernels.quantize_head_4(key, head_dim_, kHeadGroup, token.key.data(), token.key_scales.data());
    kernels.quantize_head_4(value, head_dim_, head_dim_, token.value.data(), &token.value_scale);
    return store_int4(head, slot, token);
  }
  std::array<int32_t, kMaxHeadGroups> sums;
  kernels.quantize_head(key, head_dim_, kHeadGroup, token.key.data(), token.key_scales.data(), sums.data());
  kernels.quantize_head(value, head_dim_, head_dim_, token.value.data(), &token.value_scale, sums.data());
  store_int8(head, slot, token);
}

void Cache::store_int8(uint8_t* head, int slot, const Token& token) const {
  uint8_t* keys = head + static_cast<size_t>(slot / 16) * dim_ * 16 + 4 * (slot % 16);
  for (int g = 0; g < dim_ / 4; ++g) {
    uint32_t dword;
    std::memcpy(&dword, token.key.data() + 4 * g, 4);
    dword ^= 0x80808080U;
    std::memcpy(keys + 64 * g, &dword, 4);
  }
  for (int group = 0; group < head_groups(dim_); ++group)
    std::memcpy(head + PageHead::key_scales(dim_) + 256 * group + 4 * slot, token.key_scales.data() + group, 4);
  std::memcpy(head + PageHead::value_scales(dim_) + 4 * slot, &token.value_scale, 4);
  uint8_t* values = head + PageHead::values(dim_) + 64 * (slot % 16) + slot / 16;
  for (int d = 0; d < dim_; ++d)
    values[static_cast<size_t>(d / 16) * 1024 + 4 * (d % 16)] = static_cast<uint8_t>(token.value[d]);
}

void Cache::store_int4(uint8_t* head, int slot, const Token& token) const {
  using Geometry = FourBitPageHead;
  uint8_t* keys = head + static_cast<size_t>(slot / 16) * dim_ * 8 + 4 * (slot % 16);
  for (int g = 0; g < dim_ / 8; ++g) {
    uint32_t dwords[2];
    std::memcpy(dwords, token.key.data() + 8 * g, 8);
    dwords[0] |= dwords[1] << 4;
    std::memcpy(keys + 64 * g, dwords, 4);
  }
  auto put_scale = [&](size_t at, float scale) {
    const auto upper = static_cast<uint16_t>(std::bit_cast<uint32_t>(scale) >> 16);
    std::memcpy(head + at + 2 * static_cast<size_t>(slot), &upper, 2);
  };
  for (int group = 0; group < head_groups(dim_); ++group)
    put_scale(Geometry::key_scales(dim_) + 128 * static_cast<size_t>(group), token.key_scales[group]);
  put_scale(Geometry::value_scales(dim_), token.value_scale);
  uint8_t* values = head + Geometry::values(dim_) + 64 * (slot % 16) + slot / 16;
  for (int d = 0; d < dim_; ++d) {
    const int upper = d % 32 < 16 && d + 16 < dim_ ? token.value[d + 16] : 0;
    if (d % 32 < 16)
      values[static_cast<size_t>(d / 32) * 1024 + 4 * (d % 16)] = static_cast<uint8_t>(token.value[d] | upper << 4);
  }
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

void Cache::read_page(int page, uint8_t* bytes) {
  const size_t layer_bytes = head_bytes_ * num_kv_heads_;
  for (int layer = 0; layer < num_layers_; ++layer)
    std::memcpy(bytes + layer * layer_bytes, head(layer, page, 0), layer_bytes);
}

void Cache::write_page(int page, const uint8_t* bytes) {
  const size_t layer_bytes = head_bytes_ * num_kv_heads_;
  for (int layer = 0; layer < num_layers_; ++layer)
    std::memcpy(head(layer, page, 0), bytes + layer * layer_bytes, layer_bytes);
}

}  // namespace pennyweight
