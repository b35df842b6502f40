// Attention of int8 queries over pages (docs/numerics.md, "Attention of one query row and one head").
//
// Two shapes of the same arithmetic: `attend_page` keeps the 64 keys of a page in the lanes (few query rows: decoding),
// `attend_tile` keeps query rows in the lanes (prompts, and streams under one prefix). Both leave the same bits. The
// first reads either format; for the second an int4 page is expanded once for all rows of a tile.
#pragma once

#include "page.inl"

namespace pennyweight::PW_TARGET {

struct PageView {
  const uint8_t* keys;
  const float* key_scales;
  const float* value_scales;
  const uint8_t* values;
};

PW_INLINE PageView view(const uint8_t* head, int head_dim) {
  return {head, reinterpret_cast<const float*>(head + PageHead::key_scales(head_dim)),
          reinterpret_cast<const float*>(head + PageHead::value_scales(head_dim)), head + PageHead::values(head_dim)};
}

// 255 / largest probability, and back.
struct ProbabilityScale {
  float inverse;
  float scale;
};
PW_INLINE ProbabilityScale probability_scale(float largest) {
  if (!(largest >= kTiny)) return {0.0F, 0.0F};
  return {255.0F / largest, largest / 255.0F};
}

// Adds sixteen elements of the values at `v`, weighted by the rows' packed probabilities, to the states' outputs.
template <class Page, int kRows, int kHalf>
PW_INLINE void add_values(const uint8_t* v, const uint8_t* next, int d, const int32_t (*packed)[16],
                          const float* factor, SoftmaxState* states) {
  I32 sums[kRows];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) sums[r] = broadcast_i32(0);
#pragma GCC unroll 4
  for (int g = 0; g < 16; ++g) {
    const B64 values = Page::template values<kHalf>(v + 64 * g);
    if constexpr (kHalf == 0) prefetch_far(next + 64 * g);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) sums[r] = dot_u8s8(sums[r], broadcast_bytes(packed[r] + g), values);
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    float* o = states[r].output + d;
    store(o, fma(to_float(sums[r]), broadcast(factor[r]), load(o)));
  }
}

