#include "pennyweight/step.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace pennyweight {

namespace {

constexpr int kPrivateRows = 3;  // up to so many rows, preparing an input twice is cheaper than a barrier
constexpr double kLog2e = 1.4426950408889634;
constexpr int kLogitChunk = 4096;  // logits that a thread scales at a time
const std::vector<float> kNone;

bool is_float(const PackedMatrix& m) { return traits(m.format()).is_float(); }

// Scores are exponents of 2, or what their soft cap takes (softcap in kernels/math.inl).
float query_factor(const Model& m) {
  return static_cast<float>(m.attention_softcap > 0 ? m.attention_scale * (2 * kLog2e / m.attention_softcap)
                                                    : m.attention_scale * kLog2e);
}

size_t qkv_stride(const Layer& w) { return w.query->padded_rows() + w.key->padded_rows() + w.value->padded_rows(); }

}  // namespace

Step::Step(const Model& model, Cache& cache, const KernelTable& kernels, Team& team)
    : model_(model),
      cache_(cache),
      kernels_(kernels),
      team_(team),
      attention_(model, cache, kernels, team.size()),
      adapters_(kernels, team),
      max_columns_(std::max({model.width(), model.query_width(), model.hidden_width()})),
      qkv_stride_(qkv_stride(*model.layers.front())),
      query_factor_(query_factor(model)) {
  for (const auto& rope : model.ropes) rope_half_ = std::max(rope_half_, rope.size());
  float_inputs_ = is_float(*model.head);
  for (const auto& layer : model.layers)
    for (const PackedMatrix* m : layer->matrices()) float_inputs_ = float_inputs_ || is_float(*m);
  if (model.experts_used > 0) experts_.emplace(model, kernels, team);
  for (int i = 0; i < team.size(); ++i)
    private_.push_back({allocate<ActivationBlock>(kPrivateRows * max_columns_ / kBlock),
                        allocate<float>(kPrivateRows * max_columns_)});
}

void Step::prepare(const Batch& batch) {
  const int rows = static_cast<int>(batch.tokens.size());
  if (rows > capacity_) {
    const int capacity = (rows + 63) / 64 * 64;
    const auto n = static_cast<size_t>(capacity);
    capacity_ = 0;       // until all of it is there: an allocation may fail
    drop_row_buffers();  // or the old and the new would be there together
    x_ = allocate<float>(n * model_.width());
    qkv_ = allocate<float>(n * qkv_stride_);
    mixed_ = allocate<float>(n * model_.query_width());
    projected_ = allocate<float>(n * model_.width());
    input_ = allocate<ActivationBlock>(n * max_columns_ / kBlock);
    if (float_inputs_) normed_ = allocate<float>(n * max_columns_);
    if (experts_) {
      experts_->reserve(capacity);
    } else {
      hidden_ = allocate<ActivationBlock>(n * model_.hidden_width() / kBlock);
      if (float_inputs_) hidden_values_ = allocate<float>(n * model_.hidden_width());
    }
    cosines_ = allocate<float>(n * model_.ropes.size() * rope_half_);
    sines_ = allocate<float>(n * model_.ropes.size() * rope_half_);
    quantized_ = allocate<int8_t>(n * model_.num_heads * padded_head(model_.head_dim));
    queries_.resize(n * model_.num_heads);
    capacity_ = capacity;
  }
  const int logit_rows = static_cast<int>(batch.logit_rows.size());
  if (logit_rows > logit_capacity_) {
    const int capacity = (logit_rows + 7) / 8 * 8;
    logit_capacity_ = 0;
    final_.reset();
    logits_.reset();
    final_ = allocate<float>(static_cast<size_t>(capacity) * model_.width());
    logits_ = allocate<float>(static_cast<size_t>(capacity) * model_.padded_vocab());
    logit_capacity_ = capacity;
  }
  sequence_of_row_.resize(rows);
  for (size_t s = 0; s < batch.sequences.size(); ++s)
    std::fill_n(sequence_of_row_.begin() + batch.sequences[s].first_row, batch.sequences[s].count, static_cast<int>(s));
  attention_.plan(batch.sequences, rows);
  adapters_.plan(batch.adapted, rows);
}

