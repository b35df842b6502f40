#include "pennyweight/encoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>

#include "pennyweight/isa.h"

namespace pennyweight {

namespace {

constexpr double kLog2e = 1.4426950408889634;
constexpr int kRowChunk = 8;  // rows of one work item of an elementwise stage
constexpr int kLanes = 16;
constexpr Grain kGrain = Grain::kFine;

bool is_float(const Affine& a) { return traits(a.weight->format()).is_float(); }

}  // namespace

// Queries of one tile in the lanes; keys and values of one head, packed; all for the longest text.
struct Encoder::Scratch {
  Scratch(int max_tokens, int head_dim)
      : query(allocate<float>(static_cast<size_t>(kLanes) * head_dim)),
        out(allocate<float>(static_cast<size_t>(kLanes) * head_dim)),
        keys(allocate<float>(static_cast<size_t>(max_tokens) * head_dim)),
        values(allocate<float>(static_cast<size_t>(max_tokens) * head_dim)),
        scores(allocate<float>(static_cast<size_t>(max_tokens) * kLanes)) {}
  Buffer<float> query;
  Buffer<float> out;
  Buffer<float> keys;
  Buffer<float> values;
  Buffer<float> scores;
};

Encoder::Encoder(std::shared_ptr<const EncoderModel> model, int num_threads)
    : model_(std::move(model)), kernels_(active_kernels()), team_(num_threads) {
  const EncoderModel& m = *model_;
  for (const auto& layer : m.layers)
    for (const Affine* a : {&layer->query, &layer->key, &layer->value, &layer->output, &layer->up, &layer->down})
      float_inputs_ = float_inputs_ || is_float(*a);
  table_.resize(static_cast<size_t>(m.max_tokens()) * m.d_model);
  for (int position = 0; position < m.max_tokens(); ++position) {
    float* to = table_.data() + static_cast<size_t>(position) * m.d_model;
    m.positions->row(position, to);
    for (int i = 0; i < m.d_model; ++i) to[i] += m.token_type[i];
  }
  for (int i = 0; i < team_.size(); ++i) scratch_.push_back(std::make_unique<Scratch>(m.max_tokens(), m.head_dim()));
}

Encoder::~Encoder() = default;

void Encoder::encode(std::span<const std::vector<int>> texts, float* out) {
  const std::scoped_lock lock(mutex_);
  prepare(texts);
  team_.start([this, out](int thread) { run(thread, out); });
  team_.wait();
}

void Encoder::prepare(std::span<const std::vector<int>> texts) {
  const EncoderModel& m = *model_;
  rows_.clear();
  texts_.clear();
  for (const std::vector<int>& text : texts) {
    const int count = static_cast<int>(text.size());
    if (count < 1 || count > m.max_tokens())
      throw std::invalid_argument("a text has " + std::to_string(count) + " tokens, expected 1 to " +
                                  std::to_string(m.max_tokens()));
    texts_.push_back({static_cast<int>(rows_.size()), count});
    for (int i = 0; i < count; ++i) {
      if (text[i] < 0 || text[i] >= m.embedding->rows())
        throw std::invalid_argument("token " + std::to_string(text[i]) + " is outside the vocabulary of " +
                                    std::to_string(m.embedding->rows()));
      rows_.push_back({text[i], i});
    }
  }
  const int rows = static_cast<int>(rows_.size());
  if (rows <= capacity_) return;
  const auto n = static_cast<size_t>(rows + 63) / 64 * 64;
  capacity_ = 0;  // until all of it is there: an allocation may fail
  x_ = allocate<float>(n * m.d_model);
  qkv_ = allocate<float>(n * 3 * m.d_model);
  mixed_ = allocate<float>(n * m.d_model);
  hidden_ = allocate<float>(n * m.d_ff);
  input_ = allocate<ActivationBlock>(n * m.d_model / kBlock);
  blocks_ = allocate<ActivationBlock>(n * m.d_ff / kBlock);
  capacity_ = static_cast<int>(n);
}

template <class F>
void Encoder::each_row(int thread, F&& f) {
  const int rows = static_cast<int>(rows_.size());
  team_.for_each(thread, (rows + kRowChunk - 1) / kRowChunk, [&](int chunk) {
    const int end = std::min((chunk + 1) * kRowChunk, rows);
    for (int row = chunk * kRowChunk; row < end; ++row) f(static_cast<size_t>(row));
  });
}

void Encoder::run(int thread, float* out) {
  embed(thread);
  for (const auto& layer : model_->layers) this->layer(thread, *layer);
  pool(thread, out);
}

void Encoder::embed(int thread) {
  const EncoderModel& m = *model_;
  const auto d = static_cast<size_t>(m.d_model);
  each_row(thread, [&](size_t row) {
    float* x = x_.get() + row * d;
    m.embedding->row(rows_[row].token, x);
    kernels_.add(x, table_.data() + d * rows_[row].position, m.d_model);
    kernels_.layernorm(x, m.embedding_norm.weight.data(), m.embedding_norm.bias.data(), m.norm_eps, m.d_model, x);
  });
}

// Every product is added to rows that hold its bias already, and the residual stream where it is wanted.
void Encoder::layer(int thread, const EncoderLayer& w) {
  const EncoderModel& m = *model_;
  const int rows = static_cast<int>(rows_.size());
  const int width = m.d_model;
  const auto d = static_cast<size_t>(width);
  const auto ff = static_cast<size_t>(m.d_ff);
  auto quantize = [&](const float* x, size_t row) {
    kernels_.quantize(x, width, kGrain, input_.get() + row * (d / kBlock));
  };
  auto normalize = [&](const Norm& norm, float* x) {
    kernels_.layernorm(x, norm.weight.data(), norm.bias.data(), m.norm_eps, width, x);
  };
  auto product = [&](std::span<const PackedMatrix* const> parts, const ActivationBlock* blocks, const float* values,
                     size_t columns, float* out, size_t stride) {
    const Activations x = {kGrain, blocks, columns / kBlock, values, columns};
    linear_stage(kernels_, team_, thread, parts, x, rows, out, stride, true);
  };
  const std::array<const PackedMatrix*, 3> qkv = {w.query.weight.get(), w.key.weight.get(), w.value.weight.get()};
  const std::array<const PackedMatrix*, 1> output = {w.output.weight.get()};
  const std::array<const PackedMatrix*, 1> up = {w.up.weight.get()};
  const std::array<const PackedMatrix*, 1> down = {w.down.weight.get()};

  each_row(thread, [&](size_t row) {
    quantize(x_.get() + row * d, row);
    float* to = qkv_.get() + row * 3 * d;
    for (const Affine* a : {&w.query, &w.key, &w.value}) to = std::copy(a->bias.begin(), a->bias.end(), to);
  });
  product(qkv, input_.get(), x_.get(), d, qkv_.get(), 3 * d);
  attend(thread);
  each_row(thread, [&](size_t row) {
    quantize(mixed_.get() + row * d, row);
    kernels_.add(x_.get() + row * d, w.output.bias.data(), width);
  });
  product(output, input_.get(), mixed_.get(), d, x_.get(), d);
  each_row(thread, [&](size_t row) {
    float* x = x_.get() + row * d;
    normalize(w.attention_norm, x);
    quantize(x, row);
    std::copy(w.up.bias.begin(), w.up.bias.end(), hidden_.get() + row * ff);
  });
  product(up, input_.get(), x_.get(), d, hidden_.get(), ff);
  each_row(thread, [&](size_t row) {
    float* h = hidden_.get() + row * ff;
    kernels_.gelu(h, m.d_ff);
    kernels_.quantize(h, m.d_ff, kGrain, blocks_.get() + row * (ff / kBlock));
    kernels_.add(x_.get() + row * d, w.down.bias.data(), width);
  });
  product(down, blocks_.get(), hidden_.get(), ff, x_.get(), d);
  each_row(thread, [&](size_t row) { normalize(w.output_norm, x_.get() + row * d); });
}

void Encoder::attend(int thread) {
  const int heads = model_->num_heads;
  team_.for_each(thread, static_cast<int>(texts_.size()) * heads,
                 [&](int item) { attend_head(texts_[item / heads], item % heads, *scratch_[thread]); });
}

void Encoder::attend_head(const Text& text, int head, Scratch& scratch) {
  const auto d = static_cast<size_t>(model_->d_model);
  const int dim = model_->head_dim();
  const float factor = static_cast<float>(kLog2e / std::sqrt(static_cast<double>(dim)));
  const float* base = qkv_.get() + 3 * d * text.first_row + static_cast<size_t>(head) * dim;
  for (int i = 0; i < text.count; ++i) {
    std::copy_n(base + 3 * d * i + d, dim, scratch.keys.get() + static_cast<size_t>(i) * dim);
    std::copy_n(base + 3 * d * i + 2 * d, dim, scratch.values.get() + static_cast<size_t>(i) * dim);
  }
  for (int first = 0; first < text.count; first += kLanes) {
    const int count = std::min(kLanes, text.count - first);
    for (int lane = 0; lane < kLanes; ++lane) {  // the last tile repeats its last query
      const float* q = base + 3 * d * (first + std::min(lane, count - 1));
      for (int e = 0; e < dim; ++e) scratch.query[kLanes * e + lane] = q[e];
    }
    kernels_.attend_all(scratch.query.get(), scratch.keys.get(), scratch.values.get(), text.count, dim, factor,
                        scratch.scores.get(), scratch.out.get());
    for (int lane = 0; lane < count; ++lane) {
      float* to = mixed_.get() + d * (text.first_row + first + lane) + static_cast<size_t>(head) * dim;
      for (int e = 0; e < dim; ++e) to[e] = scratch.out[kLanes * e + lane];
    }
  }
}

void Encoder::pool(int thread, float* out) {
  const int width = model_->d_model;
  team_.for_each(thread, static_cast<int>(texts_.size()), [&](int index) {
    const Text& text = texts_[index];
    const float* x = x_.get() + static_cast<size_t>(text.first_row) * width;
    float* to = out + static_cast<size_t>(index) * width;
    std::copy_n(x, width, to);
    if (model_->pooling == Pooling::kFirst) return;
    for (int i = 1; i < text.count; ++i) kernels_.add(to, x + static_cast<size_t>(i) * width, width);
    for (int i = 0; i < width; ++i) to[i] /= static_cast<float>(text.count);
  });
}

}  // namespace pennyweight
