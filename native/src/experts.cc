#include "pennyweight/experts.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace pennyweight {

namespace {

constexpr float kLog2e = 1.44269502F;

int token_items(int tokens) { return (tokens + kItemTokens - 1) / kItemTokens; }

int down_items(const PackedMatrix& down, int tokens) {
  const int chunk = panel_chunk(tokens);
  return (down.num_panels() + chunk - 1) / chunk * token_items(tokens);
}

}  // namespace

ExpertStage::ExpertStage(const Model& model, const KernelTable& kernels, Team& team)
    : model_(model),
      kernels_(kernels),
      team_(team),
      num_experts_(static_cast<int>(model.layers.front()->experts.size())),
      used_(model.experts_used),
      score_stride_(model.layers.front()->router->padded_rows()),
      next_pair_(num_experts_) {
  for (const auto& layer : model.layers)
    for (const FeedForward& w : layer->experts)
      for (const MatrixPointer* m : {&w.gate, &w.up, &w.down})
        float_inputs_ = float_inputs_ || traits((*m)->format()).is_float();
  for (int i = 0; i < team.size(); ++i)
    private_.push_back({std::vector<uint8_t>(num_experts_), allocate<float>(score_stride_)});
}

void ExpertStage::drop() {
  for (Buffer<float>* floats : {&scores_, &values_, &hidden_values_, &outputs_}) floats->reset();
  input_.reset();
  hidden_.reset();
}

void ExpertStage::reserve(int rows) {
  const size_t pairs = static_cast<size_t>(rows) * used_;
  choices_.resize(pairs);
  row_of_pair_.resize(pairs);
  scores_ = allocate<float>(rows * score_stride_);
  input_ = allocate<ActivationBlock>(pairs * model_.width() / kBlock);
  hidden_ = allocate<ActivationBlock>(pairs * model_.hidden_width() / kBlock);
  outputs_ = allocate<float>(pairs * model_.width());
  if (!float_inputs_) return;
  values_ = allocate<float>(pairs * model_.width());
  hidden_values_ = allocate<float>(pairs * model_.hidden_width());
}

size_t ExpertStage::bytes() const {
  size_t total = bytes_of(input_) + bytes_of(hidden_) + choices_.capacity() * sizeof(Choice) +
                 row_of_pair_.capacity() * sizeof(int) + groups_.capacity() * sizeof(Group);
  for (const Buffer<float>* floats : {&scores_, &values_, &hidden_values_, &outputs_}) total += bytes_of(*floats);
  for (const Private& own : private_) total += own.chosen.capacity() + bytes_of(own.weights);
  return total;
}

void ExpertStage::run(int thread, const Layer& w, const Activations& x, int rows) {
  const std::array<const PackedMatrix*, 1> router = {w.router.get()};
  linear_stage(kernels_, team_, thread, router, x, rows, scores_.get(), score_stride_, false);
  team_.for_each(thread, rows, [&](int row) {
    choose(scores_.get() + row * score_stride_, choices_.data() + static_cast<size_t>(row) * used_, private_[thread]);
  });
  if (thread == 0) group(w, rows);
  team_.barrier(thread);
  gather(thread, x);
  gated(thread);
  down(thread);
}

// The experts with the largest scores, of equal ones the first; what is not a number is larger than nothing.
void ExpertStage::choose(const float* scores, Choice* choices, Private& own) const {
  std::fill(own.chosen.begin(), own.chosen.end(), 0);
  for (int i = 0; i < used_; ++i) {
    int best = -1;
    for (int e = 0; e < num_experts_; ++e)
      if (own.chosen[e] == 0 && (best < 0 || scores[e] > scores[best])) best = e;
    own.chosen[best] = 1;
  }
  float* p = own.weights.get();
  kernels_.exponentials(scores, kernels_.maximum(scores, num_experts_), kLog2e, num_experts_, p);
  for (int e = 0; e < num_experts_; ++e)
    if (model_.experts_normalize && own.chosen[e] == 0) p[e] = 0;
  const auto whole = static_cast<float>(kernels_.sum(p, (num_experts_ + 15) / 16 * 16));
  for (int e = 0; e < num_experts_; ++e)
    if (own.chosen[e] != 0) *choices++ = {e, p[e] / whole * model_.experts_scale, 0};
}

