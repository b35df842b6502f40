// The table of kernels of one instruction set. Shapes: T tokens, K columns, D elements of a head (padded).
//
// Every target computes the same bits (docs/numerics.md). Kernels check nothing: their callers in src/ do.
#pragma once

#include "pennyweight/format.h"

namespace pennyweight {

// Panels [begin, end) of a packed matrix.
struct PanelRange {
  const uint8_t* panels;  // of panel 0
  size_t panel_bytes;
  int num_blocks;  // K / 32
  int begin;
  int end;
};

// The wide factor of an adapter: panels of runs of 16 columns, each run [4 columns groups][16 rows][4] bytes (value +
// 128) and half[16] scales (docs/numerics.md, "Adapters").
struct LowRankPanels {
  static constexpr size_t kRunBytes = 256 + 32;
  const uint8_t* panels;
  int num_runs;

  constexpr size_t panel_bytes() const { return kRunBytes * static_cast<size_t>(num_runs); }
};

// Queries and keys have a scale per group of 32 elements of a head; the last group may be shorter.
inline constexpr int kHeadGroup = 32;
inline constexpr int kMaxHeadGroups = 8;
inline constexpr int kMaxHeadDim = kHeadGroup * kMaxHeadGroups;
constexpr int head_groups(int head_dim) { return (head_dim + kHeadGroup - 1) / kHeadGroup; }
// Attention works on heads of 16 lanes: the size others are filled up to with zeros, which change no bit.
constexpr int padded_head(int head_dim) { return (head_dim + 15) / 16 * 16; }

// One query row and head, rotated and quantised.
struct Query {
  const int8_t* q;                         // [D]
  float scale[kMaxHeadGroups];             // of q, times attention scale and log2 e
  int32_t minus_128_sums[kMaxHeadGroups];  // of q
};

// The online softmax of one query row and head over one segment or over the total.
struct SoftmaxState {
  float maximum;
  float sum;
  float* output;  // [D]
};

// How keys and values are kept (docs/numerics.md, "Keys and values in four bits").
enum class KvFormat : uint8_t { kInt8, kInt4 };
inline constexpr int kNumKvFormats = 2;
// Heads of int4 pages are rotated, 16 elements at least.
constexpr bool can_keep(KvFormat format, int head_dim) { return format == KvFormat::kInt8 || head_dim % 16 == 0; }

// Geometry of one KV head within one page of one layer: keys | key scales [groups][64] | value scales [64] | values.
struct PageHead {
  static constexpr int kTokens = 64;
  static constexpr size_t key_scales(int head_dim) { return 64 * static_cast<size_t>(head_dim); }
  static constexpr size_t value_scales(int head_dim) {
    return key_scales(head_dim) + 256 * static_cast<size_t>(head_groups(head_dim));
  }
  static constexpr size_t values(int head_dim) { return value_scales(head_dim) + 256; }
  static constexpr size_t bytes(int head_dim) { return values(head_dim) + 64 * static_cast<size_t>(head_dim); }
};

// The same of an int4 page: numbers are half bytes, scales the upper halves of float32. Values come in pairs of sixteen
// elements, of which the last may be without a second.
struct FourBitPageHead {
  static constexpr size_t key_scales(int head_dim) { return 32 * static_cast<size_t>(head_dim); }
  static constexpr size_t value_scales(int head_dim) {
    return key_scales(head_dim) + 128 * static_cast<size_t>(head_groups(head_dim));
  }
  static constexpr size_t values(int head_dim) { return value_scales(head_dim) + 128; }
  static constexpr size_t bytes(int head_dim) {
    return values(head_dim) + 1024 * static_cast<size_t>((head_dim + 31) / 32);
  }
};

constexpr size_t page_head_bytes(KvFormat format, int head_dim) {
  return format == KvFormat::kInt8 ? PageHead::bytes(head_dim) : FourBitPageHead::bytes(head_dim);
}

inline constexpr int kTileVectors = 3;               // query vectors of a tile
inline constexpr int kTileRows = 16 * kTileVectors;  // query rows of a tile
inline constexpr int kSegmentPages = 4;
inline constexpr float kMinusInfinity = -1e30F;  // finite, so that differences stay numbers

// Query rows in the lanes: scratch of one attention tile. All arrays are 64-byte aligned.
struct AttentionTile {
  int8_t* queries;  // [D/4][kTileVectors][16][4]
  float* output;    // [D][kTileVectors][16]
  float scale[kMaxHeadGroups][kTileRows];
  int32_t minus_128_sums[kMaxHeadGroups][kTileRows];
  int32_t first[kTileRows];  // first visible position
  int32_t last[kTileRows];   // last visible position; before first: the row is empty
  float maximum[kTileRows];
  float sum[kTileRows];
};

// Attends `rows` query rows of one stream, all seeing positions [first, last] of the page at `page_start`.
// `softcap` times log2 e bounds the scores, queries are then scaled for it (query_factor); 0: nothing does.
using AttendPage = void(const uint8_t* head, int head_dim, int page_start, int first, int last, const Query* queries,
                        SoftmaxState* states, int rows, const uint8_t* next_head, float softcap);
// Attends a tile to one page. `all_visible`: no row hides a key. Scratch: tile_scratch_floats().
using AttendTile = void(const uint8_t* head, int head_dim, int page_start, bool all_visible, AttentionTile& tile,
                        float* scratch, float softcap);

enum class Activation : uint8_t { kSilu, kGeluTanh };

struct KernelTable {
  const char* name;

