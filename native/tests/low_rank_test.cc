// The wide product of adapters: on every target the bits of a fine linear layer
// over the same weights in Q8_0 blocks, the columns beyond its rank being
// zeros.
#include "panels.h"
#include "tests.h"

namespace pennyweight::test {

namespace {

constexpr size_t kQuants = traits(Format::kQ8_0).quant_bytes();

// The panels of `w` in runs of 16 columns; an odd last half of `w` becomes
// zeros.
std::vector<uint8_t> in_runs(Panels& w, int num_runs) {
  std::vector<uint8_t> runs;
  for (int panel = 0; panel < w.count; ++panel)
    for (int run = 0; run < w.columns / 16; ++run) {
      uint8_t* block = w.bytes.data() + w.start + w.panel_bytes * panel +
                       traits(Format::kQ8_0).block_bytes() * static_cast<size_t>(run / 2);
      uint8_t* quants = block + kQuants / 2 * (run % 2);
      if (run >= num_runs) {
        std::memset(quants, 128, kQuants / 2);
        continue;
      }
      runs.insert(runs.end(), quants, quants + kQuants / 2);
      runs.insert(runs.end(), block + kQuants, block + traits(Format::kQ8_0).block_bytes());
    }
  return runs;
}

void check_shape(Report& report, Random& random, int num_runs, int num_panels) {
  Panels w = random_panels(random, Format::kQ8_0, (num_runs + 1) / 2 * kBlock, num_panels, Fill::kRandom, 0);
  const std::vector<uint8_t> runs = in_runs(w, num_runs);
  const size_t blocks = static_cast<size_t>(w.columns) / kBlock;
  const size_t stride = static_cast<size_t>(num_panels) * kPanelRows + 3;
  for (int tokens = 1; tokens <= 13; ++tokens) {
    const std::vector<ActivationBlock> x = random_activations(random, tokens, static_cast<int>(blocks), Grain::kFine);
    const std::vector<float> before = random.floats(stride * tokens);
    const int begin = random.below(num_panels);
    std::vector<float> want = before;
    scalar().linear[static_cast<int>(Grain::kFine)][static_cast<int>(Format::kQ8_0)](
        w.range(begin, num_panels), x.data(), blocks, tokens, want.data(), stride, true);
    for (const std::string& target : supported_targets()) {
      std::vector<float> got = before;
      kernels_of(target).low_rank({runs.data(), num_runs}, begin, num_panels, x.data(), blocks, tokens, got.data(),
                                  stride);
      CHECK(report, same_bits(want, got),
            target + " runs=" + std::to_string(num_runs) + " panels=" + std::to_string(num_panels - begin) +
                " tokens=" + std::to_string(tokens));
    }
  }
}

}  // namespace

void test_low_rank(Report& report, const Options&) {
  Random random(17);
  for (int num_runs = 1; num_runs <= 5; ++num_runs)
    for (const int num_panels : {1, 2, 3, 6}) check_shape(report, random, num_runs, num_panels);
}

}  // namespace pennyweight::test
