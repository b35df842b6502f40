// What a damaged or hostile model file can hand to native code: wrong sizes are refused by std::invalid_argument, and
// any bytes at all (scales that are not numbers, infinite, all ones) pack, multiply and decode without undefined
// behaviour. A row whose logits are not finite says so. Meant for the address and undefined-behaviour sanitizers.
#include <climits>
#include <numeric>
#include <stdexcept>

#include "pennyweight/linear.h"
#include "streams.h"
#include "tests.h"
#include "tiny_families.h"
#include "tiny_model.h"

namespace pennyweight::test {

namespace {

// Pairs of bytes a source is filled with: as float16, quiet NaN, infinities, the largest, the least and a subnormal;
// as float32, all-ones is a NaN too.
constexpr uint16_t kPatterns[] = {0x0000, 0xffff, 0x7e00, 0xfe01, 0x7c00, 0xfc00,
                                  0x7bff, 0xfbff, 0x0001, 0x7f80, 0x8080};
constexpr int kNumFills = static_cast<int>(std::size(kPatterns)) + 2;

// Fill 0 and 1 are random bytes, and random bytes with patterns among them; the others are one pattern throughout.
std::vector<uint8_t> hostile_source(Random& random, int fill, size_t bytes) {
  std::vector<uint8_t> source(bytes);
  for (uint8_t& byte : source) byte = static_cast<uint8_t>(random.below(256));
  for (size_t i = 0; fill > 0 && i + 1 < bytes; i += 2) {
    if (fill == 1 && !random.one_in(4)) continue;
    const uint16_t pattern = kPatterns[fill == 1 ? random.below(static_cast<int>(std::size(kPatterns))) : fill - 2];
    std::memcpy(source.data() + i, &pattern, 2);
  }
  return source;
}

// A shape as an untrusted header could name it, and whether a matrix can be made of it.
struct Shape {
  int rows;
  int columns;
  size_t bytes;
  std::vector<int> row_map;
  bool valid;
};

Shape hostile_shape(Random& random, Format format) {
  const FormatTraits& f = traits(format);
  Shape s = {random.between(1, 40),
             f.is_float() ? random.between(1, 99) : f.source_columns * random.between(1, 3),
             0,
             {},
             true};
  const size_t row_bytes = source_row_bytes(format, s.columns);
  s.bytes = row_bytes * s.rows;
  if (random.one_in(2)) {
    const int source_rows = random.between(1, 40);
    s.bytes = row_bytes * source_rows;
    for (int i = 0; i < s.rows; ++i) s.row_map.push_back(random.below(source_rows));
  }
  constexpr int kExtremes[] = {0, -1, INT_MIN, INT_MAX, INT_MAX - 31, -32, -256};
  const int extreme = kExtremes[random.below(static_cast<int>(std::size(kExtremes)))];
  s.valid = false;
  switch (random.below(9)) {
    case 0:
      s.rows = extreme;
      break;
    case 1:
      s.columns = extreme;
      break;
    case 2:
      s.columns += f.is_float() ? 1 : random.between(1, f.source_columns - 1);
      s.valid = f.is_float() && s.bytes % source_row_bytes(format, s.columns) == 0 && !s.row_map.empty();
      if (s.valid) s.row_map.assign(s.rows, 0);
      break;
    case 3:
      s.bytes -= row_bytes > 1 ? random.between(1, static_cast<int>(row_bytes) - 1) : 1;
      break;
    case 4:
      s.bytes = 0;
      break;
    case 5:
      s.row_map.assign(s.rows + random.between(1, 2), 0);
      break;
    case 6:
      s.row_map.assign(s.rows, 0);
      s.row_map[random.below(s.rows)] = random.one_in(2) ? static_cast<int>(s.bytes / row_bytes) : extreme;
      s.valid = s.row_map == std::vector<int>(s.rows, 0);  // the extreme was 0
      break;
    default:
      s.valid = true;
  }
  return s;
}

// Every kernel over the matrix, from activations that are not numbers either.
void multiply(Random& random, const PackedMatrix& w, const KernelTable& kernels, int tokens) {
  const auto columns = static_cast<size_t>(w.padded_columns());
  std::vector<float> x = random.floats(columns * tokens);
  const std::vector<uint8_t> hostile = hostile_source(random, random.below(kNumFills), columns * 4);
  std::memcpy(x.data(), hostile.data(), hostile.size());  // the first token
  const size_t stride = columns / kBlock;
  std::vector<float> out(static_cast<size_t>(w.padded_rows()) * tokens);
  for (const Grain grain : {Grain::kCoarse, Grain::kFine}) {
    std::vector<ActivationBlock> blocks(stride * tokens);
    for (int t = 0; t < tokens; ++t)
      kernels.quantize(x.data() + columns * t, w.padded_columns(), grain, blocks.data() + stride * t);
    multiply_panels(kernels, w, 0, w.num_panels(), {grain, blocks.data(), stride, x.data(), columns}, 0, tokens,
                    out.data(), w.padded_rows(), false);
  }
}

void check_shape(Report& report, Random& random, Format format, const Shape& s) {
  const std::vector<uint8_t> source = hostile_source(random, random.below(kNumFills), s.bytes);
  const std::string what = std::string(traits(format).name) + " " + std::to_string(s.rows) + " x " +
                           std::to_string(s.columns) + " from " + std::to_string(s.bytes) + " bytes, row map of " +
                           std::to_string(s.row_map.size());
  bool refused = false;
  try {
    const PackedMatrix w(source, format, s.rows, s.columns, s.row_map);
    std::vector<float> row(s.columns);
    for (int i = 0; i < s.rows; ++i) w.row(i, row.data());
    for (const std::string& target : supported_targets()) multiply(random, w, kernels_of(target), random.between(1, 5));
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  CHECK(report, refused != s.valid, what);
}

MatrixPointer spoiled(Random& random, int fill, const MatrixPointer& w) {
  const std::vector<uint8_t> source =
      hostile_source(random, fill, source_row_bytes(w->format(), w->columns()) * w->rows());
  return std::make_shared<PackedMatrix>(source, w->format(), w->rows(), w->columns(), std::span<const int>());
}

std::vector<float> spoiled(Random& random, int fill, const std::vector<float>& norm) {
  std::vector<float> values(norm.size());
  const std::vector<uint8_t> source = hostile_source(random, fill, norm.size() * 4);
  if (!source.empty()) std::memcpy(values.data(), source.data(), source.size());
  return values;
}

// The same decoder with every matrix's bytes replaced, and some norms'.
std::shared_ptr<const Model> spoiled(Random& random, int fill, const Model& sound) {
  auto m = std::make_shared<Model>(sound);
  for (std::shared_ptr<const Layer>& layer : m->layers) {
    auto w = std::make_shared<Layer>(*layer);
    std::vector<MatrixPointer*> matrices = {&w->query, &w->key, &w->value, &w->output,
                                            &w->gate,  &w->up,  &w->down,  &w->router};
    for (FeedForward& expert : w->experts) matrices.insert(matrices.end(), {&expert.gate, &expert.up, &expert.down});
    for (MatrixPointer* matrix : matrices)
      if (*matrix != nullptr) *matrix = spoiled(random, fill, *matrix);
    for (std::vector<float>* norm : {&w->attention_norm, &w->feed_forward_norm, &w->query_norm, &w->key_norm,
                                     &w->query_bias, &w->key_bias, &w->value_bias, &w->output_bias})
      if (random.one_in(4)) *norm = spoiled(random, fill, *norm);
    layer = w;
  }
  m->embedding = spoiled(random, fill, m->embedding);
  m->head = random.one_in(2) ? m->embedding : spoiled(random, fill, sound.head);
  return m;
}

// A prompt over two pages, then single tokens: each answers with tokens of the vocabulary, or says why it has none.
void check_decoding(Report& report, Random& random, const std::shared_ptr<const Model>& model,
                    const std::string& what) {
  Decoder decoder(model, 4, 2);
  SamplingOptions options;
  options.temperature = random.one_in(2) ? 0 : 1;
  options.top_logprobs = 3;
  const int slot = decoder.open_sampler(options, {});
  std::vector<int> tokens = random_tokens(random, *model, 67);
  for (int position = 0; position < 70; position += static_cast<int>(tokens.size()), tokens.resize(1)) {
    PlanRow row = row_of(tokens, position, page_run(0, 2), Logits::kAll);
    row.targets = row.tokens;
    row.hidden = true;
    row.sampler = slot;
    const RowResult result = run_plan(decoder, {row})[0][0];
    CHECK(report, result.tokens.empty() != result.error.empty(), what + ": neither a token nor a reason");
    for (const int token : result.tokens)
      CHECK(report, token >= 0 && token < model->vocab_size, what + ": token " + std::to_string(token));
  }
}

}  // namespace

void test_hostile_weights(Report& report, const Options& options) {
  Random random(1717);
  for (int f = 0; f < kNumFormats; ++f)
    for (int i = 0; i < (options.quick ? 60 : 300); ++i)
      check_shape(report, random, static_cast<Format>(f), hostile_shape(random, static_cast<Format>(f)));
  const std::shared_ptr<const Model> models[] = {tiny_llama(), tiny_gemma(), tiny_low_bits(),
                                                 tiny_odd(),   tiny_olmo(),  tiny_experts()};
  for (const std::string& target : supported_targets()) {
    use_target(target);
    for (const auto& model : models)
      for (int fill = 0; fill < kNumFills; ++fill)
        check_decoding(report, random, spoiled(random, fill, *model), target + ", fill " + std::to_string(fill));
  }
  use_target(supported_targets().front());
}

}  // namespace pennyweight::test
