// How kernels read pages: int8 ones as they are, int4 ones through a table of levels that makes int8 of them.
//
// int8: keys are unsigned (value + 128): [64/16][D/4][16 keys][4]. Values are signed: [D/16][16][16][4], where the four
// bytes of dword g belong to keys g, 16+g, 32+g, 48+g, so that four vectors of probabilities pack without a shuffle.
// int4: a byte holds two codes, of one token (several threads store tokens). Keys: [64/16][D/8][16 keys][4], the lower
// half of dword g/2 for g even. Values: [D/32][16][16][4], the lower half for the first sixteen elements of 32.
#pragma once

#include "math.inl"

namespace pennyweight::PW_TARGET {

// What codes stand for: the best levels for 32 numbers of a normal distribution in units of the largest.
inline constexpr int8_t kLevels[16] = {-124, -98, -78, -61, -46, -32, -19, -6, 6, 19, 32, 46, 61, 78, 98, 124};
inline constexpr uint8_t kKeyLevels[16] = {4, 30, 50, 67, 82, 96, 109, 122, 134, 147, 160, 174, 189, 206, 226, 252};

// The codes in the lower (0) or upper (1) halves of bytes.
template <int kHalf>
PW_INLINE B64 codes(B64 bytes) {
  if constexpr (kHalf == 1) bytes = shift_right_16<4>(bytes);
  return and_bytes(bytes, set_bytes(15));
}

struct BytePage {
  using Geometry = PageHead;
  static constexpr int kHalves = 1;  // int8 vectors in one of a page

  PW_INLINE void keys(const uint8_t* at, B64* out) { out[0] = load_bytes(at); }
  // Sixteen elements of values for the keys of one dword; with int8 there are no halves.
  template <int kHalf>
  PW_INLINE B64 values(const uint8_t* at) {
    return load_bytes(at);
  }
  PW_INLINE F32 scales(const uint8_t* at, int first) { return load(reinterpret_cast<const float*>(at) + first); }
};

struct FourBitPage {
  using Geometry = FourBitPageHead;
  static constexpr int kHalves = 2;

  PW_INLINE void keys(const uint8_t* at, B64* out) {
    const B64 bytes = load_bytes(at);
    out[0] = look_up(kKeyLevels, codes<0>(bytes));
    out[1] = look_up(kKeyLevels, codes<1>(bytes));
  }
  template <int kHalf>
  PW_INLINE B64 values(const uint8_t* at) {
    return look_up(reinterpret_cast<const uint8_t*>(kLevels), codes<kHalf>(load_bytes(at)));
  }
  PW_INLINE F32 scales(const uint8_t* at, int first) { return load_bf16(at + 2 * static_cast<size_t>(first)); }
};

// The int8 page that an int4 page stands for.
PW_INLINE void expand_page(const uint8_t* head, int head_dim, uint8_t* out) {
  const size_t vectors = static_cast<size_t>(head_dim) / 2;  // of key codes
  for (size_t i = 0; i < vectors; ++i) {
    B64 keys[2];
    FourBitPage::keys(head + 64 * i, keys);
    store_bytes(out + 128 * i, keys[0]);
    store_bytes(out + 128 * i + 64, keys[1]);
  }
  const uint8_t* scales = head + FourBitPageHead::key_scales(head_dim);  // of keys, then of values
  auto* out_scales = reinterpret_cast<float*>(out + PageHead::key_scales(head_dim));
  for (int i = 0; i < 64 * (head_groups(head_dim) + 1); i += 16) store(out_scales + i, FourBitPage::scales(scales, i));
  const uint8_t* values = head + FourBitPageHead::values(head_dim);
  uint8_t* out_values = out + PageHead::values(head_dim);
  for (int d = 0; d < head_dim; d += 32, values += 1024, out_values += 2048)
    for (size_t g = 0; g < 1024; g += 64) {
      store_bytes(out_values + g, FourBitPage::values<0>(values + g));
      if (d + 16 < head_dim) store_bytes(out_values + 1024 + g, FourBitPage::values<1>(values + g));
    }
}

}  // namespace pennyweight::PW_TARGET