// `kCapped`: scores are bounded by `cap`; models without a cap do not pay for it.
template <class Page, int kRows, bool kCapped>
PW_INLINE void attend_rows(const uint8_t* page, int head_dim, int first, int last, const Query* queries,
                           SoftmaxState* states, const uint8_t* next, float cap) {
  using Geometry = typename Page::Geometry;
  F32 scores[kRows][4];
  const int dwords = head_dim / 4;
  const size_t sixteen_keys = static_cast<size_t>(head_dim) * 16 / Page::kHalves;
  const uint8_t* key_scales = page + Geometry::key_scales(head_dim);
  const uint8_t* value_scales = page + Geometry::value_scales(head_dim);
  for (size_t i = Geometry::key_scales(head_dim); i < Geometry::values(head_dim); i += 64) prefetch_far(next + i);
  for (int tg = 0; tg < 4; ++tg) {
    F32 sums[kRows];
    for (int begin = 0, group = 0; begin < dwords; begin += kHeadGroup / 4, ++group) {
      const int end = begin + kHeadGroup / 4 < dwords ? begin + kHeadGroup / 4 : dwords;
      I32 dots[kRows];
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) dots[r] = broadcast_i32(queries[r].minus_128_sums[group]);
      const uint8_t* k = page + tg * sixteen_keys;
#pragma GCC unroll 4
      for (int g = begin; g < end; g += Page::kHalves) {
        B64 keys[Page::kHalves];
        Page::keys(k + 64 * (g / Page::kHalves), keys);
        prefetch_far(next + tg * sixteen_keys + 64 * (g / Page::kHalves));
#pragma GCC unroll 2
        for (int i = 0; i < Page::kHalves; ++i)
#pragma GCC unroll 4
          for (int r = 0; r < kRows; ++r)
            dots[r] = dot_u8s8(dots[r], keys[i], broadcast_bytes(queries[r].q + 4 * (g + i)));
      }
      const F32 key_scale = Page::scales(key_scales, 64 * group + 16 * tg);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const F32 s = mul(to_float(dots[r]), key_scale);
        const F32 scale = broadcast(queries[r].scale[group]);
        sums[r] = group == 0 ? mul(s, scale) : fma(s, scale, sums[r]);
      }
    }
    if constexpr (kCapped)
      for (int r = 0; r < kRows; ++r) sums[r] = softcap(sums[r], broadcast(cap));
    const I32 index = add_i32(lane_index(), broadcast_i32(16 * tg));
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
      scores[r][tg] =
          select_between(index, broadcast_i32(first), broadcast_i32(last), sums[r], broadcast(kMinusInfinity));
  }
  float page_max[kRows];
  float exponents[16] = {};  // of the old state, then of the page: one vector exponential for all rows
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    const F32* s = scores[r];
    page_max[r] = maximum(max(max(s[0], s[1]), max(s[2], s[3])));
    const float merged = states[r].maximum > page_max[r] ? states[r].maximum : page_max[r];
    exponents[r] = states[r].maximum - merged;
    exponents[8 + r] = page_max[r] - merged;
    states[r].maximum = merged;
  }
  float decay[16];
  store(decay, exp2(load(exponents)));
  alignas(64) int32_t packed[kRows][16];
  float factor[kRows];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    F32 e[4];
    F32 p[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const I32 index = add_i32(lane_index(), broadcast_i32(16 * i));
      e[i] = exp2(sub(scores[r][i], broadcast(page_max[r])));
      e[i] = select_between(index, broadcast_i32(first), broadcast_i32(last), e[i], zero());
      p[i] = mul(e[i], Page::scales(value_scales, 16 * i));
    }
    const float page_sum = tree_sum(add(add(e[0], e[1]), add(e[2], e[3])));
    const ProbabilityScale ps = probability_scale(maximum(max(max(p[0], p[1]), max(p[2], p[3]))));
    I32 bytes = round_to_int(mul(p[0], broadcast(ps.inverse)));
    bytes = or_i32(bytes, shift_left<8>(round_to_int(mul(p[1], broadcast(ps.inverse)))));
    bytes = or_i32(bytes, shift_left<16>(round_to_int(mul(p[2], broadcast(ps.inverse)))));
    bytes = or_i32(bytes, shift_left<24>(round_to_int(mul(p[3], broadcast(ps.inverse)))));
    store_i32(packed[r], bytes);
    SoftmaxState& state = states[r];
    state.sum = __builtin_fmaf(state.sum, decay[r], page_sum * decay[8 + r]);
    factor[r] = ps.scale * decay[8 + r];
    if (decay[r] != 1.0F)
      for (int d = 0; d < head_dim; d += 16) store(state.output + d, mul(load(state.output + d), broadcast(decay[r])));
  }
  const size_t values = Geometry::values(head_dim);
  for (int d = 0; d < head_dim; d += 16) {
    const size_t at = values + static_cast<size_t>(d / 16 / Page::kHalves) * 1024;
    if (Page::kHalves == 1 || d % 32 == 0)
      add_values<Page, kRows, 0>(page + at, next + at, d, packed, factor, states);
    else
      add_values<Page, kRows, 1>(page + at, next + at, d, packed, factor, states);
  }
}

template <class Page, bool kCapped>
static void attend_page_rows(const uint8_t* page, int head_dim, int low, int high, const Query* queries,
                             SoftmaxState* states, int rows, const uint8_t* next, float cap) {
  for (; rows >= 4; rows -= 4, queries += 4, states += 4)
    attend_rows<Page, 4, kCapped>(page, head_dim, low, high, queries, states, next, cap);
  if (rows == 3) attend_rows<Page, 3, kCapped>(page, head_dim, low, high, queries, states, next, cap);
  if (rows == 2) attend_rows<Page, 2, kCapped>(page, head_dim, low, high, queries, states, next, cap);
  if (rows == 1) attend_rows<Page, 1, kCapped>(page, head_dim, low, high, queries, states, next, cap);
}

template <class Page>
static void attend_page(const uint8_t* head, int head_dim, int page_start, int first, int last, const Query* queries,
                        SoftmaxState* states, int rows, const uint8_t* next_head, float softcap) {
  auto* attend = softcap > 0 ? attend_page_rows<Page, true> : attend_page_rows<Page, false>;
  attend(head, head_dim, first - page_start, last - page_start, queries, states, rows, next_head, softcap);
}

