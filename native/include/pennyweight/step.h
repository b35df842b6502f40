// One forward pass over a batch of rows: the fused decoder, run by all threads of a team together.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pennyweight/adapter_stage.h"
#include "pennyweight/attention.h"
#include "pennyweight/cache.h"
#include "pennyweight/experts.h"
#include "pennyweight/linear.h"
#include "pennyweight/model.h"
#include "pennyweight/team.h"

namespace pennyweight {

// A position given as a vector instead of a token.
struct EmbeddedRow {
  int row;
  const float* vector;  // [d_model]
};

// The rows of a step. Row i holds tokens[i] at positions[i]; sequences say which pages each run of rows lives in.
struct Batch {
  std::vector<int> tokens;
  std::vector<int> positions;
  std::vector<SequenceSpan> sequences;
  std::vector<EmbeddedRow> embedded;
  std::vector<AdaptedRows> adapted;  // ascending; rows that are in none have no adapter
  std::vector<int> logit_rows;       // rows whose logits are wanted, in the order of the output
};

class Step {
 public:
  Step(const Model& model, Cache& cache, const KernelTable& kernels, Team& team);

  // Makes room and cuts the work; called by one thread before `run`.
  void prepare(const Batch& batch);
  // Called by all threads of the team; ends with a barrier.
  void run(int thread, const Batch& batch);

  // After `run`: logits of batch.logit_rows[i], [vocab_size]; final-norm state of the same row, [d_model].
  const float* logits(int i) const { return logits_.get() + static_cast<size_t>(i) * model_.padded_vocab(); }
  const float* hidden(int i) const { return final_.get() + static_cast<size_t>(i) * model_.width(); }

  // Bytes of all buffers, as the largest batches so far made them.
  size_t bytes() const;

 private:
  void drop_row_buffers();
  void embed(int thread, const Batch& batch);
  void layer(int thread, const Batch& batch, int index);
  void norm_projections(int thread, const Layer& w, int rows);
  void heads(int thread, const Batch& batch, int index);
  void head(int thread, const Batch& batch);
  // Normalises (if `weight` is not empty) and quantises rows of `x` into this layer's input; the result is seen by all
  // threads. Rows of `x` are whole blocks, zeros after `columns` values.
  Activations input(int thread, const float* x, const std::vector<float>& weight, int columns, int rows, Grain grain);
  void residual(int thread, const Activations& x, const PackedMatrix& w, const std::vector<float>& bias,
                const std::vector<float>& post_norm, int rows, const Adapted* adapted);
  void add_output(int row, const std::vector<float>& bias, const std::vector<float>& post_norm);
  void feed_forward(int thread, const Layer& w, int index, int rows);

  const Model& model_;
  Cache& cache_;
  const KernelTable& kernels_;
  Team& team_;
  AttentionStage attention_;
  std::optional<ExpertStage> experts_;
  AdapterStage adapters_;
  int capacity_ = 0;
  int logit_capacity_ = 0;
  size_t max_columns_;
  size_t qkv_stride_;          // query | key | value, whole panels each
  size_t rope_half_ = 0;       // widest rope
  bool float_inputs_ = false;  // some matrix is of a float format
  float query_factor_;         // what queries' scales are multiplied by
  std::vector<int> sequence_of_row_;

  // Widths are padded (Model::width and its like); what is beyond the values is 0.
  Buffer<float> x_;          // [rows][d_model] residual stream
  Buffer<float> qkv_;        // [rows][query | key | value]
  Buffer<float> mixed_;      // [rows][query size]: attention output
  Buffer<float> projected_;  // [rows][d_model]: outputs that are not just added; no thread may still read its input
  Buffer<float> normed_;     // [rows][max columns] float inputs
  Buffer<ActivationBlock> input_;   // [rows][max columns / 32]
  Buffer<ActivationBlock> hidden_;  // [rows][d_ff / 32]
  Buffer<float> hidden_values_;     // [rows][d_ff]
  Buffer<float> cosines_;           // [rows][ropes][rope_half]
  Buffer<float> sines_;
  Buffer<int8_t> quantized_;  // [rows][num_heads][padded head_dim]
  std::vector<Query> queries_;
  Buffer<float> final_;   // [logit rows][d_model]
  Buffer<float> logits_;  // [logit rows][padded vocabulary]
  struct Private {        // of one thread: inputs of few rows are computed by each thread for itself
    Buffer<ActivationBlock> blocks;
    Buffer<float> values;
  };
  std::vector<Private> private_;
};

}  // namespace pennyweight
