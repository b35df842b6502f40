// Multiply-accumulates per second of processor time of the linear layers on one thread: from cache, which is what the
// kernels can do at best, and with more weights than the second-level cache holds.
//   pennyweight_linear_speed [TARGET...] [FORMAT...]
#include <cstdio>
#include <ctime>

#include "panels.h"

namespace pennyweight::test {

namespace {

// The best of some runs of 10 ms, in 10^9 a second.
double speed(const KernelTable& target, const Panels& w, Grain grain, const std::vector<ActivationBlock>& x,
             int tokens) {
  std::vector<float> out(static_cast<size_t>(w.count) * kPanelRows * tokens);
  const PanelRange range = w.range(0, w.count);
  const auto linear = target.linear[static_cast<int>(grain)][static_cast<int>(w.format)];
  double best = 0;
  for (int run = 0; run < 8; ++run) {
    const std::clock_t start = std::clock();
    double seconds = 0;
    double work = 0;
    while (seconds < 0.01) {
      linear(range, x.data(), w.columns / kBlock, tokens, out.data(), static_cast<size_t>(w.count) * kPanelRows, false);
      work += static_cast<double>(w.columns) * w.count * kPanelRows * tokens;
      seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    }
    best = work / seconds > best ? work / seconds : best;
  }
  return best / 1e9;
}

void measure(const FormatTraits& f, Format format, Grain grain, const KernelTable& target) {
  Random random(4);
  for (const int columns : {576, 1536}) {
    if (columns % (kBlock * f.blocks_per_super()) != 0) continue;
    const std::vector<ActivationBlock> x = random_activations(random, 96, columns / kBlock, grain);
    for (const int panels : {12, 3000}) {
      const Panels w = random_panels(random, format, columns, panels, Fill::kRandom, 0);
      std::printf("%-12s %-6s %-6s K=%-5d %4d panels", target.name, f.name, grain == Grain::kFine ? "fine" : "coarse",
                  columns, panels);
      for (const int tokens : {1, 2, 4, 8, 12, 16, 24, 32, 48, 96})
        std::printf(" %2d: %5.1f", tokens, speed(target, w, grain, x, tokens));
      std::printf("  GMAC/s, tokens: rate\n");
    }
  }
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  for (const std::string& n : names)
    if (n == name) return true;
  return false;
}

// Those of `all` that the command line names, or all if it names none.
std::vector<std::string> chosen(const std::vector<std::string>& arguments, const std::vector<std::string>& all) {
  std::vector<std::string> named;
  for (const std::string& name : all)
    if (contains(arguments, name)) named.push_back(name);
  return named.empty() ? all : named;
}

void run(const std::vector<std::string>& arguments) {
  std::vector<std::string> formats;
  for (const FormatTraits& f : kFormats)
    if (!f.is_float()) formats.emplace_back(f.name);
  formats = chosen(arguments, formats);
  for (const std::string& target : chosen(arguments, supported_targets()))
    for (int i = 0; i < kNumFormats; ++i)
      for (const Grain grain : {Grain::kCoarse, Grain::kFine})
        if (contains(formats, kFormats[i].name))
          measure(kFormats[i], static_cast<Format>(i), grain, kernels_of(target));
}

}  // namespace

}  // namespace pennyweight::test

int main(int argc, char** argv) { pennyweight::test::run({argv + 1, argv + argc}); }