void Step::drop_row_buffers() {
  for (Buffer<float>* floats : {&x_, &qkv_, &mixed_, &projected_, &normed_, &hidden_values_, &cosines_, &sines_})
    floats->reset();
  input_.reset();
  hidden_.reset();
  quantized_.reset();
  if (experts_) experts_->drop();
}

size_t Step::bytes() const {
  size_t total = attention_.bytes() + queries_.capacity() * sizeof(Query) + bytes_of(input_) + bytes_of(hidden_) +
                 bytes_of(quantized_) + adapters_.bytes() + (experts_ ? experts_->bytes() : 0);
  for (const Buffer<float>* floats :
       {&x_, &qkv_, &mixed_, &projected_, &normed_, &hidden_values_, &cosines_, &sines_, &final_, &logits_})
    total += bytes_of(*floats);
  for (const Private& own : private_) total += bytes_of(own.blocks) + bytes_of(own.values);
  return total;
}

void Step::run(int thread, const Batch& batch) {
  embed(thread, batch);
  for (int i = 0; i < static_cast<int>(model_.layers.size()); ++i) layer(thread, batch, i);
  if (!batch.logit_rows.empty()) head(thread, batch);
}

// Rows of the residual stream, and the angles every layer turns them by.
void Step::embed(int thread, const Batch& batch) {
  const int d = model_.d_model;
  team_.for_each(thread, static_cast<int>(batch.tokens.size()), [&](int row) {
    float* x = x_.get() + static_cast<size_t>(row) * model_.width();
    std::fill(x + d, x + model_.width(), 0.0F);  // an earlier row may have left what is not a number
    const auto given =
        std::find_if(batch.embedded.begin(), batch.embedded.end(), [&](const EmbeddedRow& e) { return e.row == row; });
    if (given != batch.embedded.end()) {
      std::copy_n(given->vector, d, x);
    } else {
      model_.embedding->row(batch.tokens[row], x);
      for (int i = 0; i < d; ++i) x[i] *= model_.embedding_scale;
    }
    for (size_t r = 0; r < model_.ropes.size(); ++r) {
      const size_t at = (static_cast<size_t>(row) * model_.ropes.size() + r) * rope_half_;
      const double magnitude = model_.rope_magnitudes.empty() ? 1 : model_.rope_magnitudes[r];
      for (size_t i = 0; i < model_.ropes[r].size(); ++i) {
        const double angle = batch.positions[row] * model_.ropes[r][i];
        const double factor = model_.ropes[r][i] == 0 ? 1 : magnitude;  // what does not turn keeps its length
        cosines_[at + i] = static_cast<float>(std::cos(angle) * factor);
        sines_[at + i] = static_cast<float>(std::sin(angle) * factor);
      }
    }
  });
}

Activations Step::input(int thread, const float* x, const std::vector<float>& weight, int columns, int rows,
                        Grain grain) {
  const int width = padded_columns(columns);
  const size_t blocks = static_cast<size_t>(width) / kBlock;
  auto prepare_row = [&](int row, ActivationBlock* to, float* values) {
    const float* from = x + static_cast<size_t>(row) * width;
    if (!weight.empty()) {
      kernels_.rmsnorm(from, weight.data(), model_.norm_eps, columns, values);
      std::fill(values + columns, values + width, 0.0F);
      from = values;
    } else if (float_inputs_) {
      std::copy_n(from, width, values);
    }
    kernels_.quantize(from, width, grain, to);
  };
  Private& own = private_[thread];
  if (rows <= kPrivateRows) {
    for (int row = 0; row < rows; ++row)
      prepare_row(row, own.blocks.get() + row * blocks, own.values.get() + static_cast<size_t>(row) * width);
    return {grain, own.blocks.get(), blocks, own.values.get(), static_cast<size_t>(width)};
  }
  team_.for_each(thread, rows, [&](int row) {
    float* values = float_inputs_ ? normed_.get() + static_cast<size_t>(row) * width : own.values.get();
    prepare_row(row, input_.get() + row * blocks, values);
  });
  return {grain, input_.get(), blocks, normed_.get(), static_cast<size_t>(width)};
}

