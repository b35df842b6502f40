#include "attention_case.h"

#include <cmath>

namespace pennyweight::test {

namespace {

void fill_page(Random& random, uint8_t* head, int head_dim) {
  const bool extreme = random.one_in(4);
  for (int i = 0; i < 64 * head_dim; ++i)
    head[i] = static_cast<uint8_t>(extreme ? 255 * random.below(2) : random.below(256));
  auto* values = reinterpret_cast<int8_t*>(head + PageHead::values(head_dim));
  for (int i = 0; i < 64 * head_dim; ++i)
    values[i] = static_cast<int8_t>(extreme ? random.one_in(2) ? -128 : 127 : random.between(-127, 127));
  for (int i = 0; i < 64 * (head_groups(head_dim) + 1); ++i) {  // key scales, then value scales
    float scale = (1.5F + random.uniform()) * 0.01F;
    if (random.one_in(16)) scale = random.one_in(2) ? 0.0F : 1e-32F;
    std::memcpy(head + PageHead::key_scales(head_dim) + 4 * i, &scale, 4);
  }
}

constexpr int kCodeLevels[16] = {-124, -98, -78, -61, -46, -32, -19, -6, 6, 19, 32, 46, 61, 78, 98, 124};

void fill_packed_page(Random& random, uint8_t* head, int head_dim) {
  const bool extreme = random.one_in(4);
  for (size_t i = 0; i < FourBitPageHead::bytes(head_dim); ++i)
    head[i] = static_cast<uint8_t>(extreme ? 15 * random.below(2) + 240 * random.below(2) : random.below(256));
  for (int i = 0; i < 64 * (head_groups(head_dim) + 1); ++i) {  // upper halves of key scales, then of value scales
    float scale = (1.5F + random.uniform()) * 0.01F;
    if (random.one_in(16)) scale = random.one_in(2) ? 0.0F : 1e-32F;
    uint32_t bits;
    std::memcpy(&bits, &scale, 4);
    const auto upper = static_cast<uint16_t>(bits >> 16);
    std::memcpy(head + FourBitPageHead::key_scales(head_dim) + 2 * i, &upper, 2);
  }
}

int half_byte(uint8_t byte, int upper) { return upper != 0 ? byte >> 4 : byte & 15; }

// The int8 page that an int4 page stands for.
void define_page(const uint8_t* packed, int head_dim, uint8_t* head) {
  for (int t = 0; t < 64; ++t) {
    for (int d = 0; d < head_dim; ++d) {
      const uint8_t key = packed[(t / 16) * head_dim * 8 + (d / 8) * 64 + (t % 16) * 4 + d % 4];
      head[(t / 16) * head_dim * 16 + (d / 4) * 64 + (t % 16) * 4 + d % 4] =
          static_cast<uint8_t>(128 + kCodeLevels[half_byte(key, d / 4 % 2)]);
      const uint8_t value =
          packed[FourBitPageHead::values(head_dim) + (d / 32) * 1024 + (t % 16) * 64 + (d % 16) * 4 + t / 16];
      head[PageHead::values(head_dim) + (d / 16) * 1024 + (t % 16) * 64 + (d % 16) * 4 + t / 16] =
          static_cast<uint8_t>(kCodeLevels[half_byte(value, d / 16 % 2)]);
    }
  }
  for (int i = 0; i < 64 * (head_groups(head_dim) + 1); ++i) {
    std::memset(head + PageHead::key_scales(head_dim) + 4 * i, 0, 2);
    std::memcpy(head + PageHead::key_scales(head_dim) + 4 * i + 2,
                packed + FourBitPageHead::key_scales(head_dim) + 2 * i, 2);
  }
}

Row random_row(Random& random, int head_dim) {
  Row row{std::vector<int8_t>(head_dim), std::vector<float>(head_groups(head_dim)), 0, 0};
  const bool extreme = random.one_in(6);
  for (int8_t& q : row.q) q = static_cast<int8_t>(extreme ? random.one_in(2) ? -127 : 127 : random.between(-127, 127));
  for (float& scale : row.scale)
    scale = extreme ? static_cast<float>(random.below(2)) : (1.5F + random.uniform()) * 0.01F;
  row.last = random.below(64 * kPages);
  row.first = random.one_in(2) ? 0 : random.between(row.last > 150 ? row.last - 150 : 0, row.last);
  if (random.one_in(12)) row.last = row.first - 1;  // sees nothing
  return row;
}

float at(const uint8_t* p, int i) {
  float x;
  std::memcpy(&x, p + 4 * static_cast<size_t>(i), 4);
  return x;
}

float defined_exp2(float t) {
  t = t > -126 ? t : -126.0F;
  t = t < 126 ? t : 126.0F;
  const float n = std::nearbyint(t);
  const float f = t - n;
  float p = 0.000154035308F;
  for (const float c : {0.00133335581F, 0.00961812865F, 0.0555041091F, 0.240226507F, 0.693147182F, 1.0F})
    p = std::fma(p, f, c);
  return std::ldexp(p, static_cast<int>(n));
}

float defined_softcap(float t, float cap) { return cap - (cap + cap) / (1.0F + defined_exp2(t)); }

float defined_tree(float* lanes) {
  for (int width = 8; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  return lanes[0];
}

float defined_score(const uint8_t* head, int head_dim, int t, const Row& row) {
  float score = 0;
  for (int g = 0; g < head_groups(head_dim); ++g) {
    int dot = 0;
    for (int d = g * kHeadGroup; d < head_dim && d < (g + 1) * kHeadGroup; ++d)
      dot += row.q[d] * (head[(t / 16) * head_dim * 16 + (d / 4) * 64 + (t % 16) * 4 + d % 4] - 128);
    const float part = static_cast<float>(dot) * at(head + PageHead::key_scales(head_dim), 64 * g + t);
    score = g == 0 ? part * row.scale[g] : std::fma(part, row.scale[g], score);
  }
  return score;
}

// One page and one row as docs/numerics.md says, key by key.
void defined_page(const uint8_t* head, int head_dim, int start, const Row& row, float softcap, State& state) {
  float s[64];
  float m = kMinusInfinity;
  for (int t = 0; t < 64; ++t) {
    s[t] = defined_score(head, head_dim, t, row);
    if (softcap > 0) s[t] = defined_softcap(s[t], softcap);
    if (start + t >= row.first && start + t <= row.last && s[t] > m) m = s[t];
  }
  float e[64];
  float p[64];
  float pm = 0;
  for (int t = 0; t < 64; ++t) {
    e[t] = start + t >= row.first && start + t <= row.last ? defined_exp2(s[t] - m) : 0.0F;
    p[t] = e[t] * at(head + PageHead::value_scales(head_dim), t);
    if (p[t] > pm) pm = p[t];
  }
  float lanes[16];
  for (int j = 0; j < 16; ++j) lanes[j] = (e[j] + e[16 + j]) + (e[32 + j] + e[48 + j]);
  const float l = defined_tree(lanes);
  const float inverse = pm < 1e-30F ? 0.0F : 255.0F / pm;
  const float scale = pm < 1e-30F ? 0.0F : pm / 255.0F;
  const float merged = state.maximum > m ? state.maximum : m;
  const float c = defined_exp2(state.maximum - merged);
  const float c_page = defined_exp2(m - merged);
  state.sum = std::fma(state.sum, c, l * c_page);
  state.maximum = merged;
  const auto* values = reinterpret_cast<const int8_t*>(head + PageHead::values(head_dim));
  for (int d = 0; d < head_dim; ++d) {
    int sum = 0;
    for (int t = 0; t < 64; ++t)
      sum += static_cast<int>(std::nearbyint(p[t] * inverse)) *
             values[(d / 16) * 1024 + (t % 16) * 64 + (d % 16) * 4 + t / 16];
    state.output[d] = std::fma(static_cast<float>(sum), scale * c_page, state.output[d] * c);
  }
}

}  // namespace

Case random_case(Random& random, int head_dim, KvFormat format) {
  Case c{head_dim, std::vector<Line>(PageHead::bytes(head_dim) / 64 * kPages), {}, 0, format};
  if (format == KvFormat::kInt4) c.packed.resize(FourBitPageHead::bytes(head_dim) / 64 * kPages);
  for (int i = 0; i < kPages; ++i) {
    uint8_t* head = reinterpret_cast<uint8_t*>(c.memory.data()) + PageHead::bytes(head_dim) * i;
    if (format == KvFormat::kInt8) {
      fill_page(random, head, head_dim);
      continue;
    }
    uint8_t* packed = reinterpret_cast<uint8_t*>(c.packed.data()) + FourBitPageHead::bytes(head_dim) * i;
    fill_packed_page(random, packed, head_dim);
    define_page(packed, head_dim, head);
  }
  for (int r = 0; r < kTileRows; ++r) c.rows.push_back(random_row(random, head_dim));
  return c;
}

int32_t minus_128_sum(const Row& row, int group) {
  int32_t sum = 0;
  for (size_t d = group * kHeadGroup; d < row.q.size() && d < (group + 1U) * kHeadGroup; ++d) sum += row.q[d];
  return -128 * sum;
}

bool sees(const Row& row, int page) {
  return row.first <= row.last && row.first < 64 * page + 64 && row.last >= 64 * page;
}

std::vector<State> by_definition(const Case& c) {
  std::vector<State> states(c.rows.size(), State{kMinusInfinity, 0, std::vector<float>(c.head_dim)});
  for (size_t r = 0; r < c.rows.size(); ++r)
    for (int i = 0; i < kPages; ++i)
      if (sees(c.rows[r], i)) defined_page(c.page(i), c.head_dim, 64 * i, c.rows[r], c.softcap, states[r]);
  return states;
}

}  // namespace pennyweight::test
