#include "pennyweight/attention.h"

#include <algorithm>
#include <cstring>

namespace pennyweight {

namespace {

constexpr int kSegmentTokens = kSegmentPages * Cache::kPageTokens;
// Query rows of a KV head from which a tile beats single rows: over pages that streams share, and within a sequence,
// where few tiles would leave threads without work.
constexpr int kSharedTilePays = 24;
constexpr int kTilePays = 40;

constexpr double kLog2e = 1.4426950408889634;
constexpr int kStateHeader = 16;  // floats of a stored state before its output: maximum, sum, padding

void reset(SoftmaxState& state, int dim) {
  state.maximum = kMinusInfinity;
  state.sum = 0;
  std::fill_n(state.output, dim, 0.0F);
}

void save(const SoftmaxState& state, int dim, float* to) {
  to[0] = state.maximum;
  to[1] = state.sum;
  std::copy_n(state.output, dim, to + kStateHeader);
}

SoftmaxState saved(float* from) { return {from[0], from[1], from + kStateHeader}; }

// Brings the keys and values of one head of a page closer.
void fetch_ahead(const uint8_t* head, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(head + i, 0, 2);
}

int first_visible(int position, int window) { return window > 0 ? std::max(0, position - window + 1) : 0; }

}  // namespace

// Buffers of one thread.
struct AttentionStage::Scratch {
  Scratch(int head_dim, int group, KvFormat format)
      : queries(allocate<int8_t>(static_cast<size_t>(head_dim) * kTileRows)),
        outputs(allocate<float>(2 * static_cast<size_t>(head_dim) * kTileRows)),
        tile_scratch(allocate<float>(tile_scratch_floats(format, head_dim))),
        row_outputs(allocate<float>(2 * static_cast<size_t>(head_dim) * group)) {
    segment.queries = queries.get();
    segment.output = outputs.get();
    total.queries = queries.get();
    total.output = outputs.get() + static_cast<size_t>(head_dim) * kTileRows;
    for (int i = 0; i < group; ++i) {
      row_segment.push_back({kMinusInfinity, 0, row_outputs.get() + head_dim * i});
      row_total.push_back({kMinusInfinity, 0, row_outputs.get() + head_dim * (group + i)});
    }
  }
  alignas(64) AttentionTile segment{};
  alignas(64) AttentionTile total{};
  Buffer<int8_t> queries;
  Buffer<float> outputs;
  Buffer<float> tile_scratch;
  Buffer<float> row_outputs;
  std::vector<SoftmaxState> row_segment;  // of the heads of a group
  std::vector<SoftmaxState> row_total;
};

AttentionStage::AttentionStage(const Model& model, Cache& cache, const KernelTable& kernels, int num_threads)
    : model_(model),
      cache_(cache),
      kernels_(kernels),
      attend_page_(kernels.attend_page[static_cast<int>(cache.format())]),
      attend_tile_(kernels.attend_tile[static_cast<int>(cache.format())]),
      dim_(padded_head(model.head_dim)),
      softcap_(static_cast<float>(model.attention_softcap * kLog2e)),
      state_floats_(dim_ + kStateHeader) {
  for (int i = 0; i < num_threads; ++i)
    scratch_.push_back(std::make_unique<Scratch>(dim_, model.group(), cache.format()));
}

AttentionStage::~AttentionStage() = default;

size_t AttentionStage::bytes() const {
  size_t total = (partials_.capacity() + totals_.capacity()) * sizeof(float) + pairs_.capacity() * sizeof(Pair) +
                 counters_.size() * sizeof(counters_[0]);
  for (const auto& [window, plan] : plans_)
    total += (plan.shared.capacity() + plan.tasks.capacity()) * sizeof(Task) + plan.continued.capacity() * sizeof(int);
  for (const auto& own : scratch_)
    total += sizeof(Scratch) + bytes_of(own->queries) + bytes_of(own->outputs) + bytes_of(own->tile_scratch) +
             bytes_of(own->row_outputs);
  return total;
}

void AttentionStage::plan(const std::vector<SequenceSpan>& sequences, int num_rows) {
  plans_.clear();
  pairs_.clear();
  num_counters_ = 0;
  num_partials_ = 0;
  for (int window : model_.windows)
    if (!plans_.contains(window)) plans_.emplace(window, cut(sequences, num_rows, window));
  const size_t floats = static_cast<size_t>(state_floats_);
  if (partials_.size() < floats * num_partials_) partials_.resize(floats * num_partials_);
  if (counters_.size() < static_cast<size_t>(num_counters_))
    counters_ = std::vector<std::atomic<int>>(2 * num_counters_);
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
    if (members.size() * model_.group() < kSharedTilePays) continue;
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
        plan.shared.push_back({.kv_head = kv,
                               .pages = lead.pages,
                               .first_pair = p,
                               .num_pairs = std::min(kTileRows, end - p),
                               .shared = true,
                               .first_position = segments * kSegmentTokens - 1,
                               .last_position = segments * kSegmentTokens - 1,
                               .segment_end = segments});
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
      plan.tasks.push_back({.kv_head = kv,
                            .pages = sequence.pages,
                            .first_pair = first_pair + p,
                            .num_pairs = n,
                            .first_position = first,
                            .last_position = last,
                            .segment_begin = first_visible(first, window) / kSegmentTokens,
                            .segment_end = last / kSegmentTokens + 1});
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
        plan.tasks.push_back({.kv_head = kv,
                              .pages = sequence.pages,
                              .first_pair = row,
                              .first_position = position,
                              .last_position = position,
                              .segment_begin = a,
                              .segment_end = b,
                              .pieces = pieces,
                              .first_partial = first_partial,
                              .partial = first_partial + (a - begin) * model_.group(),
                              .num_partials = (end - begin) * model_.group(),
                              .counter = num_counters_});
      }
      if (pieces == 1) continue;
      num_partials_ += (end - begin) * model_.group();
      ++num_counters_;
    }
  }
}