// Scores of all keys for all rows of the tile; returns the rows' page maxima in `page_max`.
template <bool kCapped>
PW_INLINE void tile_scores(const PageView& page, int head_dim, int page_start, bool all_visible,
                           const AttentionTile& tile, float* scores, F32* page_max, float cap) {
  constexpr int Z = kTileVectors;
  for (int z = 0; z < Z; ++z) page_max[z] = broadcast(kMinusInfinity);
  const int dwords = head_dim / 4;
  const size_t sixteen_keys = static_cast<size_t>(head_dim) * 16;
  for (int t = 0; t < 64; t += 4) {
    const uint8_t* k = page.keys + (t >> 4) * sixteen_keys + 4 * (t & 15);
    F32 sums[4][Z];
    for (int begin = 0, group = 0; begin < dwords; begin += kHeadGroup / 4, ++group) {
      const int end = begin + kHeadGroup / 4 < dwords ? begin + kHeadGroup / 4 : dwords;
      I32 dots[4][Z];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i)
#pragma GCC unroll 4
        for (int z = 0; z < Z; ++z) dots[i][z] = load_i32(tile.minus_128_sums[group] + 16 * z);
#pragma GCC unroll 4
      for (int g = begin; g < end; ++g) {
        B64 q[Z];
#pragma GCC unroll 4
        for (int z = 0; z < Z; ++z) q[z] = load_bytes(tile.queries + (static_cast<size_t>(g) * Z + z) * 64);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const B64 key = broadcast_bytes(k + 64 * g + 4 * i);
#pragma GCC unroll 4
          for (int z = 0; z < Z; ++z) dots[i][z] = dot_u8s8(dots[i][z], key, q[z]);
        }
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const F32 key_scale = broadcast(page.key_scales[64 * group + t + i]);
#pragma GCC unroll 4
        for (int z = 0; z < Z; ++z) {
          const F32 s = mul(to_float(dots[i][z]), key_scale);
          const F32 scale = load(tile.scale[group] + 16 * z);
          sums[i][z] = group == 0 ? mul(s, scale) : fma(s, scale, sums[i][z]);
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const I32 position = broadcast_i32(page_start + t + i);
#pragma GCC unroll 4
      for (int z = 0; z < Z; ++z) {
        F32 s = sums[i][z];
        if constexpr (kCapped) s = softcap(s, broadcast(cap));
        if (!all_visible)
          s = select_between(position, load_i32(tile.first + 16 * z), load_i32(tile.last + 16 * z), s,
                             broadcast(kMinusInfinity));
        page_max[z] = max(page_max[z], s);
        store(scores + ((t + i) * Z + z) * 16, s);
      }
    }
  }
}

// Turns scores into probabilities times value scales, in place; returns page sums and the largest of them.
PW_INLINE void tile_probabilities(const PageView& page, int page_start, bool all_visible, const AttentionTile& tile,
                                  float* scores, int z, F32 page_max, F32* page_sum, F32* largest) {
  constexpr int Z = kTileVectors;
  F32 lanes[16];
  *largest = zero();
  for (int j = 0; j < 16; ++j) {
    F32 e[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const int t = 16 * i + j;
      float* s = scores + (t * Z + z) * 16;
      e[i] = exp2(sub(load(s), page_max));
      if (!all_visible)
        e[i] = select_between(broadcast_i32(page_start + t), load_i32(tile.first + 16 * z),
                              load_i32(tile.last + 16 * z), e[i], zero());
      const F32 p = mul(e[i], broadcast(page.value_scales[t]));
      *largest = max(*largest, p);
      store(s, p);
    }
    lanes[j] = add(add(e[0], e[1]), add(e[2], e[3]));
  }
  for (int width = 8; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) lanes[j] = add(lanes[j], lanes[j + width]);
  *page_sum = lanes[0];
}

// largest -> 255 / largest and largest / 255, both 0 where there is nothing.
PW_INLINE void tile_probability_scale(F32 largest, F32* inverse, F32* scale) {
  float l[16];
  float i[16];
  float s[16];
  store(l, largest);
  for (int j = 0; j < 16; ++j) {
    const ProbabilityScale ps = probability_scale(l[j]);
    i[j] = ps.inverse;
    s[j] = ps.scale;
  }
  *inverse = load(i);
  *scale = load(s);
}

