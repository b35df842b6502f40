// Norms, quantisation, gates, rotation and the vector parts of sampling: every target against the scalar one, and the
// edges where rounding, tails and magnitudes go wrong.
#include <cmath>
#include <limits>

#include "tests.h"

namespace pennyweight::test {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Runs `kernel(target) -> vector` on every target and compares.
template <class Kernel>
void compare(Report& report, const std::string& what, Kernel kernel) {
  const auto want = kernel(scalar());
  for (const KernelTable* target : vector_targets())
    CHECK(report, same_bits(want, kernel(*target)), std::string(target->name) + " " + what);
}

std::vector<uint8_t> quantized(const KernelTable& target, const std::vector<float>& x, Grain grain) {
  std::vector<ActivationBlock> blocks(x.size() / kBlock);
  target.quantize(x.data(), static_cast<int>(x.size()), grain, blocks.data());
  std::vector<uint8_t> bytes(blocks.size() * sizeof(ActivationBlock));
  std::memcpy(bytes.data(), blocks.data(), bytes.size());
  return bytes;
}

// Scales, sums, then the values.
std::vector<float> quantized_head(const KernelTable& target, const std::vector<float>& x, int group) {
  std::vector<int8_t> q(padded_head(static_cast<int>(x.size())));
  const size_t groups = (x.size() + group - 1) / group;
  std::vector<int32_t> sums(groups);
  std::vector<float> result(groups);
  target.quantize_head(x.data(), static_cast<int>(x.size()), group, q.data(), result.data(), sums.data());
  for (int32_t sum : sums) result.push_back(static_cast<float>(sum));
  for (int8_t v : q) result.push_back(v);
  return result;
}

// A block whose values fall on ties: amax 127 makes the scale 1.
std::vector<float> ties() {
  std::vector<float> x;
  for (int i = 0; i < kBlock; ++i) x.push_back(static_cast<float>(i) * 4 - 63.5F);
  x[5] = -127.0F;
  return x;
}

void check_quantize(Report& report, Random& random) {
  std::vector<std::vector<float>> cases = {std::vector<float>(64, 0.0F), ties(), random.floats(576)};
  for (const float scale : {1e-38F, 9e-31F, 1.1e-30F, 1e-20F, 1e20F, 8e37F}) cases.push_back(random.floats(64, scale));
  for (const std::vector<float>& x : cases) {
    for (const Grain grain : {Grain::kCoarse, Grain::kFine})
      compare(report, "quantize", [&](const KernelTable& k) { return quantized(k, x, grain); });
    for (const int group : {16, 32, 48, 1024})
      compare(report, "quantize_head", [&](const KernelTable& k) { return quantized_head(k, x, group); });
    for (const size_t n : {1, 15, 23, 32}) {
      const std::vector<float> head(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(n));
      std::vector<float> filled(padded_head(static_cast<int>(n)));
      std::copy(head.begin(), head.end(), filled.begin());
      CHECK(report, same_bits(quantized_head(scalar(), head, 32), quantized_head(scalar(), filled, 32)), "short head");
      compare(report, "quantize_head", [&](const KernelTable& k) { return quantized_head(k, head, 32); });
    }
  }
  std::vector<ActivationBlock> block(1);
  scalar().quantize(ties().data(), kBlock, Grain::kCoarse, block.data());
  for (int i = 0; i < kBlock; ++i)
    CHECK(report, block[0].q[i] == static_cast<int>(std::nearbyint(ties()[i])), "ties go to even");
}

// What is not a number has no defined result; it must neither trap nor disturb a neighbour.
void check_not_numbers(Report& report, Random& random) {
  std::vector<const KernelTable*> all = vector_targets();
  all.push_back(&scalar());
  for (const float bad : {kNaN, kInfinity, -kInfinity}) {
    for (const KernelTable* target : all) {
      std::vector<float> x = random.floats(96);
      x[0] = x[17] = x[40] = bad;
      const std::vector<float> last(x.begin() + 64, x.end());
      for (const Grain grain : {Grain::kCoarse, Grain::kFine}) {
        const std::vector<uint8_t> bytes = quantized(*target, x, grain);
        const std::vector<uint8_t> want = quantized(scalar(), last, grain);
        CHECK(report, std::memcmp(bytes.data() + 2 * want.size(), want.data(), want.size()) == 0, target->name);
      }
      quantized_head(*target, x, 32);
      std::vector<float> y(96);
      target->gate(Activation::kGeluTanh, x.data(), x.data(), 96, y.data());
      target->exponentials(x.data(), 1.0F, 1.0F, 96, y.data());
      target->rmsnorm(x.data(), last.data(), 1e-5F, 32, y.data());
    }
  }
}

void check_norm(Report& report, Random& random) {
  for (const int n : {1, 15, 16, 23, 48, 52, 64, 576, 640, 1001, 1536}) {
    for (const float scale : {0.0F, 1e-20F, 1.0F, 1e4F}) {
      const std::vector<float> x = random.floats(n, scale);
      const std::vector<float> weight = random.floats(n);
      compare(report, "rmsnorm", [&](const KernelTable& k) {
        std::vector<float> y = x;
        k.rmsnorm(y.data(), weight.data(), 1e-5F, n, y.data());
        return y;
      });
      compare(report, "add", [&](const KernelTable& k) {
        std::vector<float> y = x;
        k.add(y.data(), weight.data(), n);
        return y;
      });
      compare(report, "add_scaled", [&](const KernelTable& k) {
        std::vector<float> y = x;
        k.add_scaled(y.data(), weight.data(), 0.22F, n);
        return y;
      });
      for (const double cap : {0.0, 30.0})
        compare(report, "scale_and_cap", [&](const KernelTable& k) {
          std::vector<float> y = x;
          k.scale_and_cap(y.data(), 1.3F, cap, n);
          return y;
        });
    }
  }
}

// The cap is the hyperbolic tangent up to a few units of its last place, and never passed.
void check_cap(Report& report) {
  for (const float cap : {1.0F, 30.0F, 50.0F}) {
    std::vector<float> x;
    for (int i = -2000; i <= 2000; ++i) x.push_back(cap * static_cast<float>(i) * 0.005F);
    std::vector<float> y = x;
    scalar().scale_and_cap(y.data(), 1.0F, cap, static_cast<int>(y.size()));
    for (size_t i = 0; i < x.size(); ++i)
      CHECK(report, std::abs(y[i] - cap * std::tanh(x[i] / cap)) <= 3e-7F * cap && std::abs(y[i]) <= cap,
            "cap " + std::to_string(cap) + " of " + std::to_string(x[i]));
    CHECK(report, y[2000] == 0.0F, "the cap of nothing");
  }
}

void check_gate(Report& report, Random& random) {
  for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh}) {
    for (const float scale : {1e-3F, 1.0F, 10.0F, 1e3F, 1e12F}) {
      const std::vector<float> g = random.floats(256, scale);
      const std::vector<float> u = random.floats(256);
      compare(report, "gate", [&](const KernelTable& k) {
        std::vector<float> h(256);
        k.gate(activation, g.data(), u.data(), 256, h.data());
        return h;
      });
    }
  }
}

