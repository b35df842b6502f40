// The encoder: its kernels on every target, the rounding of weights, and whole vectors that equal committed checksums
// whatever the target, the threads and the company (docs/numerics.md, "Encoder").
#include "pennyweight/encoder.h"

#include <cmath>
#include <limits>
#include <stdexcept>

#include "pennyweight/similarity.h"
#include "streams.h"
#include "tests.h"
#include "tiny_model.h"

namespace pennyweight::test {

namespace {

constexpr int kWidth = 64;
constexpr int kMaxTokens = 70;
constexpr int kVocabulary = 50;
constexpr uint64_t kMeanChecksum = 2727611116566241181U;
constexpr uint64_t kFirstChecksum = 5360598820883727266U;

template <class Kernel>
void compare(Report& report, const std::string& what, Kernel kernel) {
  const std::vector<float> want = kernel(scalar());
  for (const KernelTable* target : vector_targets())
    CHECK(report, same_bits(want, kernel(*target)), std::string(target->name) + " " + what);
}

void check_layernorm(Report& report, Random& random) {
  for (const int n : {16, 48, 384}) {
    const std::vector<float> x = random.floats(n, 3.0F);
    const std::vector<float> weight = random.floats(n);
    const std::vector<float> bias = random.floats(n);
    auto run = [&](const KernelTable& k) {
      std::vector<float> y(n);
      k.layernorm(x.data(), weight.data(), bias.data(), 1e-12F, n, y.data());
      return y;
    };
    compare(report, "layernorm of " + std::to_string(n), run);
    double mean = 0;
    double variance = 0;
    for (const float v : x) mean += v / static_cast<double>(n);
    for (const float v : x) variance += (v - mean) * (v - mean) / n;
    const std::vector<float> y = run(scalar());
    for (int i = 0; i < n; ++i) {
      const double want = (x[i] - mean) / std::sqrt(variance + 1e-12) * weight[i] + bias[i];
      CHECK(report, std::fabs(y[i] - want) < 1e-5, "layernorm is what it is defined as");
    }
  }
}

void check_gelu(Report& report, Random& random) {
  std::vector<float> x = random.floats(64, 2.0F);
  const std::vector<float> edges = {0.0F, -0.0F, 1e-30F, -1e-30F, 6.0F, -6.0F, 14.0F, -14.0F, 1e30F, -1e30F};
  std::copy(edges.begin(), edges.end(), x.begin());
  auto run = [&](const KernelTable& k) {
    std::vector<float> y = x;
    k.gelu(y.data(), static_cast<int>(y.size()));
    return y;
  };
  compare(report, "gelu", run);
  const std::vector<float> y = run(scalar());
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = 0.5 * x[i] * std::erfc(-x[i] / std::sqrt(2.0));
    CHECK(report, std::fabs(y[i] - want) <= 1e-6 * std::fmax(1.0, std::fabs(want)), "gelu of " + std::to_string(x[i]));
  }
}

void check_attention(Report& report, Random& random, int count, int dim) {
  const auto n = static_cast<size_t>(count) * dim;
  const std::vector<float> q = random.floats(16 * static_cast<size_t>(dim));
  const std::vector<float> keys = random.floats(n);
  const std::vector<float> values = random.floats(n);
  constexpr float kFactor = 0.3F;
  auto run = [&](const KernelTable& k) {
    std::vector<float> scores(16 * static_cast<size_t>(count));
    std::vector<float> out(16 * static_cast<size_t>(dim));
    k.attend_all(q.data(), keys.data(), values.data(), count, dim, kFactor, scores.data(), out.data());
    return out;
  };
  const std::string what = "attention of " + std::to_string(count) + " keys of " + std::to_string(dim);
  compare(report, what, run);
  const std::vector<float> out = run(scalar());
  for (int lane = 0; lane < 16; lane += 5) {
    std::vector<double> p(count);
    double sum = 0;
    for (int j = 0; j < count; ++j) {
      double s = 0;
      for (int d = 0; d < dim; ++d) s += static_cast<double>(q[16 * d + lane]) * keys[j * dim + d];
      sum += p[j] = std::exp2(s * kFactor);
    }
    for (int d = 0; d < dim; ++d) {
      double want = 0;
      for (int j = 0; j < count; ++j) want += p[j] / sum * values[j * dim + d];
      CHECK(report, std::fabs(out[16 * d + lane] - want) < 1e-4, what);
    }
  }
}

void check_rounding(Report& report, Random& random) {
  const std::vector<float> x = random.floats(96, 0.05F);
  const auto* bytes = reinterpret_cast<const uint8_t*>(x.data());
  const std::vector<uint8_t> blocks = to_q8_0({bytes, 4 * x.size()}, Format::kF32);
  const PackedMatrix m(blocks, Format::kQ8_0, 1, 96, {});
  std::vector<float> back(96);
  m.row(0, back.data());
  for (size_t b = 0; b < 3; ++b) {
    float amax = 0;
    for (size_t i = 0; i < 32; ++i) amax = std::fmax(amax, std::fabs(x[32 * b + i]));
    for (size_t i = 0; i < 32; ++i)
      CHECK(report, std::fabs(x[32 * b + i] - back[32 * b + i]) <= amax / 127 * 0.51F, "half a step at most");
  }
  // Halves round to even: a scale halfway between 1 and the next half-precision number.
  std::vector<float> tie(32, 127.0F * (1.0F + 0x1p-11F));
  bytes = reinterpret_cast<const uint8_t*>(tie.data());
  const std::vector<uint8_t> block = to_q8_0({bytes, 128}, Format::kF32);
  CHECK(report, block[0] == 0x00 && block[1] == 0x3c, "ties of the scale go to even");
  CHECK(report, block[2] == 127, "the largest value is the largest byte");
}

Affine affine(Random& random, Format format, int rows, int columns) {
  const std::vector<uint8_t> source = random_source(random, format, rows, columns);
  auto weight = std::make_shared<PackedMatrix>(source, format, rows, columns, std::span<const int>());
  return {std::move(weight), random.floats(rows, 0.1F)};
}

Norm norm(Random& random) {
  Norm n = {random.floats(kWidth, 0.1F), random.floats(kWidth, 0.1F)};
  for (float& w : n.weight) w += 1.0F;
  return n;
}

std::shared_ptr<const EncoderModel> tiny_encoder(Pooling pooling) {
  Random random(103);
  const Format formats[] = {Format::kQ8_0, Format::kF16, Format::kQ4_0, Format::kQ5_1, Format::kF32};
  size_t turn = 0;
  auto next = [&](int rows, int columns) { return affine(random, formats[turn++ % 5], rows, columns); };
  auto m = std::make_shared<EncoderModel>();
  m->d_model = kWidth;
  m->num_heads = 2;
  m->d_ff = 96;
  m->norm_eps = 1e-12F;
  m->pooling = pooling;
  m->embedding = affine(random, Format::kQ8_0, kVocabulary, kWidth).weight;
  m->positions = affine(random, Format::kF32, kMaxTokens, kWidth).weight;
  m->token_type = random.floats(kWidth, 0.1F);
  m->embedding_norm = norm(random);
  for (int i = 0; i < 3; ++i) {
    auto layer = std::make_shared<EncoderLayer>();
    layer->query = next(kWidth, kWidth);
    layer->key = next(kWidth, kWidth);
    layer->value = next(kWidth, kWidth);
    layer->output = next(kWidth, kWidth);
    layer->attention_norm = norm(random);
    layer->up = next(m->d_ff, kWidth);
    layer->down = next(kWidth, m->d_ff);
    layer->output_norm = norm(random);
    m->layers.push_back(layer);
  }
  m->check();
  return m;
}

std::vector<float> encoded(Encoder& encoder, const std::vector<std::vector<int>>& texts) {
  std::vector<float> out(texts.size() * kWidth);
  encoder.encode(texts, out.data());
  return out;
}

// Texts of one to all positions, each alone as in the company of the others.
void check_encoder(Report& report, Pooling pooling, uint64_t expected, const std::vector<int>& thread_counts) {
  const std::shared_ptr<const EncoderModel> model = tiny_encoder(pooling);
  Random random(9);
  std::vector<std::vector<int>> texts;
  for (const int count : {5, 1, 17, kMaxTokens, 16, 33, 2}) {
    texts.emplace_back(count);
    for (int& token : texts.back()) token = random.below(kVocabulary);
  }
  for (const std::string& target : supported_targets()) {
    use_target(target);
    for (const int threads : thread_counts) {
      Encoder encoder(model, threads);
      const std::string what = target + ", " + std::to_string(threads) + " threads";
      const std::vector<float> together = encoded(encoder, texts);
      CHECK(report, checksum(together) == expected, what + ": checksum " + std::to_string(checksum(together)) + "U");
      for (size_t i = 0; i < texts.size(); ++i) {
        const auto begin = together.begin() + static_cast<std::ptrdiff_t>(i * kWidth);
        CHECK(report, same_bits(std::vector<float>(begin, begin + kWidth), encoded(encoder, {texts[i]})),
              what + ": text " + std::to_string(i) + " alone");
      }
      CHECK(report, encoded(encoder, {}).empty(), what + ": no texts");
    }
  }
  use_target(supported_targets().front());
}

template <class Call>
bool refuses(Call call) {
  try {
    call();
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}

void check_refusals(Report& report) {
  Encoder encoder(tiny_encoder(Pooling::kMean), 1);
  const std::vector<float> before = encoded(encoder, {{1, 2, 3}});
  CHECK(report, refuses([&] { encoded(encoder, {{}}); }), "an empty text");
  CHECK(report, refuses([&] { encoded(encoder, {{kVocabulary}}); }), "a token too large");
  CHECK(report, refuses([&] { encoded(encoder, {{-1}}); }), "a negative token");
  CHECK(report, refuses([&] { encoded(encoder, {std::vector<int>(kMaxTokens + 1)}); }), "a text too long");
  CHECK(report, same_bits(before, encoded(encoder, {{1, 2, 3}})), "a refusal changes nothing");
  std::vector<float> bad(32, std::numeric_limits<float>::infinity());
  const auto* bytes = reinterpret_cast<const uint8_t*>(bad.data());
  CHECK(report, refuses([&] { to_q8_0({bytes, 128}, Format::kF32); }), "a weight that is infinite");
  CHECK(report, refuses([&] { to_q8_0({bytes, 100}, Format::kF32); }), "half a block");
  CHECK(report, refuses([&] { to_q8_0({bytes, 128}, Format::kQ4_0); }), "what is rounded already");
  const std::vector<int> one = {1};
  CHECK(report, refuses([&] { combine(before, kWidth, one, kWidth + 1); }), "more dimensions than there are");
  CHECK(report, refuses([&] { combine(before, kWidth - 1, one, 3); }), "vectors of another width");
}

void check_combine(Report& report) {
  const std::vector<float> vectors = {3, 0, 1, 1, 4, 2};
  const std::vector<int> weights = {2, 1};
  const std::vector<float> two = combine(vectors, 3, weights, 2);  // (7, 4) scaled
  CHECK(report, two.size() == 2, "so many dimensions");
  CHECK(report, std::fabs(two[0] - 7 / std::sqrt(65.0)) < 1e-7 && std::fabs(two[1] - 4 / std::sqrt(65.0)) < 1e-7,
        "weighted, cut and scaled");
  const std::vector<float> nothing = combine(std::vector<float>(3), 3, std::vector<int>{1}, 3);
  CHECK(report, nothing == std::vector<float>(3), "nothing stays nothing");
}

void check_similarities(Report& report, Random& random) {
  constexpr int kNumVectors = 5, kValues = 64;
  const std::vector<float> query = random.floats(kValues), vectors = random.floats(kNumVectors * kValues);
  const std::vector<uint8_t> blocks =
      to_q8_0({reinterpret_cast<const uint8_t*>(vectors.data()), vectors.size() * 4}, Format::kF32);
  const std::vector<float> found = similarities(query, blocks);
  CHECK(report, found.size() == kNumVectors, "one product for each vector");
  for (int v = 0; v < kNumVectors; ++v) {
    double exact = 0, size = 0;
    for (int i = 0; i < kValues; ++i) {
      exact += static_cast<double>(query[i]) * vectors[v * kValues + i];
      size += std::fabs(static_cast<double>(query[i]) * vectors[v * kValues + i]);
    }
    CHECK(report, std::fabs(found[v] - exact) < 0.01 * size, "near the exact product");
  }
  CHECK(report, similarities(query, {}).empty(), "nothing is near nothing");
  CHECK(report, refuses([&] { similarities(query, {blocks.data(), 67}); }), "half a vector");
  CHECK(report, refuses([&] { similarities({query.data(), 33}, blocks); }), "a query of half a block");
}

}  // namespace

void test_encoder(Report& report, const Options& options) {
  Random random(8);
  check_layernorm(report, random);
  check_gelu(report, random);
  for (const int dim : {16, 32, 80})
    for (const int count : {1, 3, 8, 13, 64, 130})
      if (!options.quick || count < 64) check_attention(report, random, count, dim);
  check_rounding(report, random);
  const std::vector<int> threads = options.quick ? std::vector<int>{2} : std::vector<int>{1, 2, 3};
  check_encoder(report, Pooling::kMean, kMeanChecksum, threads);
  check_encoder(report, Pooling::kFirst, kFirstChecksum, threads);
  check_refusals(report);
  check_combine(report);
  check_similarities(report, random);
}

}  // namespace pennyweight::test