void AttentionStage::run(Team& team, int thread, int layer, const Query* queries, float* out) {
  const Plan& plan = plans_.at(model_.windows[layer]);
  Scratch& scratch = *scratch_[thread];
  if (!plan.shared.empty())
    team.for_each(thread, static_cast<int>(plan.shared.size()),
                  [&](int i) { run_tile(plan.shared[i], layer, queries, out, scratch); });
  team.for_each(thread, static_cast<int>(plan.tasks.size()), [&](int i) {
    const Task& task = plan.tasks[i];
    if (task.num_pairs > 0)
      run_tile(task, layer, queries, out, scratch);
    else
      run_row(task, layer, plan.continued[task.first_pair], queries, out, scratch);
  });
}

// Queries and visibility of a tile's rows into its scratch; returns the earliest last visible position.
int AttentionStage::fill_tile(const Task& task, int window, const Query* queries, Scratch& scratch) const {
  AttentionTile& tile = scratch.segment;
  AttentionTile& total = scratch.total;
  const Pair* pairs = pairs_.data() + task.first_pair;
  int earliest_last = task.last_position;
  std::fill_n(total.maximum, kTileRows, kMinusInfinity);
  std::fill_n(total.sum, kTileRows, 0.0F);
  std::fill_n(total.output, static_cast<size_t>(dim_) * kTileRows, 0.0F);
  for (int i = 0; i < kTileRows; ++i) {
    tile.first[i] = 0;
    tile.last[i] = task.last_position;  // rows beyond the last are zeros that nobody reads: they hide nothing
    for (int g = 0; g < head_groups(dim_); ++g) {
      tile.scale[g][i] = 0;
      tile.minus_128_sums[g][i] = 0;
    }
    if (i >= task.num_pairs) continue;
    const Query& q = queries[pairs[i].row * model_.num_heads + task.kv_head * model_.group() + pairs[i].head];
    tile.last[i] = task.shared ? task.last_position : task.first_position + (pairs[i].row - pairs[0].row);
    tile.first[i] = first_visible(tile.last[i], window);
    for (int g = 0; g < head_groups(dim_); ++g) {
      tile.scale[g][i] = q.scale[g];
      tile.minus_128_sums[g][i] = q.minus_128_sums[g];
    }
    earliest_last = std::min(earliest_last, tile.last[i]);
    for (int g = 0; g < dim_ / 4; ++g)
      std::memcpy(tile.queries + (static_cast<size_t>(g) * kTileRows + i) * 4, q.q + 4 * g, 4);
  }
  return earliest_last;
}

void AttentionStage::run_tile(const Task& task, int layer, const Query* queries, float* out, Scratch& scratch) {
  const int window = model_.windows[layer];
  AttentionTile& tile = scratch.segment;
  const int earliest_last = fill_tile(task, window, queries, scratch);
  const int latest_first = first_visible(task.last_position, window);
  const int last_page = task.last_position / Cache::kPageTokens;
  for (int segment = task.segment_begin; segment < task.segment_end; ++segment) {
    std::fill_n(tile.maximum, kTileRows, kMinusInfinity);
    std::fill_n(tile.sum, kTileRows, 0.0F);
    std::fill_n(tile.output, static_cast<size_t>(dim_) * kTileRows, 0.0F);
    const int end = std::min((segment + 1) * kSegmentPages, last_page + 1);
    for (int page = segment * kSegmentPages; page < end; ++page) {
      if (page < last_page) fetch_ahead(cache_.head(layer, task.pages[page + 1], task.kv_head), cache_.head_bytes());
      const int start = page * Cache::kPageTokens;
      const bool all_visible = start + Cache::kPageTokens - 1 <= earliest_last && start >= latest_first;
      attend_tile_(cache_.head(layer, task.pages[page], task.kv_head), dim_, start, all_visible, tile,
                   scratch.tile_scratch.get(), softcap_);
    }
    kernels_.merge_tile(scratch.total, tile, dim_);
  }
  finish_tile(task, scratch.total, out);
}