void check_rotate(Report& report, Random& random) {
  for (int half = 1; half <= 70; ++half) {
    const std::vector<float> x = random.floats(2 * static_cast<size_t>(half));
    const std::vector<float> c = random.floats(half);
    const std::vector<float> s = random.floats(half);
    std::vector<float> want = x;
    for (int i = 0; i < half; ++i) {
      want[i] = std::fma(x[i], c[i], -(x[half + i] * s[i]));
      want[half + i] = std::fma(x[half + i], c[i], x[i] * s[i]);
    }
    auto rotated = [&](const KernelTable& k) {
      std::vector<float> y = x;
      k.rotate(y.data(), c.data(), s.data(), half);
      return y;
    };
    CHECK(report, same_bits(want, rotated(scalar())), "rotate, half " + std::to_string(half));
    compare(report, "rotate", rotated);
  }
}

std::vector<float> exponentials(const KernelTable& target, const std::vector<float>& x, float maximum, float factor) {
  const int n = static_cast<int>(x.size());
  std::vector<float> p((n + 15) / 16 * 16 + 16, 7.0F);  // the last 16 must stay
  target.exponentials(x.data(), maximum, factor, n, p.data());
  return p;
}

void check_sampling(Report& report, Random& random) {
  for (int n = 1; n <= 70; ++n) {
    std::vector<float> x = random.floats(n, 30.0F);
    x[random.below(n)] = -kInfinity;  // what a mask forbids
    x[random.below(n)] = 131.0F;
    const float largest = scalar().maximum(x.data(), n);
    CHECK(report, largest == 131.0F, "maximum of " + std::to_string(n));
    compare(report, "maximum", [&](const KernelTable& k) { return std::vector<float>{k.maximum(x.data(), n)}; });
    for (const float factor : {0.01F, 1.44269502F, 100.0F}) {
      const std::vector<float> p = exponentials(scalar(), x, largest, factor);
      for (int i = 0; i < n; ++i)
        CHECK(report, (x[i] == -kInfinity) == (p[i] == 0.0F) || factor > 1, "what is forbidden");
      for (size_t i = n; i < p.size() - 16; ++i) CHECK(report, p[i] == 0.0F, "tail of " + std::to_string(n));
      CHECK(report, p[p.size() - 16] == 7.0F && p.back() == 7.0F, "beyond the end of " + std::to_string(n));
      compare(report, "exponentials", [&](const KernelTable& k) { return exponentials(k, x, largest, factor); });
      compare(report, "sum",
              [&](const KernelTable& k) { return std::vector<double>{k.sum(p.data(), static_cast<int>(p.size()))}; });
    }
  }
}

std::vector<int> at_least(const KernelTable& target, const std::vector<float>& x, float threshold) {
  std::vector<int> indices(x.size());
  indices.resize(target.at_least(x.data(), static_cast<int>(x.size()), threshold, indices.data()));
  return indices;
}

void check_at_least(Report& report, Random& random) {
  for (int n = 1; n <= 70; ++n) {
    std::vector<float> x = random.floats(n);
    x[random.below(n)] = kNaN;
    x[random.below(n)] = -kInfinity;
    for (const float threshold : {-kInfinity, -0.5F, 0.0F, x[0], 2.0F}) {
      std::vector<int> want;
      for (int i = 0; i < n; ++i)
        if (x[i] >= threshold) want.push_back(i);
      CHECK(report, at_least(scalar(), x, threshold) == want, "at_least of " + std::to_string(n));
      compare(report, "at_least", [&](const KernelTable& k) { return at_least(k, x, threshold); });
    }
  }
}

}  // namespace

void test_elementwise(Report& report, const Options&) {
  Random random(3);
  check_quantize(report, random);
  check_not_numbers(report, random);
  check_norm(report, random);
  check_gate(report, random);
  check_cap(report);
  check_rotate(report, random);
  check_sampling(report, random);
  check_at_least(report, random);
  for (const KernelTable* target : vector_targets()) CHECK(report, target->peak(10) == 10.0 * 12 * 64, target->name);
}

}  // namespace pennyweight::test
