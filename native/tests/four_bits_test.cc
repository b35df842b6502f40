// Keys and values on their way into four bits: rotation and codes by their definition, every target against the scalar
// one.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "tests.h"

namespace pennyweight::test {

namespace {

// Runs `kernel(target) -> vector` on every target and compares.
template <class Kernel>
void compare(Report& report, const std::string& what, Kernel kernel) {
  const auto want = kernel(scalar());
  for (const KernelTable* target : vector_targets())
    CHECK(report, same_bits(want, kernel(*target)), std::string(target->name) + " " + what);
}

// Runs of `run` elements by the definition: sums and differences of what is 1, 2, 4 ... apart.
std::vector<float> defined_hadamard(std::vector<float> x, size_t run) {
  for (size_t width = 1; width < run; width *= 2)
    for (size_t i = 0; i < x.size(); ++i) {
      if ((i / width) % 2 != 0) continue;
      const float a = x[i];
      const float b = x[i + width];
      x[i] = a + b;
      x[i + width] = a - b;
    }
  for (float& v : x) v *= 1.0F / std::sqrt(static_cast<float>(run));
  return x;
}

void check_hadamard(Report& report, Random& random) {
  for (const auto& [head_dim, run] : std::vector<std::pair<int, int>>{
           {16, 16}, {32, 32}, {48, 16}, {64, 64}, {80, 16}, {96, 32}, {112, 16}, {128, 128}, {160, 32}, {256, 256}}) {
    for (const float scale : {0.0F, 1e-20F, 1.0F, 1e12F}) {
      const std::vector<float> x = random.floats(head_dim, scale);
      auto rotated = [&](const KernelTable& k, const std::vector<float>& from) {
        std::vector<float> y = from;
        k.hadamard(y.data(), head_dim);
        return y;
      };
      const std::vector<float> y = rotated(scalar(), x);
      CHECK(report, same_bits(defined_hadamard(x, run), y), "hadamard of " + std::to_string(head_dim));
      compare(report, "hadamard", [&](const KernelTable& k) { return rotated(k, x); });
      const std::vector<float> back = rotated(scalar(), y);
      for (int i = 0; i < head_dim; ++i)
        CHECK(report, std::abs(back[i] - x[i]) <= 1e-6F * scale, "hadamard is its own inverse");
    }
  }
}

// Codes, then scales.
std::vector<float> quantized_head_4(const KernelTable& target, const std::vector<float>& x, int group) {
  std::vector<int8_t> codes(x.size());
  std::vector<float> scales((x.size() + group - 1) / group);
  target.quantize_head_4(x.data(), static_cast<int>(x.size()), group, codes.data(), scales.data());
  std::vector<float> result(codes.begin(), codes.end());
  result.insert(result.end(), scales.begin(), scales.end());
  return result;
}

float tree(float* lanes) {
  for (int width = 8; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  return lanes[0];
}

// The scale of one group, whose codes go to `codes`.
float defined_group(const float* x, int n, float* codes) {
  constexpr float kMagnitudes[8] = {6, 19, 32, 46, 61, 78, 98, 124};
  float amax = 0;
  for (int i = 0; i < n; ++i) amax = std::max(amax, std::abs(x[i]));
  const float inverse = amax < 1e-30F ? 0.0F : 127.0F / amax;
  float products[16] = {};
  float squares[16] = {};
  for (int i = 0; i < n; ++i) {
    const float y = x[i] * inverse;
    int m = 0;
    while (m < 7 && std::abs(y) >= 0.5F * (kMagnitudes[m] + kMagnitudes[m + 1])) ++m;
    const float level = y >= 0 ? kMagnitudes[m] : -kMagnitudes[m];
    codes[i] = static_cast<float>(y >= 0 ? 8 + m : 7 - m);
    products[i % 16] = std::fma(y, level, products[i % 16]);
    squares[i % 16] = std::fma(level, level, squares[i % 16]);
  }
  const float scale = tree(products) / tree(squares) * (amax < 1e-30F ? 0.0F : amax / 127.0F);
  auto bits = std::bit_cast<uint32_t>(scale);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000U;
  return std::bit_cast<float>(bits);
}

void check_quantize_4(Report& report, Random& random) {
  for (const float scale : {0.0F, 1e-38F, 9e-31F, 1.1e-30F, 1e-20F, 1.0F, 1e20F, 8e37F}) {
    std::vector<float> x = random.floats(80, scale);
    x[3] = -0.0F;
    for (const int group : {16, 32, 80}) {
      std::vector<float> want(80);
      for (int first = 0; first < 80; first += group)
        want.push_back(defined_group(x.data() + first, std::min(group, 80 - first), want.data() + first));
      CHECK(report, same_bits(want, quantized_head_4(scalar(), x, group)), "codes of " + std::to_string(scale));
      compare(report, "quantize_head_4", [&](const KernelTable& k) { return quantized_head_4(k, x, group); });
    }
  }
  // In units of the largest, 127, these lie in the middle between two levels: the outer one is taken.
  const std::vector<float> middles = {127,  12.5F,  25.5F,  39,  53.5F,  69.5F,  88,  111,
                                      -127, -12.5F, -25.5F, -39, -53.5F, -69.5F, -88, -111};
  const std::vector<float> codes = quantized_head_4(scalar(), middles, 16);
  const std::vector<float> want = {15, 9, 10, 11, 12, 13, 14, 15, 0, 6, 5, 4, 3, 2, 1, 0};
  CHECK(report, std::equal(want.begin(), want.end(), codes.begin()), "middles");
}

// What is not a number has no defined result; it must not trap.
void check_not_numbers(Random& random) {
  std::vector<const KernelTable*> all = vector_targets();
  all.push_back(&scalar());
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const KernelTable* target : all) {
      std::vector<float> x = random.floats(96);
      x[0] = x[40] = bad;
      quantized_head_4(*target, x, 32);
      target->hadamard(x.data(), 96);
    }
}

}  // namespace

void test_four_bits(Report& report, const Options&) {
  Random random(11);
  check_hadamard(report, random);
  check_quantize_4(report, random);
  check_not_numbers(random);
}

}  // namespace pennyweight::test