static void attend_tile(const uint8_t* head, int head_dim, int page_start, bool all_visible, AttentionTile& tile,
                        float* scratch, float softcap) {
  constexpr int Z = kTileVectors;
  const PageView page = view(head, head_dim);
  float* scores = scratch;
  auto* packed = reinterpret_cast<int32_t*>(scratch + 64 * Z * 16);
  F32 page_max[Z];
  if (softcap > 0)
    tile_scores<true>(page, head_dim, page_start, all_visible, tile, scores, page_max, softcap);
  else
    tile_scores<false>(page, head_dim, page_start, all_visible, tile, scores, page_max, 0);
  F32 factor[Z];
  F32 decay[Z];
  bool rescale = false;
  for (int z = 0; z < Z; ++z) {
    F32 page_sum;
    F32 largest;
    tile_probabilities(page, page_start, all_visible, tile, scores, z, page_max[z], &page_sum, &largest);
    F32 inverse;
    F32 scale;
    tile_probability_scale(largest, &inverse, &scale);
    for (int g = 0; g < 16; ++g) {
      I32 bytes = round_to_int(mul(load(scores + (g * Z + z) * 16), inverse));
      bytes = or_i32(bytes, shift_left<8>(round_to_int(mul(load(scores + ((16 + g) * Z + z) * 16), inverse))));
      bytes = or_i32(bytes, shift_left<16>(round_to_int(mul(load(scores + ((32 + g) * Z + z) * 16), inverse))));
      bytes = or_i32(bytes, shift_left<24>(round_to_int(mul(load(scores + ((48 + g) * Z + z) * 16), inverse))));
      store_i32(packed + (g * Z + z) * 16, bytes);
    }
    const F32 old = load(tile.maximum + 16 * z);
    const F32 merged = max(old, page_max[z]);
    decay[z] = exp2(sub(old, merged));
    const F32 c_page = exp2(sub(page_max[z], merged));
    store(tile.sum + 16 * z, fma(load(tile.sum + 16 * z), decay[z], mul(page_sum, c_page)));
    store(tile.maximum + 16 * z, merged);
    factor[z] = mul(scale, c_page);
    rescale |= any_different(decay[z], broadcast(1.0F));
  }
  if (rescale)
    for (int d = 0; d < head_dim; ++d)
      for (int z = 0; z < Z; ++z) {
        float* o = tile.output + (d * Z + z) * 16;
        store(o, mul(load(o), decay[z]));
      }
  for (int d = 0; d < head_dim; d += 4) {
    I32 sums[4][Z];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
#pragma GCC unroll 4
      for (int z = 0; z < Z; ++z) sums[i][z] = broadcast_i32(0);
    const uint8_t* v = page.values + static_cast<size_t>(d >> 4) * 1024 + 4 * (d & 15);
#pragma GCC unroll 4
    for (int g = 0; g < 16; ++g) {
      B64 p[Z];
#pragma GCC unroll 4
      for (int z = 0; z < Z; ++z) p[z] = load_bytes(packed + (g * Z + z) * 16);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const B64 value = broadcast_bytes(v + 64 * g + 4 * i);
#pragma GCC unroll 4
        for (int z = 0; z < Z; ++z) sums[i][z] = dot_u8s8(sums[i][z], p[z], value);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
#pragma GCC unroll 4
      for (int z = 0; z < Z; ++z) {
        float* o = tile.output + ((d + i) * Z + z) * 16;
        store(o, fma(to_float(sums[i][z]), factor[z], load(o)));
      }
  }
}

static void attend_tile_int4(const uint8_t* head, int head_dim, int page_start, bool all_visible, AttentionTile& tile,
                             float* scratch, float softcap) {
  auto* expanded = reinterpret_cast<uint8_t*>(scratch + kTileScratchFloats);
  expand_page(head, head_dim, expanded);
  attend_tile(expanded, head_dim, page_start, all_visible, tile, scratch, softcap);
}

static void merge(SoftmaxState* total, const SoftmaxState& segment, int n) {
  const float m = total->maximum > segment.maximum ? total->maximum : segment.maximum;
  float decay[16] = {total->maximum - m, segment.maximum - m};
  store(decay, exp2(load(decay)));
  total->sum = __builtin_fmaf(total->sum, decay[0], segment.sum * decay[1]);
  total->maximum = m;
  for (int i = 0; i < n; i += 16) {
    const F32 old = mul(load(total->output + i), broadcast(decay[0]));
    store(total->output + i, fma(load(segment.output + i), broadcast(decay[1]), old));
  }
}

static void merge_tile(AttentionTile& total, const AttentionTile& segment, int head_dim) {
  constexpr int Z = kTileVectors;
  for (int z = 0; z < Z; ++z) {
    const F32 old = load(total.maximum + 16 * z);
    const F32 own = load(segment.maximum + 16 * z);
    const F32 m = max(old, own);
    const F32 c = exp2(sub(old, m));
    const F32 c_segment = exp2(sub(own, m));
    store(total.sum + 16 * z, fma(load(total.sum + 16 * z), c, mul(load(segment.sum + 16 * z), c_segment)));
    store(total.maximum + 16 * z, m);
    for (int d = 0; d < head_dim; ++d) {
      float* o = total.output + (d * Z + z) * 16;
      store(o, fma(load(segment.output + (d * Z + z) * 16), c_segment, mul(load(o), c)));
    }
  }
}

}  // namespace pennyweight::PW_TARGET
