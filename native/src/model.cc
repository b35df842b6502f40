#include "pennyweight/model.h"

#include <cmath>
#include <stdexcept>
#include <string>

#include "require.h"

namespace pennyweight {

namespace {

void check_matrix(const std::string& name, const MatrixPointer& m, int rows, int columns) {
  require(m != nullptr, name + " is missing");
  require(m->rows() == rows && m->columns() == columns, name + " is " + std::to_string(m->rows()) + " x " +
                                                            std::to_string(m->columns()) + ", expected " +
                                                            std::to_string(rows) + " x " + std::to_string(columns));
}

void check_vector(const char* name, const std::vector<float>& v, int size) {
  require(v.size() == static_cast<size_t>(size),
          std::string(name) + " has " + std::to_string(v.size()) + " values, expected " + std::to_string(size));
}

void check_optional(const char* name, const std::vector<float>& v, int size) {
  if (!v.empty()) check_vector(name, v, size);
}

void check_norms(const Model& model, const Layer& layer) {
  require(layer.attention_norm.empty() == layer.feed_forward_norm.empty(),
          "attention_norm and feed_forward_norm come together");
  require(layer.query_norm.empty() == layer.key_norm.empty(), "query_norm and key_norm come together");
  check_optional("attention_norm", layer.attention_norm, model.d_model);
  check_optional("feed_forward_norm", layer.feed_forward_norm, model.d_model);
  check_optional("post_attention_norm", layer.post_attention_norm, model.d_model);
  check_optional("post_feed_forward_norm", layer.post_feed_forward_norm, model.d_model);
  const bool whole = model.norms_projections(layer);
  check_optional("query_norm", layer.query_norm, whole ? model.query_size() : model.head_dim);
  check_optional("key_norm", layer.key_norm, whole ? model.kv_size() : model.head_dim);
}

void check_feed_forward(const std::string& where, const Model& model, const FeedForward& w) {
  check_matrix(where + "gate", w.gate, model.d_ff, model.d_model);
  check_matrix(where + "up", w.up, model.d_ff, model.d_model);
  check_matrix(where + "down", w.down, model.d_model, model.d_ff);
}

void check_experts(const Model& model, const Layer& layer) {
  const size_t count = model.layers.front()->experts.size();
  require(layer.experts.size() == count && static_cast<size_t>(model.experts_used) <= count,
          "a layer has " + std::to_string(layer.experts.size()) + " experts, the first has " + std::to_string(count) +
              ", and " + std::to_string(model.experts_used) + " are used");
  check_matrix("router", layer.router, static_cast<int>(count), model.d_model);
  for (size_t i = 0; i < count; ++i) check_feed_forward("expert " + std::to_string(i) + ": ", model, layer.experts[i]);
}

void check_layer(const Model& model, const Layer& layer) {
  check_norms(model, layer);
  check_optional("query_bias", layer.query_bias, model.query_size());
  check_optional("key_bias", layer.key_bias, model.kv_size());
  check_optional("value_bias", layer.value_bias, model.kv_size());
  check_optional("output_bias", layer.output_bias, model.d_model);
  check_matrix("query", layer.query, model.query_size(), model.d_model);
  check_matrix("key", layer.key, model.kv_size(), model.d_model);
  check_matrix("value", layer.value, model.kv_size(), model.d_model);
  check_matrix("output", layer.output, model.d_model, model.query_size());
  if (model.experts_used > 0)
    check_experts(model, layer);
  else
    check_feed_forward("", model, {layer.gate, layer.up, layer.down});
}

}  // namespace

std::vector<const PackedMatrix*> Layer::matrices() const {
  std::vector<const PackedMatrix*> all;
  for (const MatrixPointer* m : {&query, &key, &value, &output, &gate, &up, &down, &router})
    if (*m != nullptr) all.push_back(m->get());
  for (const FeedForward& expert : experts)
    for (const MatrixPointer* m : {&expert.gate, &expert.up, &expert.down}) all.push_back(m->get());
  return all;
}

size_t Model::weight_bytes() const {
  size_t total = embedding->nbytes() + (head == embedding ? 0 : head->nbytes());
  for (const auto& layer : layers)
    for (const PackedMatrix* m : layer->matrices()) total += m->nbytes();
  return total;
}

void Model::check_constants() const {
  require(vocab_size > 0 && num_heads > 0 && num_kv_heads > 0 && num_heads % num_kv_heads == 0,
          "vocab_size, num_heads and num_kv_heads must be positive, num_heads a multiple of num_kv_heads");
  require(d_model > 0 && d_ff > 0,
          "d_model and d_ff must be positive, got " + std::to_string(d_model) + " and " + std::to_string(d_ff));
  require(head_dim > 0 && head_dim <= kMaxHeadDim,
          "head_dim must be 1 to " + std::to_string(kMaxHeadDim) + ", got " + std::to_string(head_dim));
  require(!layers.empty() && windows.size() == layers.size() && rope_of_layer.size() == layers.size(),
          "windows and rope_of_layer need one entry per layer");
  require(norm_eps > 0 && std::isfinite(norm_eps), "norm_eps must be positive and finite");
  require(std::isfinite(attention_scale) && std::isfinite(embedding_scale) && std::isfinite(residual_scale) &&
              std::isfinite(logit_scale) && std::isfinite(experts_scale),
          "scales must be finite");
  require(experts_used >= 0, "experts_used is negative: " + std::to_string(experts_used));
  for (double cap : {attention_softcap, logit_softcap})
    require(cap == 0 || (cap >= 1e-3 && cap <= 1e6),
            "a soft cap must be 0 or from 0.001 to 1000000, got " + std::to_string(cap));
}

void Model::check_ropes() const {
  for (int window : windows) require(window >= 0, "a window is negative: " + std::to_string(window));
  for (std::optional<int> rope : rope_of_layer)
    require(!rope || (*rope >= 0 && *rope < static_cast<int>(ropes.size())),
            "rope_of_layer names rope " + std::to_string(rope.value_or(0)) + " of " + std::to_string(ropes.size()));
  require(rope_magnitudes.empty() || rope_magnitudes.size() == ropes.size(),
          "rope_magnitudes has " + std::to_string(rope_magnitudes.size()) + " entries for " +
              std::to_string(ropes.size()) + " ropes");
  for (double magnitude : rope_magnitudes) require(std::isfinite(magnitude), "a rope magnitude is not finite");
  for (const auto& rope : ropes)
    require(!rope.empty() && 2 * rope.size() <= static_cast<size_t>(head_dim),
            "a rope has " + std::to_string(rope.size()) + " frequencies for heads of " + std::to_string(head_dim));
  for (const auto& rope : ropes)
    for (double frequency : rope) require(std::isfinite(frequency), "a rope frequency is not finite");
}

void Model::check() const {
  check_constants();
  check_ropes();
  check_matrix("embedding", embedding, vocab_size, d_model);
  check_matrix("head", head, vocab_size, d_model);
  check_vector("final_norm", final_norm, d_model);
  for (const auto& layer : layers) require(layer != nullptr, "a layer is missing");
  for (const auto& layer : layers) check_layer(*this, *layer);
}

}  // namespace pennyweight