// x += linear(input), with the bias, the post-norm and the scale that the model has.
void Step::residual(int thread, const Activations& x, const PackedMatrix& w, const std::vector<float>& bias,
                    const std::vector<float>& post_norm, int rows, const Adapted* adapted) {
  const int width = model_.width();
  const std::array<const PackedMatrix*, 1> part = {&w};
  if (bias.empty() && post_norm.empty() && model_.residual_scale == 1) {
    linear_stage(kernels_, team_, thread, part, x, rows, x_.get(), width, true, adapted);
    return;
  }
  linear_stage(kernels_, team_, thread, part, x, rows, projected_.get(), width, false, adapted);
  team_.for_each(thread, rows, [&](int row) { add_output(row, bias, post_norm); });
}

// x += what stands in the projection's row, with the bias, the post-norm and the scale that the model has.
void Step::add_output(int row, const std::vector<float>& bias, const std::vector<float>& post_norm) {
  const auto width = static_cast<size_t>(model_.width());
  float* y = projected_.get() + row * width;
  if (!bias.empty()) kernels_.add(y, bias.data(), model_.d_model);
  if (!post_norm.empty()) kernels_.rmsnorm(y, post_norm.data(), model_.norm_eps, model_.d_model, y);
  kernels_.add_scaled(x_.get() + row * width, y, model_.residual_scale, model_.d_model);
}

void Step::layer(int thread, const Batch& batch, int index) {
  const Layer& w = *model_.layers[index];
  const int rows = static_cast<int>(batch.tokens.size());
  const int d = model_.d_model;
  const std::array<const PackedMatrix*, 3> qkv = {w.query.get(), w.key.get(), w.value.get()};
  const Activations normed = input(thread, x_.get(), w.attention_norm, d, rows, Grain::kFine);
  linear_stage(kernels_, team_, thread, qkv, normed, rows, qkv_.get(), qkv_stride_, false,
               adapters_.reduce(thread, index, Role::kQuery, 3, normed));
  heads(thread, batch, index);
  attention_.run(team_, thread, index, queries_.data(), mixed_.get());
  const Activations mixed = input(thread, mixed_.get(), kNone, model_.query_size(), rows, Grain::kCoarse);
  residual(thread, mixed, *w.output, w.output_bias, w.post_attention_norm, rows,
           adapters_.reduce(thread, index, Role::kOutput, 1, mixed));
  feed_forward(thread, w, index, rows);
}

void Step::feed_forward(int thread, const Layer& w, int index, int rows) {
  const Activations normed = input(thread, x_.get(), w.feed_forward_norm, model_.d_model, rows, Grain::kCoarse);
  if (experts_) {
    experts_->run(thread, w, normed, rows);
    team_.for_each(thread, rows, [&](int row) {
      experts_->sum(row, projected_.get() + static_cast<size_t>(row) * model_.width());
      add_output(row, kNone, w.post_feed_forward_norm);
    });
    return;
  }
  gated_stage(kernels_, team_, thread, model_.activation, *w.gate, *w.up, normed, rows, hidden_.get(),
              float_inputs_ ? hidden_values_.get() : nullptr, adapters_.reduce(thread, index, Role::kGate, 2, normed));
  const auto width = static_cast<size_t>(model_.hidden_width());
  const Activations hidden = {Grain::kFine, hidden_.get(), width / kBlock, hidden_values_.get(), width};
  residual(thread, hidden, *w.down, kNone, w.post_feed_forward_norm, rows,
           adapters_.reduce(thread, index, Role::kDown, 1, hidden));
}

// Adds biases to and norms all query heads of a row as one vector, and its key heads.
void Step::norm_projections(int thread, const Layer& w, int rows) {
  team_.for_each(thread, rows, [&](int row) {
    float* query = qkv_.get() + row * qkv_stride_;
    float* key = query + w.query->padded_rows();
    if (!w.query_bias.empty()) kernels_.add(query, w.query_bias.data(), model_.query_size());
    if (!w.key_bias.empty()) kernels_.add(key, w.key_bias.data(), model_.kv_size());
    kernels_.rmsnorm(query, w.query_norm.data(), model_.norm_eps, model_.query_size(), query);
    kernels_.rmsnorm(key, w.key_norm.data(), model_.norm_eps, model_.kv_size(), key);
  });
}

