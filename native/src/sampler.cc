#include "pennyweight/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

namespace pennyweight {

namespace {

constexpr double kLog2e = 1.4426950408889634;
constexpr float kForbidden = -std::numeric_limits<float>::infinity();

int round_up(int n) { return (n + 15) / 16 * 16; }

// Falling value, then rising id.
bool before(const std::pair<float, int>& a, const std::pair<float, int>& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

// Sorts candidates of rising ids and values between 0 and 1 as `before` does, by their 30 bits from the lowest ten up:
// a flat distribution has thousands, for which comparing takes ten times as long.
void sort_falling(Candidates& candidates, Candidates& spare) {
  constexpr size_t kFew = 128, kDigits = 3, kBits = 10, kValues = 1 << kBits;
  if (candidates.size() < kFew) return std::sort(candidates.begin(), candidates.end(), before);
  auto digit = [](float value, size_t place) {
    return (~std::bit_cast<uint32_t>(value) >> place * kBits) % kValues;  // inverted: large values first
  };
  std::array<std::array<uint32_t, kValues>, kDigits> starts{};
  for (const auto& [value, id] : candidates)
    for (size_t place = 0; place < kDigits; ++place) ++starts[place][digit(value, place)];
  spare.resize(candidates.size());
  for (size_t place = 0; place < kDigits; ++place) {
    std::exclusive_scan(starts[place].begin(), starts[place].end(), starts[place].begin(), 0U);
    for (const auto& candidate : candidates) spare[starts[place][digit(candidate.first, place)]++] = candidate;
    candidates.swap(spare);
  }
}

// In runs that the compiler turns into vectors: an early exit at every element would be four times slower.
int lowest_maximum(const float* a, int n, float maximum) {
  constexpr int kRun = 64;
  int start = 0;
  for (; start + kRun <= n; start += kRun) {
    int hits = 0;
    for (int j = 0; j < kRun; ++j) hits += a[start + j] == maximum;
    if (hits > 0) break;
  }
  return static_cast<int>(std::find(a + start, a + n, maximum) - a);
}

// Makes impossible what the mask forbids; without a branch per token, for masks are as good as random.
void forbid(std::span<const uint32_t> mask, float* a, int n) {
  int start = 0;
  for (; start + 32 <= n; start += 32) {
    const uint32_t word = mask[start / 32];
    if (word == ~0U) continue;
    for (int j = 0; j < 32; ++j) a[start + j] = (word & 1U << j) != 0 ? a[start + j] : kForbidden;
  }
  for (int i = start; i < n; ++i)
    if ((mask[i / 32] >> (i % 32) & 1U) == 0) a[i] = kForbidden;
}

// First run of 16 whose running sum exceeds the target, then the first lane; the last possible token if none does.
int walk(const float* p, int n, double target, const KernelTable& kernels) {
  double sum = 0;
  int last = 0;
  for (int i = 0; i < n; i += 16) {
    const double run = kernels.sum(p + i, 16);
    if (run > 0) last = i;
    if (sum + run <= target) {
      sum += run;
      continue;
    }
    last = i;
    break;
  }
  int chosen = last;
  for (int i = last; i < std::min(last + 16, n); ++i) {
    if (p[i] <= 0) continue;
    chosen = i;
    sum += p[i];
    if (sum > target) break;
  }
  return chosen;
}

}  // namespace

void SamplingOptions::check(int vocab_size) const {
  auto require = [](bool ok, const std::string& message) {
    if (!ok) throw std::invalid_argument(message);
  };
  require(std::isfinite(temperature) && temperature >= 0, "temperature must be finite and at least 0");
  require(top_k >= 0, "top_k must be at least 0");
  require(top_p > 0 && top_p <= 1, "top_p must be above 0 and at most 1");
  require(min_p >= 0 && min_p <= 1, "min_p must be between 0 and 1");
  require(std::isfinite(repetition_penalty) && repetition_penalty > 0, "repetition_penalty must be positive");
  require(std::isfinite(presence_penalty) && std::isfinite(frequency_penalty), "penalties must be finite");
  require(min_tokens >= 0, "min_tokens must be at least 0");
  require(!top_logprobs || (*top_logprobs >= 0 && *top_logprobs <= 20), "top_logprobs must be 0 to 20");
  for (const auto& [token, bias] : logit_bias)
    require(token >= 0 && token < vocab_size && std::isfinite(bias),
            "logit_bias: token " + std::to_string(token) + " is outside the vocabulary of " +
                std::to_string(vocab_size) + ", or its bias is not finite");
  for (int token : end_tokens)
    require(token >= 0 && token < vocab_size, "end token " + std::to_string(token) + " is outside the vocabulary");
}

Sampler::Sampler(SamplingOptions options, int vocab_size, std::span<const int> prompt)
    : options_(std::move(options)), vocab_size_(vocab_size) {
  options_.check(vocab_size);
  if (options_.repetition_penalty != 1)
    for (int token : prompt)
      if (token >= 0 && token < vocab_size) seen_[token];
}

Chosen Sampler::choose(const KernelTable& kernels, const float* logits, std::span<const uint32_t> mask,
                       std::span<const int> ahead, SamplingScratch& scratch) const {
  require_finite(kernels, logits, vocab_size_);
  const size_t padded = round_up(vocab_size_);
  const uint32_t taken = taken_ + static_cast<uint32_t>(ahead.size());
  const float* a = logits;
  if (adjusts(mask, taken)) {
    scratch.adjusted.resize(padded);
    std::copy_n(logits, vocab_size_, scratch.adjusted.data());
    adjust(mask, ahead, scratch.adjusted.data());
    a = scratch.adjusted.data();
  }
  const float best = kernels.maximum(a, vocab_size_);
  if (best > std::numeric_limits<float>::max()) throw std::runtime_error("a bias or a penalty makes a logit infinite");
  if (best == kForbidden)
    throw std::runtime_error("no token is allowed: the grammar, the bias or min_tokens forbid all");
  Chosen chosen;
  chosen.token =
      options_.temperature == 0 ? lowest_maximum(a, vocab_size_, best) : draw(kernels, a, best, taken, scratch);
  if (options_.top_logprobs) {
    const float maximum = a == logits ? best : kernels.maximum(logits, vocab_size_);
    const double normalizer = log_sum_exp(kernels, logits, vocab_size_, maximum, scratch);
    chosen.logprob = static_cast<float>(logits[chosen.token] - normalizer);
    chosen.top = likeliest(kernels, logits, vocab_size_, *options_.top_logprobs, maximum, normalizer, scratch);
  }
  chosen.ends =
      std::find(options_.end_tokens.begin(), options_.end_tokens.end(), chosen.token) != options_.end_tokens.end();
  return chosen;
}

void Sampler::take(int token) {
  ++seen_[token];
  ++taken_;
}

bool Sampler::penalises() const {
  return options_.repetition_penalty != 1 || options_.presence_penalty != 0 || options_.frequency_penalty != 0;
}

bool Sampler::adjusts(std::span<const uint32_t> mask, uint32_t taken) const {
  return !mask.empty() || penalises() || !options_.logit_bias.empty() ||
         (static_cast<int>(taken) < options_.min_tokens && !options_.end_tokens.empty());
}

void Sampler::adjust(std::span<const uint32_t> mask, std::span<const int> ahead, float* a) const {
  if (penalises()) {
    Seen later;
    if (!ahead.empty()) later = seen_;
    for (int token : ahead) ++later[token];
    penalise(ahead.empty() ? seen_ : later, a);
  }
  for (const auto& [token, bias] : options_.logit_bias) a[token] += bias;
  if (!mask.empty()) forbid(mask, a, vocab_size_);
  if (static_cast<int>(taken_ + ahead.size()) < options_.min_tokens)
    for (int token : options_.end_tokens) a[token] = kForbidden;
}

void Sampler::penalise(const Seen& seen, float* a) const {
  for (const auto& [token, times] : seen) {
    if (options_.repetition_penalty != 1)
      a[token] = a[token] > 0 ? a[token] / options_.repetition_penalty : a[token] * options_.repetition_penalty;
    if (times > 0) a[token] -= options_.presence_penalty + options_.frequency_penalty * static_cast<float>(times);
    // Infinite less infinite: no comparison would find a largest logit.
    if (std::isnan(a[token])) throw std::runtime_error("a bias or a penalty makes a logit infinite");
  }
}

int Sampler::draw(const KernelTable& kernels, const float* a, float maximum, uint32_t taken,
                  SamplingScratch& scratch) const {
  const int padded = round_up(vocab_size_);
  scratch.probabilities.resize(padded);
  float* p = scratch.probabilities.data();
  // A temperature next to 0 must not make the factor infinite: 0 * inf is not a number.
  const double factor = std::min<double>(kLog2e / options_.temperature, std::numeric_limits<float>::max());
  kernels.exponentials(a, maximum, static_cast<float>(factor), vocab_size_, p);
  const double uniform = philox_uniform(options_.seed, options_.choice, taken);
  if (options_.top_k == 0 && options_.top_p == 1 && options_.min_p == 0)
    return walk(p, padded, uniform * kernels.sum(p, padded), kernels);

  const double total = gather(kernels, p, scratch);
  return draw_filtered(scratch.candidates, total, uniform);
}

// Collects every token the filters can keep, sorted, and returns the sum top_p refers to. The likeliest tokens are
// looked for first, so that few are sorted.
double Sampler::gather(const KernelTable& kernels, const float* p, SamplingScratch& scratch) const {
  constexpr float kAllPossible = 0x1p-126F;
  double total = kernels.sum(p, round_up(vocab_size_));
  // What min_p drops may count in the sum that top_p refers to, but only beside top_k.
  const float lowest = options_.top_k == 0 ? std::max(options_.min_p, kAllPossible) : kAllPossible;
  scratch.indices.resize(vocab_size_);
  std::span<const int> found;
  for (float threshold : {0x1p-4F, 0x1p-6F, 0x1p-8F, 0x1p-10F, 0x1p-12F, 0x1p-14F, 0x1p-17F, kAllPossible}) {
    threshold = std::max(threshold, lowest);
    const int count = kernels.at_least(p, vocab_size_, threshold, scratch.indices.data());
    found = std::span(scratch.indices.data(), count);
    if (threshold == lowest || enough(p, found, total)) break;
  }
  auto& candidates = scratch.candidates;
  candidates.clear();
  for (int i : found) candidates.emplace_back(p[i], i);
  const size_t kept = options_.top_k > 0 ? std::min<size_t>(options_.top_k, candidates.size()) : candidates.size();
  if (kept == candidates.size())
    sort_falling(candidates, scratch.spare);
  else
    std::partial_sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(kept), candidates.end(),
                      before);
  if (options_.top_k == 0) return total;
  candidates.resize(kept);
  total = 0;
  for (const auto& [value, id] : candidates) total += value;
  return total;
}

// Whether top_k or top_p keep none but the tokens found, which are the likeliest.
bool Sampler::enough(const float* p, std::span<const int> found, double total) const {
  if (options_.top_k > 0) return found.size() >= static_cast<size_t>(options_.top_k);
  std::array<double, 4> mass{};  // four sums, so that no addition waits for the one before it
  for (size_t i = 0; i < found.size(); ++i) mass[i % 4] += p[found[i]];
  return mass[0] + mass[1] + mass[2] + mass[3] > options_.top_p * total * (1 + 1e-9);
}

int Sampler::draw_filtered(Candidates& candidates, double total, double uniform) const {
  double sum = 0;
  size_t kept = 0;
  while (kept < candidates.size() && (kept == 0 || options_.top_p == 1 || sum < options_.top_p * total))
    sum += candidates[kept++].first;
  while (kept > 1 && candidates[kept - 1].first < options_.min_p) --kept;
  double mass = 0;
  for (size_t i = 0; i < kept; ++i) mass += candidates[i].first;
  sum = 0;
  for (size_t i = 0; i < kept; ++i) {
    sum += candidates[i].first;
    if (sum > uniform * mass) return candidates[i].second;
  }
  return candidates[kept - 1].second;
}

double philox_uniform(uint64_t seed, uint32_t choice, uint32_t n) {
  std::array<uint32_t, 4> c = {n, 0, choice, 0};
  auto k0 = static_cast<uint32_t>(seed);
  auto k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(a)};
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return ((c[0] >> 8) + 0.5) * 0x1p-24;
}

