// Choosing the next token (docs/numerics.md, "Sampling"). A sampler is the state of one choice: what it has taken, and
// a random counter that depends on nothing but seed, choice and position.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pennyweight/kernels.h"

namespace pennyweight {

struct SamplingOptions {
  uint64_t seed = 0;
  uint32_t choice = 0;
  float temperature = 1;
  int top_k = 0;
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::vector<std::pair<int, float>> logit_bias;
  std::vector<int> end_tokens;
  int min_tokens = 0;
  std::optional<int> top_logprobs;  // absent: no log-probabilities

  // Throws std::invalid_argument naming the value.
  void check(int vocab_size) const;
};

using Candidates = std::vector<std::pair<float, int>>;  // value, token

// Per-thread buffers of vocabulary size.
struct SamplingScratch {
  std::vector<float> adjusted;
  std::vector<float> probabilities;
  std::vector<int> indices;
  Candidates candidates;
  Candidates spare;

  size_t bytes() const {
    return (adjusted.capacity() + probabilities.capacity()) * sizeof(float) + indices.capacity() * sizeof(int) +
           (candidates.capacity() + spare.capacity()) * sizeof(candidates[0]);
  }
};

struct Chosen {
  int token = 0;
  bool ends = false;
  float logprob = 0;                       // if the options ask
  std::vector<std::pair<int, float>> top;  // if the options ask
};

class Sampler {
 public:
  Sampler(SamplingOptions options, int vocab_size, std::span<const int> prompt);

  const SamplingOptions& options() const { return options_; }

  // Chooses from raw logits what follows `ahead`, tokens that are not taken yet: so the places of a draft are chosen
  // side by side. `mask`: bit i of 32-bit words allows token i; empty allows all.
  // Throws std::runtime_error if the logits are not finite or the mask allows nothing.
  Chosen choose(const KernelTable& kernels, const float* logits, std::span<const uint32_t> mask,
                std::span<const int> ahead, SamplingScratch& scratch) const;

  // Counts a token, chosen here or not: penalties and the random counter go on.
  void take(int token);

 private:
  using Seen = std::unordered_map<int, int>;

  bool penalises() const;
  bool adjusts(std::span<const uint32_t> mask, uint32_t taken) const;
  void adjust(std::span<const uint32_t> mask, std::span<const int> ahead, float* a) const;
  void penalise(const Seen& seen, float* a) const;
  int draw(const KernelTable& kernels, const float* a, float maximum, uint32_t taken, SamplingScratch& scratch) const;
  double gather(const KernelTable& kernels, const float* p, SamplingScratch& scratch) const;
  bool enough(const float* p, std::span<const int> found, double total) const;
  int draw_filtered(Candidates& candidates, double total, double uniform) const;

  SamplingOptions options_;
  int vocab_size_;
  Seen seen_;  // tokens of prompt (if penalised) and output: times taken
  uint32_t taken_ = 0;
};

// Uniform in (0, 1) with 24 bits: Philox4x32-10 (Salmon et al., SC 2011), key = seed, counter = (n, 0, choice, 0).
double philox_uniform(uint64_t seed, uint32_t choice, uint32_t n);

// Throws std::runtime_error unless all are finite.
void require_finite(const KernelTable& kernels, const float* logits, int vocab);

// The n largest logits as (token, log-probability), falling; of equals the lower id first.
std::vector<std::pair<int, float>> likeliest(const KernelTable& kernels, const float* logits, int vocab, int n,
                                             float maximum, double normalizer, SamplingScratch& scratch);

// Natural log of the sum of exponentials.
double log_sum_exp(const KernelTable& kernels, const float* logits, int n, float maximum, SamplingScratch& scratch);

}  // namespace pennyweight