// Gives every choice its pair, those of an expert in a row, and every chosen expert its work.
void ExpertStage::group(const Layer& w, int rows) {
  num_pairs_ = rows * used_;
  groups_.clear();
  num_gated_items_ = num_down_items_ = 0;
  std::fill(next_pair_.begin(), next_pair_.end(), 0);
  for (int i = 0; i < num_pairs_; ++i) ++next_pair_[choices_[i].expert];
  const int units = model_.hidden_width() / kBlock;
  int first = 0;
  for (int e = 0; e < num_experts_; ++e) {
    const int count = next_pair_[e];
    next_pair_[e] = first;
    if (count == 0) continue;
    groups_.push_back({&w.experts[e], first, count, num_gated_items_, num_down_items_});
    num_gated_items_ += units * token_items(count);
    num_down_items_ += down_items(*w.experts[e].down, count);
    first += count;
  }
  for (int i = 0; i < num_pairs_; ++i) {
    choices_[i].pair = next_pair_[choices_[i].expert]++;
    row_of_pair_[choices_[i].pair] = i / used_;
  }
}

// Every pair its own copy of its row's input: what an expert multiplies is then in one piece.
void ExpertStage::gather(int thread, const Activations& x) {
  const auto width = static_cast<size_t>(model_.width());
  const size_t blocks = width / kBlock;
  team_.for_each(thread, num_pairs_, [&](int pair) {
    const auto row = static_cast<size_t>(row_of_pair_[pair]);
    std::copy_n(x.blocks + row * x.block_stride, blocks, input_.get() + pair * blocks);
    if (float_inputs_) std::copy_n(x.values + row * x.value_stride, width, values_.get() + pair * width);
  });
}

void ExpertStage::gated(int thread) {
  const auto width = static_cast<size_t>(model_.width());
  const Activations inputs = {Grain::kCoarse, input_.get(), width / kBlock, values_.get(), width};
  for (const Group& g : groups_)
    for (const PackedMatrix* w : {g.expert->gate.get(), g.expert->up.get()})
      observe(team_, thread, *w, inputs, g.first, g.count);
  team_.for_each(thread, num_gated_items_, [&](int item) {
    const Group& g = *std::prev(std::upper_bound(groups_.begin(), groups_.end(), item,
                                                 [](int i, const Group& group) { return i < group.first_gated_item; }));
    const int items = token_items(g.count);
    const int index = item - g.first_gated_item;
    const int begin = index % items * kItemTokens;
    gated_unit(kernels_, model_.activation, *g.expert->gate, *g.expert->up, inputs, index / items, g.first + begin,
               g.first + std::min(begin + kItemTokens, g.count), hidden_.get(), hidden_values_.get());
  });
}

void ExpertStage::down(int thread) {
  const auto width = static_cast<size_t>(model_.hidden_width());
  const Activations hidden = {Grain::kFine, hidden_.get(), width / kBlock, hidden_values_.get(), width};
  for (const Group& g : groups_) observe(team_, thread, *g.expert->down, hidden, g.first, g.count);
  team_.for_each(thread, num_down_items_, [&](int item) {
    const Group& g = *std::prev(std::upper_bound(groups_.begin(), groups_.end(), item,
                                                 [](int i, const Group& group) { return i < group.first_down_item; }));
    const PackedMatrix& w = *g.expert->down;
    const int items = token_items(g.count);
    const int index = item - g.first_down_item;
    const int chunk = panel_chunk(g.count);
    const int panel = index / items * chunk;
    const int begin = index % items * kItemTokens;
    float* out = outputs_.get() + static_cast<size_t>(g.first + begin) * model_.width() + kPanelRows * panel;
    multiply_panels(kernels_, w, panel, std::min(panel + chunk, w.num_panels()), hidden, g.first + begin,
                    std::min(kItemTokens, g.count - begin), out, model_.width(), false);
  });
}

void ExpertStage::sum(int row, float* y) const {
  std::fill_n(y, model_.d_model, 0.0F);
  for (int i = row * used_; i < (row + 1) * used_; ++i)
    kernels_.add_scaled(y, outputs_.get() + static_cast<size_t>(choices_[i].pair) * model_.width(), choices_[i].weight,
                        model_.d_model);
}

}  // namespace pennyweight
