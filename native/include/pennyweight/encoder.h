// A text encoder of BERT's kind: learned positions, post-norm layers with biases, GELU, attention of every token to
// every token of its own text (Devlin et al., 2019; https://arxiv.org/abs/1810.04805).
//
// The texts of a call share every matrix product; no bit of a text depends on its company, on threads or on the
// instruction set (docs/numerics.md, "Encoder").
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "pennyweight/linear.h"
#include "pennyweight/model.h"
#include "pennyweight/team.h"

namespace pennyweight {

// y = W x + b
struct Affine {
  MatrixPointer weight;
  std::vector<float> bias;
};

struct Norm {
  std::vector<float> weight;
  std::vector<float> bias;
};

struct EncoderLayer {
  Affine query;  // [d_model, d_model], as key, value and output
  Affine key;
  Affine value;
  Affine output;
  Norm attention_norm;
  Affine up;    // [d_ff, d_model]
  Affine down;  // [d_model, d_ff]
  Norm output_norm;
};

// What stands for a text: the mean of its tokens' states, or the state of its first token.
enum class Pooling : uint8_t { kMean, kFirst };

struct EncoderModel {
  int d_model = 0;
  int num_heads = 0;
  int d_ff = 0;
  float norm_eps = 0;
  Pooling pooling = Pooling::kMean;
  MatrixPointer embedding;        // [vocabulary, d_model]
  MatrixPointer positions;        // [longest text, d_model]
  std::vector<float> token_type;  // [d_model], added to every token
  Norm embedding_norm;
  std::vector<std::shared_ptr<const EncoderLayer>> layers;

  int head_dim() const { return d_model / num_heads; }
  int max_tokens() const { return positions->rows(); }
  size_t weight_bytes() const;
  // Throws std::invalid_argument naming the first value or shape that does not fit.
  void check() const;
};

class Encoder {
 public:
  Encoder(std::shared_ptr<const EncoderModel> model, int num_threads);
  ~Encoder();

  const EncoderModel& model() const { return *model_; }
  int num_threads() const { return team_.size(); }
  double cpu_seconds() const { return team_.cpu_seconds(); }
  const char* target() const { return kernels_.name; }

  // out[i * d_model ..] = the pooled state of texts[i], not normalised. Callers take turns.
  // Throws std::invalid_argument for a text that is empty or too long, or a token outside the vocabulary.
  void encode(std::span<const std::vector<int>> texts, float* out);

 private:
  struct Row {
    int token;
    int position;
  };
  struct Text {
    int first_row;
    int count;
  };
  struct Scratch;  // of one thread

  void prepare(std::span<const std::vector<int>> texts);
  void run(int thread, float* out);
  void embed(int thread);
  void layer(int thread, const EncoderLayer& w);
  void attend(int thread);
  void attend_head(const Text& text, int head, Scratch& scratch);
  void pool(int thread, float* out);
  // Calls f(row) on rows of the batch, and ends with a barrier.
  template <class F>
  void each_row(int thread, F&& f);

  std::shared_ptr<const EncoderModel> model_;
  const KernelTable& kernels_;
  std::mutex mutex_;  // of everything below
  std::vector<Row> rows_;
  std::vector<Text> texts_;
  int capacity_ = 0;
  bool float_inputs_ = false;       // some matrix is of a float format
  std::vector<float> table_;        // [longest text][d_model] position + token type
  Buffer<float> x_;                 // [rows][d_model] residual stream
  Buffer<float> qkv_;               // [rows][query | key | value]
  Buffer<float> mixed_;             // [rows][d_model] attention output
  Buffer<float> hidden_;            // [rows][d_ff]
  Buffer<ActivationBlock> input_;   // [rows][d_model / 32]
  Buffer<ActivationBlock> blocks_;  // [rows][d_ff / 32]
  std::vector<std::unique_ptr<Scratch>> scratch_;
  Team team_;  // last: its threads end before what they use
};

// Rounds float weights to Q8_0 blocks: per 32 values a half-precision scale of amax / 127 and bytes.
// `source` holds F32, F16 or BF16 values; their number is a multiple of 32.
std::vector<uint8_t> to_q8_0(std::span<const uint8_t> source, Format format);

// The first `dimensions` values of the weighted sum of `vectors` (each of `width` values), scaled to length 1.
// Sums run in double, in order. All zero if the sum is.
std::vector<float> combine(std::span<const float> vectors, int width, std::span<const int> weights, int dimensions);

}  // namespace pennyweight
