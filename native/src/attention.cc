#include "pennyweight/attention.h"

#include <algorithm>
#include <cstring>

namespace pennyweight {

namespace {

constexpr int kSegmentTokens = kSegmentPages * Cache::kPageTokens;
constexpr int kTilePays = 24;  // query rows of a sequence and KV head from which a tile beats single rows

int first_visible(int position, int window) { return window > 0 ? std::max(0, position - window + 1) : 0; }

}  // namespace

// Buffers of one thread.
struct AttentionStage::Scratch {
  Scratch(int head_dim, int group)
      : queries(allocate<int8_t>(static_cast<size_t>(head_dim) * kTileRows)),
        outputs(allocate<float>(2 * static_cast<size_t>(head_dim) * kTileRows)),
        tile_scratch(allocate<float>(kTileScratchFloats)),
        rows(allocate<float>(2 * static_cast<size_t>(head_dim) * group)) {
    segment.queries = queries.get();
    segment.output = outputs.get();
    total.queries = queries.get();
    total.output = outputs.get() + static_cast<size_t>(head_dim) * kTileRows;
  }
  alignas(64) AttentionTile segment{};
  alignas(64) AttentionTile total{};
  Buffer<int8_t> queries;
  Buffer<float> outputs;
  Buffer<float> tile_scratch;
  Buffer<float> rows;
};

AttentionStage::AttentionStage(const Model& model, Cache& cache, const KernelTable& kernels, int num_threads)
    : model_(model), cache_(cache), kernels_(kernels), state_floats_(model.head_dim + 16) {
  for (int i = 0; i < num_threads; ++i)
    scratch_.push_back(std::make_unique<Scratch>(model.head_dim, model.group()));
}

AttentionStage::~AttentionStage() = default;

void AttentionStage::plan(const std::vector<SequenceSpan>& sequences, int num_rows) {
  plans_.clear();
  pairs_.clear();
  num_counters_ = 0;
  num_partials_ = 0;
  for (int window : model_.windows)
    if (!plans_.contains(window)) plans_.emplace(window, cut(sequences, num_rows, window));
  const size_t floats = static_cast<size_t>(state_floats_);
  if (partials_.size() < floats * num_partials_) partials_.resize(floats * num_partials_);
  if (counters_.size() < static_cast<size_t>(num_counters_)) counters_ = std::vector<std::atomic<int>>(2 * num_counters_);
  if (!plans_.begin()->second.shared.empty() && totals_.size() < floats * num_rows * model_.num_heads)
    totals_.resize(floats * num_rows * model_.num_heads);
}

AttentionStage::Plan AttentionStage::cut(const std::vector<SequenceSpan>& sequences, int num_rows, int window) {
  Plan plan;
  plan.continued.assign(num_rows, 0);
  if (window == 0) cut_shared(sequences, plan);
  for (const SequenceSpan& sequence : sequences) {
    if (sequence.count * model_.group() >= kTilePays)
      cut_tiles(sequence, window, plan);
    else
      cut_row(sequence, window, num_rows, plan);
  }
  return plan;
}

// Groups single-token sequences whose leading pages are the same and lets tiles attend to them once.
void AttentionStage::cut_shared(const std::vector<SequenceSpan>& sequences, Plan& plan) {
  std::map<int, std::vector<const SequenceSpan*>> by_first_page;
  for (const SequenceSpan& s : sequences)
    if (s.count == 1 && s.position >= kSegmentTokens) by_first_page[s.pages[0]].push_back(&s);
  for (const auto& [page, members] : by_first_page) {
    if (members.size() * model_.group() < kTilePays) continue;
    const SequenceSpan& lead = *members.front();
    int common = lead.position / kSegmentTokens * kSegmentPages;
    for (const SequenceSpan* s : members) {
      common = std::min(common, s->position / kSegmentTokens * kSegmentPages);
      common = static_cast<int>(std::mismatch(lead.pages, lead.pages + common, s->pages).first - lead.pages);
    }
    const int segments = common / kSegmentPages;
    if (segments == 0) continue;
    const int first_pair = static_cast<int>(pairs_.size());
    for (const SequenceSpan* s : members) {
      plan.continued[s->first_row] = segments;
      for (int h = 0; h < model_.group(); ++h) pairs_.push_back({s->first_row, h});
    }
    const int end = static_cast<int>(pairs_.size());
    for (int p = first_pair; p < end; p += kTileRows)
      for (int kv = 0; kv < model_.num_kv_heads; ++kv)
        plan.shared.push_back({kv, lead.pages, p, std::min(kTileRows, end - p), segments * kSegmentTokens - 1,
                               segments * kSegmentTokens - 1, 0, segments, 1, 0, 0, 0});
  }
}

void AttentionStage::cut_tiles(const SequenceSpan& sequence, int window, Plan& plan) {
  const int group = model_.group();
  const int first_pair = static_cast<int>(pairs_.size());
  for (int i = 0; i < sequence.count; ++i)
    for (int h = 0; h < group; ++h) pairs_.push_back({sequence.first_row + i, h});
  const int total = sequence.count * group;
  // The longest tiles first: the shortest then fill the gaps at the end.
  for (int p = (total - 1) / kTileRows * kTileRows; p >= 0; p -= kTileRows) {
    const int n = std::min(kTileRows, total - p);
    const int first = sequence.position + p / group;
    const int last = sequence.position + (p + n - 1) / group;
    for (int kv = 0; kv < model_.num_kv_heads; ++kv)
      plan.tasks.push_back({kv, sequence.pages, first_pair + p, n, first, last,
                            first_visible(first, window) / kSegmentTokens, last / kSegmentTokens + 1, 1, 0, 0, 0});
  }
}

void AttentionStage::cut_row(const SequenceSpan& sequence, int window, int num_rows, Plan& plan) {
  const int threads = static_cast<int>(scratch_.size());
  const int wanted = 4 * threads / std::max(1, num_rows * model_.num_kv_heads);
  for (int i = 0; i < sequence.count; ++i) {
    const int row = sequence.first_row + i;
    const int position = sequence.position + i;
    const int begin = std::max(first_visible(position, window) / kSegmentTokens, plan.continued[row]);
    const int end = position / kSegmentTokens + 1;
    const int pieces = std::clamp(wanted, 1, end - begin);
    for (int kv = 0; kv < model_.num_kv_heads; ++kv) {
      const int first_partial = num_partials_;
      for (int piece = 0; piece < pieces; ++piece) {
        const int a = begin + (end - begin) * piece / pieces;
        const int b = begin + (end - begin) * (piece + 1) / pieces;
        plan.tasks.push_back({kv, sequence.pages, row, 0, position, position, a, b, pieces,
                              first_partial + (a - begin) * model_.group(), first_partial, num_counters_});
      }
      if (pieces == 1) continue;
      num_partials_ += (end - begin) * model_.group();
      ++num_counters_;
    }
  }
}

void AttentionStage::run(Team& team, int thread, int layer, const Query* queries, float* out) {
  const int window = model_.windows[layer];
  const Plan& plan = plans_.at(window);
  Scratch& scratch = *scratch_[thread];
  if (!plan.shared.empty())
    team.for_each(thread, static_cast<int>(plan.shared.size()),
                  [&](int i) { run_tile(plan.shared[i], layer, window, true, queries, out, scratch); });
  team.for_each(thread, static_cast<int>(plan.tasks.size()), [&](int i) {
    const Task& task = plan.tasks[i];
    if (task.num_pairs > 0)
      run_tile(task, layer, window, false, queries, out, scratch);
    else
      run_row(task, layer, window, plan.continued[task.first_pair], queries, out, scratch);
  });
}

void AttentionStage::run_tile(const Task& task, int layer, int window, bool keep_totals, const Query* queries,
                              float* out, Scratch& scratch) {
  constexpr int Z = kTileVectors;
  const int dim = model_.head_dim;
  AttentionTile& tile = scratch.segment;
  AttentionTile& total = scratch.total;
  const Pair* pairs = pairs_.data() + task.first_pair;
  int earliest_last = task.last_position;
  for (int i = 0; i < kTileRows; ++i) {
    total.maximum[i] = kMinusInfinity;
    total.sum[i] = 0;
    tile.first[i] = 0;
    tile.last[i] = -1;
    tile.scale[i] = 0;
    tile.minus_128_sums[i] = 0;
    if (i >= task.num_pairs) continue;
    const Query& q = queries[pairs[i].row * model_.num_heads + task.kv_head * model_.group() + pairs[i].head];
    const int last = task.first_position + (pairs[i].row - pairs[0].row);
    tile.last[i] = keep_totals ? task.last_position : last;
    tile.first[i] = first_visible(tile.last[i], keep_totals ? 0 : window);
    tile.scale[i] = q.scale;
    tile.minus_128_sums[i] = q.minus_128_sums;
    earliest_last = std::min(earliest_last, tile.last[i]);
    for (int g = 0; g < dim / 4; ++g)
      std::memcpy(tile.queries + (static_cast<size_t>(g) * kTileRows + i) * 4, q.q + 4 * g, 4);
  }
  std::fill_n(total.output, static_cast<size_t>(dim) * kTileRows, 0.0F);
  const int latest_first = first_visible(task.last_position, window);
  for (int segment = task.segment_begin; segment < task.segment_end; ++segment) {
    std::fill_n(tile.maximum, kTileRows, kMinusInfinity);
    std::fill_n(tile.sum, kTileRows, 0.0F);
    std::fill_n(tile.output, static_cast<size_t>(dim) * kTileRows, 0.0F);
    const int end = std::min((segment + 1) * kSegmentPages, task.last_position / Cache::kPageTokens + 1);
    for (int page = segment * kSegmentPages; page < end; ++page) {
      const int start = page * Cache::kPageTokens;
      const bool all_visible = task.num_pairs == kTileRows && start + Cache::kPageTokens - 1 <= earliest_last &&
                               start >= latest_first;
      kernels_.attend_tile(cache_.head(layer, task.pages[page], task.kv_head), dim, start, all_visible, tile,
                           scratch.tile_scratch.get());
    }
    kernels_.merge_tile(total, tile, dim);
  }
  for (int i = 0; i < task.num_pairs; ++i) {
    const int head = task.kv_head * model_.group() + pairs[i].head;
    const float* o = total.output + i;
    if (keep_totals) {
      float* to = totals_.data() + static_cast<size_t>(state_floats_) * (pairs[i].row * model_.num_heads + head);
      to[0] = total.maximum[i];
      to[1] = total.sum[i];
      for (int d = 0; d < dim; ++d) to[16 + d] = o[d * Z * 16];
      continue;
    }
    const float inverse = 1.0F / total.sum[i];
    float* to = out + (static_cast<size_t>(pairs[i].row) * model_.num_heads + head) * dim;
    for (int d = 0; d < dim; ++d) to[d] = o[d * Z * 16] * inverse;
  }
}

void AttentionStage::run_row(const Task& task, int layer, int window, int continued, const Query* queries, float* out,
                             Scratch& scratch) {
  const int dim = model_.head_dim;
  const int group = model_.group();
  const int first_head = task.kv_head * group;
  const int position = task.last_position;
  const int first = first_visible(position, window);
  const Query* q = queries + task.first_pair * model_.num_heads + first_head;
  std::vector<SoftmaxState> segment(group);
  std::vector<SoftmaxState> total(group);
  for (int h = 0; h < group; ++h) {
    segment[h].output = scratch.rows.get() + dim * h;
    total[h] = {kMinusInfinity, 0, scratch.rows.get() + dim * (group + h)};
    std::fill_n(total[h].output, dim, 0.0F);
    if (continued == 0 || task.pieces > 1) continue;
    const float* from = totals_.data() + static_cast<size_t>(state_floats_) * (task.first_pair * model_.num_heads + first_head + h);
    total[h].maximum = from[0];
    total[h].sum = from[1];
    std::copy_n(from + 16, dim, total[h].output);
  }
  for (int s = task.segment_begin; s < task.segment_end; ++s) {
    for (int h = 0; h < group; ++h) {
      segment[h].maximum = kMinusInfinity;
      segment[h].sum = 0;
      std::fill_n(segment[h].output, dim, 0.0F);
    }
    const int begin = std::max(s * kSegmentPages, first / Cache::kPageTokens);
    const int end = std::min((s + 1) * kSegmentPages, position / Cache::kPageTokens + 1);
    const int last_page = std::min(task.segment_end * kSegmentPages - 1, position / Cache::kPageTokens);
    for (int page = begin; page < end; ++page) {
      const int next = std::min(page + 1, last_page);
      kernels_.attend_page(cache_.head(layer, task.pages[page], task.kv_head), dim, page * Cache::kPageTokens, first,
                           position, q, segment.data(), group, cache_.head(layer, task.pages[next], task.kv_head));
    }
    for (int h = 0; h < group; ++h) {
      if (task.pieces == 1) {
        kernels_.merge(&total[h], segment[h], dim);
        continue;
      }
      float* to = partials_.data() +
                  static_cast<size_t>(state_floats_) * (task.partial + (s - task.segment_begin) * group + h);
      to[0] = segment[h].maximum;
      to[1] = segment[h].sum;
      std::copy_n(segment[h].output, dim, to + 16);
    }
  }
  if (task.pieces == 1) {
    finish_row(task, total.data(), out);
    return;
  }
  if (counters_[task.counter].fetch_add(1, std::memory_order_acq_rel) + 1 < task.pieces) return;
  counters_[task.counter].store(0, std::memory_order_relaxed);
  if (continued > 0)
    for (int h = 0; h < group; ++h) {
      const float* from = totals_.data() + static_cast<size_t>(state_floats_) * (task.first_pair * model_.num_heads + first_head + h);
      total[h].maximum = from[0];
      total[h].sum = from[1];
      std::copy_n(from + 16, dim, total[h].output);
    }
  const int segments = position / kSegmentTokens + 1 - std::max(first / kSegmentTokens, continued);
  for (int s = 0; s < segments; ++s)
    for (int h = 0; h < group; ++h) {
      float* from = partials_.data() + static_cast<size_t>(state_floats_) * (task.first_partial + s * group + h);
      kernels_.merge(&total[h], SoftmaxState{from[0], from[1], from + 16}, dim);
    }
  finish_row(task, total.data(), out);
}

void AttentionStage::finish_row(const Task& task, const SoftmaxState* totals, float* out) const {
  const int dim = model_.head_dim;
  for (int h = 0; h < model_.group(); ++h) {
    const float inverse = 1.0F / totals[h].sum;
    float* to = out + (static_cast<size_t>(task.first_pair) * model_.num_heads + task.kv_head * model_.group() + h) * dim;
    for (int d = 0; d < dim; ++d) to[d] = totals[h].output[d] * inverse;
  }
}

}  // namespace pennyweight