  // out[t * out_stride + 16 * (panel - begin) + r] = (or +=, if accumulate) row of the linear layer.
  void (*linear[2][kNumFormats])(const PanelRange& w, const ActivationBlock* x, size_t x_stride, int tokens, float* out,
                                 size_t out_stride, bool accumulate);  // by grain of x
  // The same for float formats, from float activations.
  void (*linear_float[3])(const PanelRange& w, const float* x, size_t x_stride, int tokens, float* out,
                          size_t out_stride, bool accumulate);

  // out[t * out_stride + 16 * (panel - begin) + r] += row of an adapter's wide product, from finely quantised x.
  void (*low_rank)(const LowRankPanels& w, int begin, int end, const ActivationBlock* x, size_t x_stride, int tokens,
                   float* out, size_t out_stride);

  void (*quantize)(const float* x, int n, Grain grain, ActivationBlock* out);
  // y = rmsnorm(x, weight); y may be x.
  void (*rmsnorm)(const float* x, const float* weight, float eps, int n, float* y);
  void (*add)(float* x, const float* y, int n);
  void (*add_scaled)(float* x, const float* y, float factor, int n);
  // x *= scale; then, if cap > 0, x = cap * tanh(x / cap).
  void (*scale_and_cap)(float* x, float scale, double cap, int n);
  // h = gate(g) * u, n a multiple of 16.
  void (*gate)(Activation activation, const float* g, const float* u, int n, float* h);
  // Rotates pairs (i, i + half) in place.
  void (*rotate)(float* x, const float* cosines, const float* sines, int half);
  // Quantises one head in groups of `group` (a multiple of 16, or n), the last of which may be shorter. q has
  // padded_head(n) elements, those past n become 0.
  void (*quantize_head)(const float* x, int n, int group, int8_t* q, float* scales, int32_t* sums);

  // x = H x / sqrt(n) for runs of n elements, the largest power of two that divides head_dim (a multiple of 16): a
  // rotation that is its own inverse.
  void (*hadamard)(float* x, int head_dim);
  // Quantises one head of n elements, a multiple of 16, to the codes 0 to 15 in groups of `group`, the last of which
  // may be shorter. The lower halves of scales are 0.
  void (*quantize_head_4)(const float* x, int n, int group, int8_t* codes, float* scales);

  // By format of the page.
  AttendPage* attend_page[kNumKvFormats];
  AttendTile* attend_tile[kNumKvFormats];
  // total = merge(total, segment), n elements of output.
  void (*merge)(SoftmaxState* total, const SoftmaxState& segment, int n);
  void (*merge_tile)(AttentionTile& total, const AttentionTile& segment, int head_dim);

  float (*maximum)(const float* x, int n);
  bool (*all_finite)(const float* x, int n);
  // p[i] = exp2((x[i] - maximum) * factor); lanes beyond n are 0 up to the next multiple of 16.
  void (*exponentials)(const float* x, float maximum, float factor, int n, float* p);
  // Adds in double the tree sum of each run of 16; n is a multiple of 16.
  double (*sum)(const float* p, int n);

  // Writes the rising indices i with x[i] >= threshold, returns how many; `indices` holds n. Not a number: never.
  int (*at_least)(const float* x, int n, float threshold, int* indices);

  // Of encoders. y = layernorm(x) * weight + bias; y may be x. n is a multiple of 16.
  void (*layernorm)(const float* x, const float* weight, const float* bias, float eps, int n, float* y);
  // x = gelu(x), with the error function. n is a multiple of 16.
  void (*gelu)(float* x, int n);
  // Attends 16 queries, in the lanes of q [D][16], to all of keys and values [count][D]: out [D][16].
  // `factor`: attention scale times log2 e; scores [count][16] is scratch.
  void (*attend_all)(const float* q, const float* keys, const float* values, int count, int head_dim, float factor,
                     float* scores, float* out);

  // Byte multiply-accumulates done by `iterations` rounds of the dot product in registers, for measuring the peak.
  double (*peak)(long iterations);
};

// Scratch of attend_tile: scores [64][kTileVectors][16] and packed probabilities [16][kTileVectors][16]; for an int4
// page also the int8 page that it stands for.
inline constexpr size_t kTileScratchFloats = (64 + 16 + 16) * kTileVectors * 16;
constexpr size_t tile_scratch_floats(KvFormat format, int head_dim) {
  return kTileScratchFloats + (format == KvFormat::kInt8 ? 0 : PageHead::bytes(head_dim) / sizeof(float));
}

}  // namespace pennyweight
