#include "tiny_model.h"

#include <bit>
#include <span>

namespace pennyweight::test {

namespace {

// Where a source block keeps its float16 scales, and how large they are: exponent e stands for 2^(e-15) and more.
struct HalfScale {
  int offset;
  int exponent;
  bool negative;
};

std::vector<HalfScale> half_scales(Format format) {
  switch (format) {
    case Format::kQ4_0:
      return {{0, 9, false}};
    case Format::kQ4_1:
      return {{0, 9, false}, {2, 12, true}};
    case Format::kQ5_0:
      return {{0, 8, false}};
    case Format::kQ5_1:
      return {{0, 8, false}, {2, 12, true}};
    case Format::kQ8_0:
      return {{0, 5, false}};
    case Format::kQ4_K:
      return {{0, 4, false}, {2, 7, false}};
    case Format::kQ5_K:
      return {{0, 3, false}, {2, 7, false}};
    case Format::kQ6_K:
      return {{208, 1, false}};
    case Format::kQ2_K:
      return {{80, 6, false}, {82, 6, false}};
    case Format::kQ3_K:
      return {{108, 3, false}};
    case Format::kIQ4_NL:
      return {{0, 5, false}};
    case Format::kIQ4_XS:
      return {{0, 1, false}};
    default:
      return {};
  }
}

void put_half(uint8_t* p, bool negative, int exponent, int fraction) {
  const auto h = static_cast<uint16_t>((negative ? 0x8000 : 0) | exponent << 10 | fraction);
  std::memcpy(p, &h, 2);
}

void put_float(Random& random, Format format, uint8_t* p) {
  if (format == Format::kF16) {
    const bool negative = random.one_in(2);  // one after the other: arguments are evaluated in no fixed order
    const int exponent = random.between(8, 12);
    return put_half(p, negative, exponent, random.below(1024));
  }
  const auto bits = std::bit_cast<uint32_t>(random.normal() * 0.125F);
  if (format == Format::kF32) {
    std::memcpy(p, &bits, 4);
  } else {
    const auto upper = static_cast<uint16_t>(bits >> 16);
    std::memcpy(p, &upper, 2);
  }
}

std::vector<float> norm(Random& random, int n) {
  std::vector<float> v(n);
  for (float& x : v) x = 1.0F + 0.25F * random.uniform();
  return v;
}

// Matrices take the formats in turn.
std::shared_ptr<const Layer> layer(Random& random, const Model& m, std::span<const Format> formats, bool all_norms) {
  size_t turn = static_cast<size_t>(random.below(static_cast<int>(formats.size())));
  auto next = [&](int rows, int columns) {
    return random_matrix(random, formats[turn++ % formats.size()], rows, columns);
  };
  auto made = std::make_shared<Layer>();
  made->attention_norm = norm(random, m.d_model);
  made->feed_forward_norm = norm(random, m.d_model);
  if (all_norms) {
    made->query_norm = norm(random, m.head_dim);
    made->key_norm = norm(random, m.head_dim);
    made->post_attention_norm = norm(random, m.d_model);
    made->post_feed_forward_norm = norm(random, m.d_model);
  }
  made->query = next(m.query_size(), m.d_model);
  made->key = next(m.kv_size(), m.d_model);
  made->value = next(m.kv_size(), m.d_model);
  made->output = next(m.d_model, m.query_size());
  made->gate = next(m.d_ff, m.d_model);
  made->up = next(m.d_ff, m.d_model);
  made->down = next(m.d_model, m.d_ff);
  return made;
}

}  // namespace

MatrixPointer random_matrix(Random& random, Format format, int rows, int columns) {
  return std::make_shared<PackedMatrix>(random_source(random, format, rows, columns), format, rows, columns,
                                        std::span<const int>());
}

std::vector<double> rope(int pairs, double spread) {
  std::vector<double> frequencies;
  for (int i = 0; i < pairs; ++i) frequencies.push_back(1.0 / (1.0 + spread * i * i));
  return frequencies;
}

std::shared_ptr<const Model> random_model(Random& random, const Model& shapes, std::span<const Format> formats,
                                          Format embedding, bool all_norms) {
  auto m = std::make_shared<Model>(shapes);
  for (size_t i = 0; i < m->windows.size(); ++i) m->layers.push_back(layer(random, *m, formats, all_norms));
  m->embedding = random_matrix(random, embedding, m->vocab_size, m->d_model);
  m->head = m->embedding;
  m->final_norm = norm(random, m->d_model);
  return m;
}

std::vector<uint8_t> random_source(Random& random, Format format, int rows, int columns) {
  const FormatTraits& f = traits(format);
  std::vector<uint8_t> source(source_row_bytes(format, columns) * rows);
  for (size_t block = 0; block < source.size(); block += f.source_bytes) {
    uint8_t* p = source.data() + block;
    if (f.is_float()) {
      put_float(random, format, p);
      continue;
    }
    for (int i = 0; i < f.source_bytes; ++i) p[i] = static_cast<uint8_t>(random.below(256));
    for (const HalfScale& s : half_scales(format)) put_half(p + s.offset, s.negative, s.exponent, random.below(1024));
  }
  return source;
}

std::shared_ptr<const Model> tiny_llama() {
  Random random(101);
  Model m;
  m.vocab_size = 100;
  m.d_model = 64;
  m.num_heads = 8;
  m.num_kv_heads = 2;
  m.head_dim = 16;
  m.d_ff = 96;
  m.norm_eps = 1e-5F;
  m.attention_scale = 0.25;
  m.windows = {0, 0, 0};
  m.ropes = {rope(8, 3.0)};
  m.rope_of_layer = {0, 0, 0};
  const Format formats[] = {Format::kQ4_0, Format::kQ4_1, Format::kQ5_0, Format::kF16,
                            Format::kQ5_1, Format::kQ8_0, Format::kBF16, Format::kF32};
  return random_model(random, m, formats, Format::kQ8_0, false);
}

namespace {

Model gemma_shapes() {
  Model m;
  m.vocab_size = 70;
  m.d_model = 256;
  m.num_heads = 4;
  m.num_kv_heads = 1;
  m.head_dim = 64;
  m.d_ff = 256;
  m.norm_eps = 1e-6F;
  m.activation = Activation::kGeluTanh;
  m.attention_scale = 0.125;
  m.embedding_scale = 16;
  m.windows = {70, 0};
  m.ropes = {rope(32, 0.5), rope(20, 40.0)};  // the second turns only a part of each head
  m.rope_of_layer = {0, 1};
  return m;
}

}  // namespace

std::shared_ptr<const Model> tiny_gemma() {
  Random random(102);
  auto m = std::make_shared<Model>(gemma_shapes());
  const Format formats[] = {Format::kQ4_K, Format::kQ6_K, Format::kQ5_K};
  for (size_t i = 0; i < m->windows.size(); ++i) m->layers.push_back(layer(random, *m, formats, true));
  m->embedding = random_matrix(random, Format::kQ6_K, m->vocab_size, m->d_model);
  m->head = random_matrix(random, Format::kQ4_K, m->vocab_size, m->d_model);
  m->final_norm = norm(random, m->d_model);
  return m;
}

std::shared_ptr<const Model> tiny_low_bits() {
  Random random(105);
  const Format formats[] = {Format::kQ2_K, Format::kQ3_K, Format::kIQ4_XS, Format::kIQ4_NL};
  return random_model(random, gemma_shapes(), formats, Format::kQ3_K, true);
}

std::shared_ptr<const Model> tiny_odd() {
  Random random(103);
  auto m = std::make_shared<Model>();
  m->vocab_size = 83;
  m->d_model = 52;
  m->num_heads = 5;
  m->num_kv_heads = 1;
  m->head_dim = 23;
  m->d_ff = 101;
  m->norm_eps = 1e-5F;
  m->attention_scale = 0.2;
  m->windows = {0, 65};
  m->ropes = {rope(11, 1.0)};
  m->rope_of_layer = {0, 0};
  const Format formats[] = {Format::kF32, Format::kF16, Format::kBF16};
  for (size_t i = 0; i < m->windows.size(); ++i) m->layers.push_back(layer(random, *m, formats, i == 1));
  m->embedding = random_matrix(random, Format::kF16, m->vocab_size, m->d_model);
  m->head = random_matrix(random, Format::kF32, m->vocab_size, m->d_model);
  m->final_norm = norm(random, m->d_model);
  return m;
}

std::shared_ptr<const Model> tiny_mixed_widths() {
  Random random(104);
  auto m = std::make_shared<Model>();
  m->vocab_size = 61;
  m->d_model = 96;
  m->num_heads = 4;
  m->num_kv_heads = 2;
  m->head_dim = 40;
  m->d_ff = 100;
  m->norm_eps = 1e-5F;
  m->attention_scale = 0.15;
  m->windows = {0};
  m->ropes = {rope(20, 1.0)};
  m->rope_of_layer = {0};
  const Format blocks[] = {Format::kQ5_1, Format::kQ8_0, Format::kQ4_0};
  auto only = std::make_shared<Layer>(*layer(random, *m, {{Format::kF32}}, false));
  for (MatrixPointer* w : {&only->query, &only->key, &only->value, &only->output, &only->gate, &only->up})
    *w = random_matrix(random, blocks[random.below(3)], (*w)->rows(), (*w)->columns());
  m->layers = {only};
  m->embedding = random_matrix(random, Format::kQ8_0, m->vocab_size, m->d_model);
  m->head = m->embedding;
  m->final_norm = norm(random, m->d_model);
  return m;
}

}  // namespace pennyweight::test
