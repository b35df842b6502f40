// Linear layers: every target against the scalar one bit by bit, and the scalar one against the definition.
#include "panels.h"
#include "tests.h"

namespace pennyweight::test {

namespace {

struct Shape {
  int columns;
  int panels;
};

std::vector<Shape> shapes(const FormatTraits& f, bool quick) {
  if (f.super_scales) return quick ? std::vector<Shape>{{256, 2}} : std::vector<Shape>{{256, 3}, {512, 1}, {1536, 1}};
  if (quick) return {{32, 1}, {96, 2}};
  return {{32, 1}, {64, 3}, {288, 2}, {576, 1}};
}

std::string describe(const KernelTable& target, const Panels& w, Grain grain, int tokens) {
  return std::string(target.name) + " " + traits(w.format).name + (grain == Grain::kFine ? " fine" : " coarse") +
         " K=" + std::to_string(w.columns) + " panels=" + std::to_string(w.count) + " tokens=" + std::to_string(tokens);
}

// Runs a target over panels [begin, count) into rows wider than needed, which it must not touch.
std::vector<float> run(const KernelTable& target, const Panels& w, Grain grain, const std::vector<ActivationBlock>& x,
                       const std::vector<float>& floats, int tokens, bool accumulate) {
  const int begin = w.count > 1 ? 1 : 0;
  const size_t stride = static_cast<size_t>(w.count - begin) * kPanelRows + 5;
  std::vector<float> out(stride * tokens);
  for (size_t i = 0; i < out.size(); ++i) out[i] = 0.25F * static_cast<float>(i % 13);
  const PanelRange range = w.range(begin, w.count);
  if (traits(w.format).is_float())
    target.linear_float[static_cast<int>(w.format)](range, floats.data(), w.columns + 3, tokens, out.data(), stride,
                                                    accumulate);
  else
    target.linear[static_cast<int>(grain)][static_cast<int>(w.format)](range, x.data(), w.columns / kBlock, tokens,
                                                                       out.data(), stride, accumulate);
  return out;
}

void check_definition(Report& report, const Panels& w, Grain grain, const std::vector<ActivationBlock>& x, int tokens) {
  const std::vector<float> out = run(scalar(), w, grain, x, {}, tokens, false);
  const int begin = w.count > 1 ? 1 : 0;
  const size_t stride = static_cast<size_t>(w.count - begin) * kPanelRows + 5;
  for (int t = 0; t < tokens; ++t) {
    for (int r = 0; r < (w.count - begin) * kPanelRows; ++r) {
      const ActivationBlock* token = x.data() + static_cast<size_t>(t) * (w.columns / kBlock);
      const float want = defined_row(w, begin + r / 16, r % 16, token, grain);
      CHECK(report, same_bits(want, out[stride * t + r]),
            describe(scalar(), w, grain, tokens) + " row " + std::to_string(r));
    }
  }
}

void check_shape(Report& report, Random& random, Format format, Grain grain, Shape shape, Fill fill, bool quick) {
  const size_t misalignments[] = {0, 2, 4, 32, 34};
  const size_t misalignment = format == Format::kF32 ? 4 : misalignments[random.below(5)];
  const Panels w = random_panels(random, format, shape.columns, shape.panels, fill, misalignment);
  const int most = quick ? 13 : 33;
  const std::vector<ActivationBlock> x = random_activations(random, most, shape.columns / kBlock, grain);
  const std::vector<float> floats = random.floats(static_cast<size_t>(most) * (shape.columns + 3));
  if (!traits(format).is_float()) check_definition(report, w, grain, x, 2);
  for (int tokens = 1; tokens <= most; ++tokens) {
    const bool accumulate = tokens % 2 == 0;
    const std::vector<float> want = run(scalar(), w, grain, x, floats, tokens, accumulate);
    for (const KernelTable* target : vector_targets())
      CHECK(report, same_bits(want, run(*target, w, grain, x, floats, tokens, accumulate)),
            describe(*target, w, grain, tokens));
  }
}

}  // namespace

void test_linear(Report& report, const Options& options) {
  Random random(1);
  for (int i = 0; i < kNumFormats; ++i) {
    const auto format = static_cast<Format>(i);
    for (const Shape& shape : shapes(traits(format), options.quick)) {
      for (const Grain grain : {Grain::kCoarse, Grain::kFine}) {
        check_shape(report, random, format, grain, shape, Fill::kRandom, options.quick);
        if (traits(format).is_float()) break;
        check_shape(report, random, format, grain, shape, Fill::kZeros, true);
        check_shape(report, random, format, grain, shape, Fill::kOnes, true);
      }
    }
  }
}

}  // namespace pennyweight::test