void AttentionStage::finish_tile(const Task& task, const AttentionTile& total, float* out) {
  for (int i = 0; i < task.num_pairs; ++i) {
    const Pair& pair = pairs_[task.first_pair + i];
    const int head = task.kv_head * model_.group() + pair.head;
    const float* o = total.output + i;
    if (task.shared) {
      float* to = total_of(pair.row, head);
      to[0] = total.maximum[i];
      to[1] = total.sum[i];
      for (int d = 0; d < dim_; ++d) to[kStateHeader + d] = o[static_cast<size_t>(d) * kTileRows];
      continue;
    }
    const float inverse = 1.0F / total.sum[i];
    float* to = out + out_of(pair.row, head);
    for (int d = 0; d < model_.head_dim; ++d) to[d] = o[static_cast<size_t>(d) * kTileRows] * inverse;
    if (cache_.rotates()) kernels_.hadamard(to, model_.head_dim);
  }
}

// Attends one segment into scratch.row_segment.
void AttentionStage::run_segment(const Task& task, int layer, int segment, const Query* queries, Scratch& scratch) {
  for (SoftmaxState& state : scratch.row_segment) reset(state, dim_);
  const int first = first_visible(task.last_position, model_.windows[layer]);
  const int position_page = task.last_position / Cache::kPageTokens;
  const int begin = std::max(segment * kSegmentPages, first / Cache::kPageTokens);
  const int end = std::min((segment + 1) * kSegmentPages, position_page + 1);
  const int last_page = std::min(task.segment_end * kSegmentPages - 1, position_page);
  for (int page = begin; page < end; ++page) {
    const int next = std::min(page + 1, last_page);
    attend_page_(cache_.head(layer, task.pages[page], task.kv_head), dim_, page * Cache::kPageTokens, first,
                 task.last_position, queries, scratch.row_segment.data(), model_.group(),
                 cache_.head(layer, task.pages[next], task.kv_head), softcap_);
  }
}

void AttentionStage::run_row(const Task& task, int layer, int continued, const Query* queries, float* out,
                             Scratch& scratch) {
  const int group = model_.group();
  const int row = task.first_pair;
  const Query* q = queries + row * model_.num_heads + task.kv_head * group;
  std::vector<SoftmaxState>& total = scratch.row_total;
  auto start_total = [&] {
    for (int h = 0; h < group; ++h) {
      reset(total[h], dim_);
      if (continued == 0) continue;
      const SoftmaxState from = saved(total_of(row, task.kv_head * group + h));
      total[h].maximum = from.maximum;
      total[h].sum = from.sum;
      std::copy_n(from.output, dim_, total[h].output);
    }
  };
  auto partial = [&](int index) { return partials_.data() + static_cast<size_t>(state_floats_) * index; };
  if (task.pieces == 1) start_total();
  for (int s = task.segment_begin; s < task.segment_end; ++s) {
    run_segment(task, layer, s, q, scratch);
    for (int h = 0; h < group; ++h) {
      if (task.pieces == 1)
        kernels_.merge(&total[h], scratch.row_segment[h], dim_);
      else
        save(scratch.row_segment[h], dim_, partial(task.partial + (s - task.segment_begin) * group + h));
    }
  }
  if (task.pieces > 1) {
    // The last piece to arrive merges all.
    if (counters_[task.counter].fetch_add(1, std::memory_order_acq_rel) + 1 < task.pieces) return;
    counters_[task.counter].store(0, std::memory_order_relaxed);
    start_total();
    for (int i = 0; i < task.num_partials; ++i)
      kernels_.merge(&total[i % group], saved(partial(task.first_partial + i)), dim_);
  }
  for (int h = 0; h < group; ++h) {
    const float inverse = 1.0F / total[h].sum;
    float* to = out + out_of(row, task.kv_head * group + h);
    for (int d = 0; d < model_.head_dim; ++d) to[d] = total[h].output[d] * inverse;
    if (cache_.rotates()) kernels_.hadamard(to, model_.head_dim);
  }
}

}  // namespace pennyweight
