// An immutable decoder-only transformer: shapes, constants and packed weights.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "pennyweight/matrix.h"

namespace pennyweight {

using MatrixPointer = std::shared_ptr<const PackedMatrix>;

struct FeedForward {
  MatrixPointer gate;  // [d_ff, d_model]
  MatrixPointer up;
  MatrixPointer down;  // [d_model, d_ff]
};

// A vector that is empty is not there: its operation is left out.
struct Layer {
  std::vector<float> attention_norm;          // [d_model]
  std::vector<float> query_norm;              // [head_dim]; or [num_heads * head_dim]: all heads are one vector
  std::vector<float> key_norm;                // [head_dim]; or [num_kv_heads * head_dim]
  std::vector<float> post_attention_norm;     // [d_model]
  std::vector<float> feed_forward_norm;       // [d_model]
  std::vector<float> post_feed_forward_norm;  // [d_model]
  std::vector<float> query_bias;              // of the rows of each matrix
  std::vector<float> key_bias;
  std::vector<float> value_bias;
  std::vector<float> output_bias;
  MatrixPointer query;  // [num_heads * head_dim, d_model]
  MatrixPointer key;    // [num_kv_heads * head_dim, d_model]
  MatrixPointer value;
  MatrixPointer output;  // [d_model, num_heads * head_dim]
  MatrixPointer gate;    // [d_ff, d_model]
  MatrixPointer up;
  MatrixPointer down;  // [d_model, d_ff]
  // In place of the three above where the model has experts.
  MatrixPointer router;              // [experts, d_model]
  std::vector<FeedForward> experts;  // d_ff is the width of each

  // All matrices that the layer has.
  std::vector<const PackedMatrix*> matrices() const;
};

struct Model {
  int vocab_size = 0;
  int d_model = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int d_ff = 0;
  float norm_eps = 0;
  Activation activation = Activation::kSilu;
  double attention_scale = 0;
  float embedding_scale = 1;
  float residual_scale = 1;        // of attention's and feed-forward's output
  float logit_scale = 1;           // before the cap
  double attention_softcap = 0;    // 0: none
  double logit_softcap = 0;        // 0: none
  int experts_used = 0;            // of a row; 0: layers have no experts
  bool experts_normalize = false;  // weights of the used add up to the scale
  float experts_scale = 1;
  std::vector<int> windows;                       // per layer, 0: full attention
  std::vector<std::vector<double>> ropes;         // inverse frequencies
  std::vector<double> rope_magnitudes;            // of cosines and sines; empty: 1
  std::vector<std::optional<int>> rope_of_layer;  // none: queries and keys are not rotated
  std::vector<std::shared_ptr<const Layer>> layers;
  MatrixPointer embedding;        // [vocab_size, d_model]
  std::vector<float> final_norm;  // [d_model]
  MatrixPointer head;             // [vocab_size, d_model]; the embedding if tied

  int group() const { return num_heads / num_kv_heads; }
  int query_size() const { return num_heads * head_dim; }
  int kv_size() const { return num_kv_heads * head_dim; }
  // Queries and keys are normed with all heads of a row as one vector, not head by head.
  bool norms_projections(const Layer& layer) const {
    return layer.query_norm.size() > static_cast<size_t>(head_dim) ||
           layer.key_norm.size() > static_cast<size_t>(head_dim);
  }
  // Rows of activations are as long as the panels that take them; what is beyond the values is zeros.
  int width() const { return padded_columns(d_model); }
  int query_width() const { return padded_columns(query_size()); }
  int hidden_width() const { return padded_columns(d_ff); }
  int padded_vocab() const { return head->padded_rows(); }
  size_t weight_bytes() const;
  // Throws std::invalid_argument naming the first value or shape that does not fit.
  void check() const;

 private:
  void check_constants() const;
  void check_ropes() const;
};

}  // namespace pennyweight
