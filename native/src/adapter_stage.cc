#include "pennyweight/adapter_stage.h"

#include <algorithm>
#include <iterator>

namespace pennyweight {

namespace {

constexpr int kPlaces = 3;   // query, key and value share an input
constexpr int kTokens = 48;  // of one work item

int token_items(int tokens) { return (tokens + kTokens - 1) / kTokens; }

const LowRankParts* low_rank(const AdaptedRows& rows, int layer, Role first, int place) {
  return rows.adapter->at(layer, static_cast<Role>(static_cast<int>(first) + place));
}

}  // namespace

void AdapterStage::plan(std::span<const AdaptedRows> adapted, int rows) {
  adapted_.assign(adapted.begin(), adapted.end());
  num_rows_ = rows;
  stride_ = 0;
  for (const AdaptedRows& own : adapted_) stride_ = std::max(stride_, static_cast<size_t>(own.adapter->units()));
  const size_t blocks = kPlaces * stride_ * rows;
  if (blocks <= capacity_) return;
  capacity_ = 0;
  sums_.reset();
  sums_ = allocate<ActivationBlock>(blocks);
  capacity_ = blocks;
}

const Adapted* AdapterStage::reduce_rows(int thread, int layer, Role first, int count, const Activations& x) {
  int items = 0;
  auto items_of = [&](const AdaptedRows& rows, int place) {
    const LowRankParts* low = low_rank(rows, layer, first, place);
    return low == nullptr ? 0 : low->units * token_items(rows.count);
  };
  for (const AdaptedRows& rows : adapted_)
    for (int place = 0; place < count; ++place) items += items_of(rows, place);
  if (items == 0) return nullptr;
  team_.for_each(thread, items, [&](int item) {
    for (const AdaptedRows& rows : adapted_)
      for (int place = 0; place < count; ++place) {
        const int own = items_of(rows, place);
        if (item >= own) {
          item -= own;
          continue;
        }
        const int begin = item % token_items(rows.count) * kTokens;
        reduce_item(*low_rank(rows, layer, first, place), place, item / token_items(rows.count), x, rows.first + begin,
                    std::min(kTokens, rows.count - begin));
        return;
      }
  });
  own_[thread] = {this, layer, first};
  return &own_[thread];
}

// 32 ranks of some rows: the product, scaled and quantised for the next.
void AdapterStage::reduce_item(const LowRankParts& low, int place, int unit, const Activations& x, int first,
                               int count) const {
  alignas(64) float t[kTokens * kBlock];
  PanelRange down = low.down;
  down.begin = 2 * unit;
  down.end = std::min(2 * unit + 2, low.down.end);
  if (down.end < 2 * unit + 2) std::fill(std::begin(t), std::end(t), 0.0F);
  kernels_.linear[static_cast<int>(x.grain)][static_cast<int>(Format::kQ8_0)](down, x.blocks + first * x.block_stride,
                                                                              x.block_stride, count, t, kBlock, false);
  for (int i = 0; i < count * kBlock; ++i) t[i] *= low.factor;
  for (int i = 0; i < count; ++i)
    kernels_.quantize(t + i * kBlock, kBlock, Grain::kFine, sums(place) + (first + i) * stride_ + unit);
}

void Adapted::add(int place, int begin, int end, int first, int count, float* out, size_t out_stride) const {
  for (const AdaptedRows& rows : stage->adapted_) {
    const LowRankParts* low = low_rank(rows, layer, role, place);
    const int from = std::max(first, rows.first);
    const int to = std::min(first + count, rows.first + rows.count);
    if (low == nullptr || from >= to) continue;
    stage->kernels_.low_rank(low->up, begin, end, stage->sums(place) + from * stage->stride_, stage->stride_, to - from,
                             out + out_stride * (from - first), out_stride);
  }
}

void Adapted::fetch(int place, int begin, int end, int first, int count) const {
  for (const AdaptedRows& rows : stage->adapted_) {
    const LowRankParts* low = low_rank(rows, layer, role, place);
    if (low == nullptr || first + count <= rows.first || first >= rows.first + rows.count) continue;
    const LowRankPanels w = low->up;
    const uint8_t* p = w.panels + w.panel_bytes() * begin;
    for (const uint8_t* stop = w.panels + w.panel_bytes() * end; p < stop; p += 64) __builtin_prefetch(p, 0, 2);
  }
}

}  // namespace pennyweight