// Adds biases to, norms, rotates and quantises queries and keys; stores keys and values in their pages.
void Step::heads(int thread, const Batch& batch, int index) {
  const Layer& w = *model_.layers[index];
  const int dim = model_.head_dim;
  const int group = model_.group();
  const std::optional<int> rope = model_.rope_of_layer[index];
  const int half = rope ? static_cast<int>(model_.ropes[*rope].size()) : 0;
  const bool whole = model_.norms_projections(w);
  if (whole) norm_projections(thread, w, static_cast<int>(batch.tokens.size()));
  auto turn = [&](float* x, int first, const std::vector<float>& bias, const std::vector<float>& norm, size_t angle) {
    if (!whole && !bias.empty()) kernels_.add(x, bias.data() + first, dim);
    if (!whole && !norm.empty()) kernels_.rmsnorm(x, norm.data(), model_.norm_eps, dim, x);
    kernels_.rotate(x, cosines_.get() + angle, sines_.get() + angle, half);
    if (cache_.rotates()) kernels_.hadamard(x, dim);
  };
  team_.for_each(thread, static_cast<int>(batch.tokens.size()) * model_.num_kv_heads, [&](int item) {
    const int row = item / model_.num_kv_heads;
    const int kv = item % model_.num_kv_heads;
    const size_t angle = (static_cast<size_t>(row) * model_.ropes.size() + rope.value_or(0)) * rope_half_;
    float* base = qkv_.get() + row * qkv_stride_;
    for (int h = kv * group; h < (kv + 1) * group; ++h) {
      const size_t slot = static_cast<size_t>(row) * model_.num_heads + h;
      int8_t* q = quantized_.get() + slot * padded_head(dim);
      turn(base + h * dim, h * dim, w.query_bias, w.query_norm, angle);
      Query& query = queries_[slot];
      query.q = q;
      kernels_.quantize_head(base + h * dim, dim, kHeadGroup, q, query.scale, query.minus_128_sums);
      for (int g = 0; g < head_groups(dim); ++g) {
        query.scale[g] *= query_factor_;
        query.minus_128_sums[g] *= -128;
      }
    }
    float* key = base + w.query->padded_rows() + kv * dim;
    float* value = key + w.key->padded_rows();
    turn(key, kv * dim, w.key_bias, w.key_norm, angle);
    if (!w.value_bias.empty()) kernels_.add(value, w.value_bias.data() + kv * dim, dim);
    if (cache_.rotates()) kernels_.hadamard(value, dim);
    const int position = batch.positions[row];
    const int page = batch.sequences[sequence_of_row_[row]].pages[position / Cache::kPageTokens];
    cache_.store(kernels_, cache_.head(index, page, kv), position % Cache::kPageTokens, key, value);
  });
}

void Step::head(int thread, const Batch& batch) {
  const int rows = static_cast<int>(batch.logit_rows.size());
  const int d = model_.d_model;
  const auto width = static_cast<size_t>(model_.width());
  team_.for_each(thread, rows, [&](int i) {
    kernels_.rmsnorm(x_.get() + batch.logit_rows[i] * width, model_.final_norm.data(), model_.norm_eps, d,
                     final_.get() + i * width);
  });
  const std::array<const PackedMatrix*, 1> part = {model_.head.get()};
  linear_stage(kernels_, team_, thread, part, input(thread, final_.get(), kNone, d, rows, Grain::kFine), rows,
               logits_.get(), model_.padded_vocab(), false);
  if (model_.logit_scale == 1 && model_.logit_softcap == 0) return;
  const int chunks = (model_.padded_vocab() + kLogitChunk - 1) / kLogitChunk;
  team_.for_each(thread, rows * chunks, [&](int item) {
    const int first = item % chunks * kLogitChunk;
    float* z = logits_.get() + static_cast<size_t>(item / chunks) * model_.padded_vocab() + first;
    kernels_.scale_and_cap(z, model_.logit_scale, model_.logit_softcap,
                           std::min(kLogitChunk, model_.padded_vocab() - first));
  });
}

}  // namespace pennyweight
