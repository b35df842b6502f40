#include "pennyweight/linear.h"

#include <algorithm>
#include <iterator>

namespace pennyweight {

namespace {

constexpr int kTokenStep = 24;         // tokens whose activations stay in the first-level cache
constexpr size_t kL1Bytes = 28 << 10;  // of activations

// Tokens multiplied with a run of panels before the next tokens: their activations should fit the first-level cache.
int token_step(const PackedMatrix& w, int tokens) {
  const size_t bytes = static_cast<size_t>(w.padded_columns()) / kBlock * sizeof(ActivationBlock);
  const int fit = static_cast<int>(kL1Bytes / bytes) / 12 * 12;
  return tokens <= 2 * kTokenStep && fit >= 12 ? tokens : std::clamp(fit, 12, kTokenStep);
}

// The product of one work item with what adapters add to it: their sum is rounded before it meets what stands in `out`.
void adapted_panels(const KernelTable& kernels, const PackedMatrix& w, int begin, int end, const Activations& x,
                    int first, int count, float* out, size_t out_stride, bool accumulate, const Adapted& adapted,
                    int place) {
  adapted.fetch(place, begin, end, first, count);
  if (!accumulate) {
    multiply_panels(kernels, w, begin, end, x, first, count, out, out_stride, false);
    adapted.add(place, begin, end, first, count, out, out_stride);
    return;
  }
  alignas(64) float sums[kItemTokens * kItemPanels * kPanelRows];
  constexpr size_t kStride = kItemPanels * kPanelRows;
  multiply_panels(kernels, w, begin, end, x, first, count, sums, kStride, false);
  adapted.add(place, begin, end, first, count, sums, kStride);
  for (int t = 0; t < count; ++t) kernels.add(out + out_stride * t, sums + kStride * t, (end - begin) * kPanelRows);
}

}  // namespace

void observe(Team& team, int thread, const PackedMatrix& w, const Activations& x, int first, int count) {
  InputSquares* squares = w.input_squares();
  if (squares == nullptr) return;
  const bool floats = traits(w.format()).is_float();
  team.for_each(thread, w.padded_columns() / kBlock, [&](int block) {
    if (block == 0) squares->rows += count;
    for (int t = first; t < first + count; ++t) {
      const ActivationBlock& a = x.blocks[static_cast<size_t>(t) * x.block_stride + block];
      for (int i = 0; i < std::min(kBlock, w.columns() - kBlock * block); ++i) {
        const int column = kBlock * block + i;
        const float value = floats ? x.values[static_cast<size_t>(t) * x.value_stride + column]
                                   : static_cast<float>(a.q[i]) * a.scale[i / 16];
        squares->sums[column] += static_cast<double>(value) * value;
      }
    }
  });
}

void multiply_panels(const KernelTable& kernels, const PackedMatrix& w, int begin, int end, const Activations& x,
                     int first, int count, float* out, size_t out_stride, bool accumulate) {
  const PanelRange range = w.range(begin, end);
  const int step = token_step(w, count);
  for (int t = 0; t < count; t += step) {
    const int n = std::min(step, count - t);
    const size_t row = static_cast<size_t>(first) + t;
    float* to = out + out_stride * t;
    const int format = static_cast<int>(w.format());
    if (traits(w.format()).is_float())
      kernels.linear_float[format](range, x.values + row * x.value_stride, x.value_stride, n, to, out_stride,
                                   accumulate);
    else
      kernels.linear[static_cast<int>(x.grain)][format](range, x.blocks + row * x.block_stride, x.block_stride, n, to,
                                                        out_stride, accumulate);
  }
}

void linear_stage(const KernelTable& kernels, Team& team, int thread, std::span<const PackedMatrix* const> parts,
                  const Activations& x, int tokens, float* out, size_t out_stride, bool accumulate,
                  const Adapted* adapted) {
  for (const PackedMatrix* part : parts) observe(team, thread, *part, x, 0, tokens);
  const int chunk = panel_chunk(tokens);
  const int token_items = (tokens + kItemTokens - 1) / kItemTokens;
  int chunks = 0;
  for (const PackedMatrix* part : parts) chunks += (part->num_panels() + chunk - 1) / chunk;
  team.for_each(thread, chunks * token_items, [&](int item) {
    int index = item / token_items;
    const int first = item % token_items * kItemTokens;
    float* to = out;
    for (size_t place = 0; place < parts.size(); ++place) {
      const PackedMatrix* part = parts[place];
      const int own = (part->num_panels() + chunk - 1) / chunk;
      if (index >= own) {
        index -= own;
        to += part->padded_rows();
        continue;
      }
      const int begin = index * chunk;
      const int end = std::min(begin + chunk, part->num_panels());
      to += kPanelRows * begin + out_stride * first;
      const int count = std::min(kItemTokens, tokens - first);
      if (adapted == nullptr)
        multiply_panels(kernels, *part, begin, end, x, first, count, to, out_stride, accumulate);
      else
        adapted_panels(kernels, *part, begin, end, x, first, count, to, out_stride, accumulate, *adapted,
                       static_cast<int>(place));
      return;
    }
  });
}

void gated_stage(const KernelTable& kernels, Team& team, int thread, Activation activation, const PackedMatrix& gate,
                 const PackedMatrix& up, const Activations& x, int tokens, ActivationBlock* blocks, float* values,
                 const Adapted* adapted) {
  for (const PackedMatrix* part : {&gate, &up}) observe(team, thread, *part, x, 0, tokens);
  const int units = padded_columns(gate.rows()) / kBlock;
  const int token_items = (tokens + kItemTokens - 1) / kItemTokens;
  team.for_each(thread, units * token_items, [&](int item) {
    const int begin = item % token_items * kItemTokens;
    gated_unit(kernels, activation, gate, up, x, item / token_items, begin, std::min(begin + kItemTokens, tokens),
               blocks, values, adapted);
  });
}

void gated_unit(const KernelTable& kernels, Activation activation, const PackedMatrix& gate, const PackedMatrix& up,
                const Activations& x, int unit, int begin, int end, ActivationBlock* blocks, float* values,
                const Adapted* adapted) {
  const int units = padded_columns(gate.rows()) / kBlock;
  alignas(64) float g[2 * kTokenStep * kBlock];
  alignas(64) float u[2 * kTokenStep * kBlock];
  const int panels_end = std::min(2 * unit + 2, gate.num_panels());
  if (panels_end < 2 * unit + 2) {  // the last unit may have one panel: the other's rows count as zeros
    std::fill(std::begin(g), std::end(g), 0.0F);
    std::fill(std::begin(u), std::end(u), 0.0F);
  }
  const int step = token_step(gate, end - begin);
  for (int t = begin; t < end; t += step) {
    const int n = std::min(step, end - t);
    if (adapted != nullptr)
      for (const int place : {0, 1}) adapted->fetch(place, 2 * unit, panels_end, t, n);
    multiply_panels(kernels, gate, 2 * unit, panels_end, x, t, n, g, kBlock, false);
    multiply_panels(kernels, up, 2 * unit, panels_end, x, t, n, u, kBlock, false);
    if (adapted != nullptr) {
      adapted->add(0, 2 * unit, panels_end, t, n, g, kBlock);
      adapted->add(1, 2 * unit, panels_end, t, n, u, kBlock);
    }
    kernels.gate(activation, g, u, n * kBlock, g);
    for (int i = 0; i < n; ++i) {
      const size_t row = static_cast<size_t>(t) + i;
      if (values != nullptr) std::copy_n(g + kBlock * i, kBlock, values + (row * units + unit) * kBlock);
      kernels.quantize(g + kBlock * i, kBlock, Grain::kFine, blocks + row * units + unit);
    }
  }
}

}  // namespace pennyweight
