// Attention of one step: which query rows meet which pages on which thread.
//
// Work is cut into tasks; a task is a few query rows of one KV head over a run of segments. Decoding rows go alone
// (keys in the lanes), prompt rows in tiles of 48, and decoding rows of streams with the same leading pages share
// tiles over those pages. No bit depends on the cut: segments are merged in ascending order.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <vector>

#include "pennyweight/cache.h"
#include "pennyweight/model.h"
#include "pennyweight/team.h"

namespace pennyweight {

// One sequence's rows in the batch: row first_row + i stands at `position + i`.
struct SequenceSpan {
  const int* pages;
  int first_row;
  int count;
  int position;
};

class AttentionStage {
 public:
  AttentionStage(const Model& model, Cache& cache, const KernelTable& kernels, int num_threads);
  ~AttentionStage();

  // Cuts the step's work; called by one thread before the team starts.
  void plan(const std::vector<SequenceSpan>& sequences, int num_rows);

  // Bytes of the buffers that grow with a step, and of each thread's own.
  size_t bytes() const;

  // Called by all threads. queries: [rows][num_heads], each of padded_head(head_dim) elements; out: float
  // [rows][query width].
  void run(Team& team, int thread, int layer, const Query* queries, float* out);

 private:
  struct Pair {  // a query row and a head within its group
    int row;
    int head;
  };
  struct Task {
    int kv_head = 0;
    const int* pages = nullptr;
    int first_pair = 0;   // of a tile: index into pairs; else the batch row
    int num_pairs = 0;    // of a tile; 0: one row, all heads of the group
    bool shared = false;  // a tile over pages that several streams share: leaves totals to continue from
    int first_position = 0;
    int last_position = 0;  // of the latest row
    int segment_begin = 0;
    int segment_end = 0;
    int pieces = 1;  // tasks that share the row's segments, and where their states meet
    int first_partial = 0;
    int partial = 0;
    int num_partials = 0;
    int counter = 0;
  };
  struct Plan {
    std::vector<Task> shared;  // tiles whose totals the rows continue from
    std::vector<Task> tasks;
    std::vector<int> continued;  // per row: segments already in its total
  };
  struct Scratch;

  Plan cut(const std::vector<SequenceSpan>& sequences, int num_rows, int window);
  void cut_shared(const std::vector<SequenceSpan>& sequences, Plan& plan);
  void cut_tiles(const SequenceSpan& sequence, int window, Plan& plan);
  void cut_row(const SequenceSpan& sequence, int window, int num_rows, Plan& plan);
  int fill_tile(const Task& task, int window, const Query* queries, Scratch& scratch) const;
  void run_tile(const Task& task, int layer, const Query* queries, float* out, Scratch& scratch);
  void finish_tile(const Task& task, const AttentionTile& total, float* out);
  void run_segment(const Task& task, int layer, int segment, const Query* queries, Scratch& scratch);
  void run_row(const Task& task, int layer, int continued, const Query* queries, float* out, Scratch& scratch);
  float* total_of(int row, int head) {
    return totals_.data() + static_cast<size_t>(state_floats_) * (row * model_.num_heads + head);
  }

  size_t out_of(int row, int head) const {
    return static_cast<size_t>(row) * model_.query_width() + static_cast<size_t>(head) * model_.head_dim;
  }

  const Model& model_;
  Cache& cache_;
  const KernelTable& kernels_;
  AttendPage* attend_page_;  // of the cache's format
  AttendTile* attend_tile_;
  int dim_;                    // elements of a head in queries, pages and states
  float softcap_;              // of scores, in units of the softmax's base 2; 0: none
  std::map<int, Plan> plans_;  // by window
  std::vector<Pair> pairs_;
  std::vector<std::unique_ptr<Scratch>> scratch_;  // per thread
  std::vector<std::atomic<int>> counters_;
  int num_counters_ = 0;
  int num_partials_ = 0;
  std::vector<float> partials_;  // states of pieces: maximum, sum, output per row of the group and segment
  std::vector<float> totals_;    // [rows][num_heads] states over shared segments
  int state_floats_;
};

}  // namespace pennyweight
