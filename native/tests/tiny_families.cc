#include "tiny_families.h"

#include "tiny_model.h"

namespace pennyweight::test {

namespace {

std::vector<float> bias(Random& random, int n) {
  std::vector<float> v = random.floats(n);
  for (float& x : v) x *= 0.25F;
  return v;
}

std::vector<float> norm(Random& random, int n) {
  std::vector<float> v = random.floats(n);
  for (float& x : v) x = 1.0F + 0.125F * x;
  return v;
}

// The model, each of whose layers `change` may still write.
template <class F>
std::shared_ptr<const Model> changed(const std::shared_ptr<const Model>& made, F change) {
  auto m = std::make_shared<Model>(*made);
  for (std::shared_ptr<const Layer>& layer : m->layers) {
    auto w = std::make_shared<Layer>(*layer);
    change(*w);
    layer = w;
  }
  return m;
}

// Experts in place of the feed-forward; their matrices take the formats in turn.
void put_experts(Random& random, const Model& m, int count, Format router, std::span<const Format> formats, Layer& w) {
  w.gate = w.up = w.down = nullptr;
  w.router = random_matrix(random, router, count, m.d_model);
  size_t turn = 0;
  auto next = [&](int rows, int columns) {
    return random_matrix(random, formats[turn++ % formats.size()], rows, columns);
  };
  for (int i = 0; i < count; ++i) {
    FeedForward expert;
    expert.gate = next(m.d_ff, m.d_model);
    expert.up = next(m.d_ff, m.d_model);
    expert.down = next(m.d_model, m.d_ff);
    w.experts.push_back(expert);
  }
}

}  // namespace

std::shared_ptr<const Model> tiny_olmo() {
  Random random(105);
  Model m;
  m.vocab_size = 77;
  m.d_model = 52;
  m.num_heads = 6;
  m.num_kv_heads = 2;
  m.head_dim = 22;
  m.d_ff = 101;
  m.norm_eps = 1e-5F;
  m.attention_scale = 0.2;
  m.residual_scale = 0.7F;
  m.windows = {0, 0, 0};
  m.ropes = {rope(11, 1.0)};
  m.rope_of_layer = {0, std::nullopt, 0};
  const Format formats[] = {Format::kF16, Format::kF32, Format::kBF16};
  return changed(random_model(random, m, formats, Format::kF16, true), [&](Layer& w) {
    w.attention_norm.clear();
    w.feed_forward_norm.clear();
    w.query_norm = norm(random, m.query_size());
    w.key_norm = norm(random, m.kv_size());
    w.query_bias = bias(random, m.query_size());
    w.key_bias = bias(random, m.kv_size());
    w.value_bias = bias(random, m.kv_size());
    w.output_bias = bias(random, m.d_model);
  });
}

std::shared_ptr<const Model> tiny_capped() {
  Random random(106);
  Model m;
  m.vocab_size = 5000;  // more than a thread caps at a time
  m.d_model = 64;
  m.num_heads = 4;
  m.num_kv_heads = 2;
  m.head_dim = 64;
  m.d_ff = 96;
  m.norm_eps = 1e-6F;
  m.activation = Activation::kGeluTanh;
  m.attention_scale = 0.25;
  m.embedding_scale = 8;
  m.attention_softcap = 3;
  m.logit_softcap = 9;
  m.logit_scale = 0.75F;
  m.windows = {70, 0};
  m.ropes = {rope(32, 0.5)};
  m.ropes[0].resize(28);
  m.ropes[0].resize(32);  // the last pairs have frequency 0
  m.rope_magnitudes = {1.25};
  m.rope_of_layer = {0, 0};
  const Format formats[] = {Format::kQ4_0, Format::kQ8_0, Format::kQ5_1};
  return changed(random_model(random, m, formats, Format::kQ8_0, false), [&](Layer& w) {
    w.query_bias = bias(random, m.query_size());
    w.key_bias = bias(random, m.kv_size());
    w.value_bias = bias(random, m.kv_size());
    w.post_attention_norm = norm(random, m.d_model);
    w.post_feed_forward_norm = norm(random, m.d_model);
  });
}

std::shared_ptr<const Model> tiny_experts() {
  Random random(107);
  Model m;
  m.vocab_size = 90;
  m.d_model = 64;
  m.num_heads = 4;
  m.num_kv_heads = 2;
  m.head_dim = 32;
  m.d_ff = 96;
  m.norm_eps = 1e-5F;
  m.attention_scale = 0.2;
  m.windows = {0, 0};
  m.ropes = {rope(16, 1.0)};
  m.rope_of_layer = {0, 0};
  m.experts_used = 2;
  m.experts_normalize = true;
  const Format formats[] = {Format::kQ4_0, Format::kQ8_0, Format::kQ4_1, Format::kQ5_0};
  return changed(random_model(random, m, formats, Format::kQ8_0, false),
                 [&](Layer& w) { put_experts(random, m, 6, Format::kF32, formats, w); });
}

std::shared_ptr<const Model> tiny_odd_experts() {
  Random random(108);
  Model m;
  m.vocab_size = 61;
  m.d_model = 96;
  m.num_heads = 3;
  m.num_kv_heads = 1;
  m.head_dim = 32;
  m.d_ff = 37;
  m.norm_eps = 1e-5F;
  m.attention_scale = 0.2;
  m.residual_scale = 0.8F;
  m.windows = {0};
  m.ropes = {rope(16, 1.0)};
  m.rope_of_layer = {0};
  m.experts_used = 3;
  m.experts_scale = 2.5F;
  const Format floats[] = {Format::kF16, Format::kF32, Format::kBF16};
  return changed(random_model(random, m, floats, Format::kQ8_0, true),
                 [&](Layer& w) { put_experts(random, m, 19, Format::kQ8_0, floats, w); });
}

}  // namespace pennyweight::test