void require_finite(const KernelTable& kernels, const float* logits, int vocab) {
  if (!kernels.all_finite(logits, vocab))
    throw std::runtime_error("the model's output is not finite: its file is damaged or its numbers overflow");
}

std::vector<std::pair<int, float>> likeliest(const KernelTable& kernels, const float* logits, int vocab, int n,
                                             float maximum, double normalizer, SamplingScratch& scratch) {
  scratch.indices.resize(vocab);
  n = std::min(n, vocab);
  int count = n == 0 ? 0 : -1;
  for (float depth = 4; count < n; depth *= 4)  // nats below the largest; at last infinite
    count = kernels.at_least(logits, vocab, maximum - depth, scratch.indices.data());
  auto& candidates = scratch.candidates;
  candidates.clear();
  for (int i = 0; i < count; ++i) candidates.emplace_back(logits[scratch.indices[i]], scratch.indices[i]);
  std::partial_sort(candidates.begin(), candidates.begin() + n, candidates.end(), before);
  std::vector<std::pair<int, float>> top;
  for (int i = 0; i < n; ++i)
    top.emplace_back(candidates[i].second, static_cast<float>(candidates[i].first - normalizer));
  return top;
}

double log_sum_exp(const KernelTable& kernels, const float* logits, int n, float maximum, SamplingScratch& scratch) {
  const int padded = round_up(n);
  scratch.probabilities.resize(padded);
  kernels.exponentials(logits, maximum, static_cast<float>(kLog2e), n, scratch.probabilities.data());
  return maximum + std::log(kernels.sum(scratch.probabilities.data(), padded));
}

}  // namespace pennyweight
