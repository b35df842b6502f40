// Blocks made of floats: the same bytes on every machine, finite whatever goes in, and refused what has no blocks.
#include "pennyweight/quantize.h"

#include <cmath>
#include <stdexcept>

#include "pennyweight/matrix.h"
#include "tests.h"

namespace pennyweight::test {

namespace {

constexpr int kColumns = 256;

// Weights of every size a float has, and now and then what is no number.
std::vector<float> hostile_row(Random& random) {
  std::vector<float> row(kColumns);
  const int kind = random.below(8);
  const float scale = std::ldexp(1.0F, kind < 3 ? 0 : random.between(-149, 16));
  for (float& x : row) x = kind == 7 ? std::ldexp(random.normal(), random.between(-149, 15)) : random.normal() * scale;
  if (kind == 1) std::fill(row.begin() + 32, row.begin() + 96, 0.0F);
  if (kind == 2) std::fill(row.begin(), row.end(), random.normal());
  if (random.one_in(10)) row[random.below(kColumns)] = random.one_in(2) ? NAN : INFINITY;
  return row;
}

std::vector<float> hostile_importance(Random& random) {
  std::vector<float> importance(random.one_in(3) ? 0 : kColumns);
  for (float& x : importance) x = std::ldexp(std::fabs(random.normal()), random.between(-149, 60));
  if (!importance.empty() && random.one_in(4)) std::fill(importance.begin(), importance.end(), 0.0F);
  return importance;
}

std::span<const uint8_t> bytes_of(const std::vector<float>& row) {
  return {reinterpret_cast<const uint8_t*>(row.data()), row.size() * sizeof(float)};
}

void check_hostile(Report& report, Random& random, Format to) {
  const std::vector<float> row = hostile_row(random);
  const std::vector<float> importance = hostile_importance(random);
  bool fits = true;
  for (const float x : row)
    fits = fits && std::isfinite(x) && (std::fabs(x) <= 65504.0F || to == Format::kF32 || to == Format::kBF16);
  try {
    const std::vector<uint8_t> blocks = requantize(bytes_of(row), Format::kF32, to, kColumns, importance);
    std::vector<float> left(kColumns);
    PackedMatrix(blocks, to, 1, kColumns, {}).row(0, left.data());
    bool finite = true;
    for (const float x : left) finite = finite && std::isfinite(x);
    CHECK(report, fits && finite, traits(to).name);
  } catch (const std::invalid_argument&) {
    CHECK(report, !fits, traits(to).name);
  }
}

uint64_t checksum(const std::vector<uint8_t>& bytes) {
  uint64_t sum = 0xcbf29ce484222325U;  // FNV-1a
  for (const uint8_t byte : bytes) sum = (sum ^ byte) * 0x100000001b3U;
  return sum;
}

void check_bytes(Report& report, Format to, uint64_t expected) {
  Random random(31);
  const std::vector<float> rows = random.floats(8 * kColumns, 0.25F);
  std::vector<float> importance = random.floats(kColumns);
  for (float& x : importance) x *= x;
  const uint64_t found = checksum(requantize(bytes_of(rows), Format::kF32, to, kColumns, importance));
  CHECK(report, found == expected, std::string(traits(to).name) + ": checksum " + std::to_string(found) + "U");
}

}  // namespace

void test_quantize(Report& report, const Options& options) {
  Random random(77);
  for (int f = 0; f < kNumFormats; ++f)
    for (int i = 0; can_quantize(static_cast<Format>(f)) && i < (options.quick ? 100 : 1000); ++i)
      check_hostile(report, random, static_cast<Format>(f));
  check_bytes(report, Format::kQ4_0, 10754603475570012456U);
  check_bytes(report, Format::kQ4_1, 12605691063849397984U);
  check_bytes(report, Format::kQ5_1, 11008935419000427869U);
  check_bytes(report, Format::kQ8_0, 4863459837586310676U);
  check_bytes(report, Format::kQ4_K, 11702175004799807672U);
  check_bytes(report, Format::kQ6_K, 11355658893797219224U);
  check_bytes(report, Format::kIQ4_NL, 16493790265469181199U);
}

}  // namespace pennyweight::test
