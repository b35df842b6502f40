// Attention over pages: the definition against `attend_page` of the scalar target, and from there every target's
// `attend_page` and `attend_tile`, bit by bit. Tiles hold rows of different windows, hidden pages and empty rows.
#include <cmath>

#include "tests.h"

namespace pennyweight::test {

namespace {

constexpr int kPages = 6;  // more than a segment: the state is carried on

struct Row {
  std::vector<int8_t> q;
  float scale;
  int first;
  int last;
};

struct State {
  float maximum = kMinusInfinity;
  float sum = 0;
  std::vector<float> output;
};

// The sign of a maximum of zero depends on the order of the keys; nothing depends on it.
bool same_state(const State& a, const State& b) {
  return a.maximum == b.maximum && same_bits(a.sum, b.sum) && same_bits(a.output, b.output);
}

struct alignas(64) Line {
  uint8_t bytes[64];
};

struct Case {
  int head_dim;
  std::vector<Line> memory;
  std::vector<Row> rows;

  const uint8_t* page(int i) const { return memory[0].bytes + PageHead::bytes(head_dim) * i; }
};

void fill_page(Random& random, uint8_t* head, int head_dim) {
  const bool extreme = random.one_in(4);
  for (int i = 0; i < 64 * head_dim; ++i) head[i] = static_cast<uint8_t>(extreme ? 255 * random.below(2) : random.below(256));
  auto* values = reinterpret_cast<int8_t*>(head + PageHead::values(head_dim));
  for (int i = 0; i < 64 * head_dim; ++i)
    values[i] = static_cast<int8_t>(extreme ? random.one_in(2) ? -128 : 127 : random.between(-127, 127));
  for (int i = 0; i < 128; ++i) {  // key scales, then value scales
    float scale = (1.5F + random.uniform()) * 0.01F;
    if (random.one_in(16)) scale = random.one_in(2) ? 0.0F : 1e-32F;
    std::memcpy(head + PageHead::key_scales(head_dim) + 4 * i, &scale, 4);
  }
}

Row random_row(Random& random, int head_dim) {
  Row row{std::vector<int8_t>(head_dim), (1.5F + random.uniform()) * 0.01F, 0, 0};
  const bool extreme = random.one_in(6);
  for (int8_t& q : row.q) q = static_cast<int8_t>(extreme ? random.one_in(2) ? -127 : 127 : random.between(-127, 127));
  if (extreme) row.scale = random.one_in(2) ? 0.0F : 1.0F;
  row.last = random.below(64 * kPages);
  row.first = random.one_in(2) ? 0 : random.between(row.last > 150 ? row.last - 150 : 0, row.last);
  if (random.one_in(12)) row.last = row.first - 1;  // sees nothing
  return row;
}

Case random_case(Random& random, int head_dim) {
  Case c{head_dim, std::vector<Line>(PageHead::bytes(head_dim) / 64 * kPages), {}};
  for (int i = 0; i < kPages; ++i) fill_page(random, c.memory[0].bytes + PageHead::bytes(head_dim) * i, head_dim);
  for (int r = 0; r < kTileRows; ++r) c.rows.push_back(random_row(random, head_dim));
  return c;
}

int32_t minus_128_sums(const Row& row) {
  int32_t sum = 0;
  for (int8_t q : row.q) sum += q;
  return -128 * sum;
}

float at(const uint8_t* p, int i) {
  float x;
  std::memcpy(&x, p + 4 * static_cast<size_t>(i), 4);
  return x;
}

float defined_exp2(float t) {
  t = t > -126 ? t : -126.0F;
  const float n = std::nearbyint(t);
  const float f = t - n;
  float p = 0.000154035308F;
  for (const float c : {0.00133335581F, 0.00961812865F, 0.0555041091F, 0.240226507F, 0.693147182F, 1.0F})
    p = std::fma(p, f, c);
  return std::ldexp(p, static_cast<int>(n));
}

float defined_tree(float* lanes) {
  for (int width = 8; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  return lanes[0];
}

// One page and one row as docs/numerics.md says, key by key.
void defined_page(const uint8_t* head, int head_dim, int start, const Row& row, State& state) {
  float s[64];
  float m = kMinusInfinity;
  for (int t = 0; t < 64; ++t) {
    int dot = 0;
    for (int d = 0; d < head_dim; ++d)
      dot += row.q[d] * (head[(t / 16) * head_dim * 16 + (d / 4) * 64 + (t % 16) * 4 + d % 4] - 128);
    s[t] = static_cast<float>(dot) * at(head + PageHead::key_scales(head_dim), t) * row.scale;
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
      sum += static_cast<int>(std::nearbyint(p[t] * inverse)) * values[(d / 16) * 1024 + (t % 16) * 64 + (d % 16) * 4 + t / 16];
    state.output[d] = std::fma(static_cast<float>(sum), scale * c_page, state.output[d] * c);
  }
}

bool sees(const Row& row, int page) { return row.first <= row.last && row.first < 64 * page + 64 && row.last >= 64 * page; }

std::vector<State> by_definition(const Case& c) {
  std::vector<State> states(c.rows.size(), State{kMinusInfinity, 0, std::vector<float>(c.head_dim)});
  for (size_t r = 0; r < c.rows.size(); ++r)
    for (int i = 0; i < kPages; ++i)
      if (sees(c.rows[r], i)) defined_page(c.page(i), c.head_dim, 64 * i, c.rows[r], states[r]);
  return states;
}

// Rows that see the same part of the page go in one call, as the query heads of a group do.
std::vector<State> by_page(const KernelTable& target, const Case& c, int rows_per_call) {
  std::vector<State> states(c.rows.size(), State{kMinusInfinity, 0, std::vector<float>(c.head_dim)});
  for (int i = 0; i < kPages; ++i) {
    for (size_t r = 0; r < c.rows.size(); ++r) {
      if (!sees(c.rows[r], i)) continue;
      const int first = c.rows[r].first > 64 * i ? c.rows[r].first : 64 * i;
      const int last = c.rows[r].last < 64 * i + 63 ? c.rows[r].last : 64 * i + 63;
      std::vector<Query> queries(rows_per_call, Query{c.rows[r].q.data(), c.rows[r].scale, minus_128_sums(c.rows[r])});
      std::vector<State> copies(rows_per_call, states[r]);  // of one row: all must come out the same
      std::vector<SoftmaxState> softmax;
      for (State& s : copies) softmax.push_back({s.maximum, s.sum, s.output.data()});
      target.attend_page(c.page(i), c.head_dim, 64 * i, first, last, queries.data(), softmax.data(), rows_per_call,
                         c.page((i + 1) % kPages));
      const int chosen = static_cast<int>(r) % rows_per_call;
      states[r] = {softmax[chosen].maximum, softmax[chosen].sum, copies[chosen].output};
    }
  }
  return states;
}

bool all_see_all(const Case& c, int page) {
  for (const Row& row : c.rows)
    if (row.first > 64 * page || row.last < 64 * page + 63) return false;
  return true;
}

std::vector<State> by_tile(const KernelTable& target, const Case& c) {
  std::vector<Line> queries(c.head_dim * kTileRows / 64);
  std::vector<Line> output(c.head_dim * kTileRows * 4 / 64);
  std::vector<Line> scratch(kTileScratchFloats * 4 / 64);
  AttentionTile tile{};
  tile.queries = reinterpret_cast<int8_t*>(queries[0].bytes);
  tile.output = reinterpret_cast<float*>(output[0].bytes);
  for (int r = 0; r < kTileRows; ++r) {
    const Row& row = c.rows[r];
    for (int d = 0; d < c.head_dim; ++d) tile.queries[(d / 4 * kTileRows + r) * 4 + d % 4] = row.q[d];
    tile.scale[r] = row.scale;
    tile.minus_128_sums[r] = minus_128_sums(row);
    tile.first[r] = row.first;
    tile.last[r] = row.last;
    tile.maximum[r] = kMinusInfinity;
  }
  for (int i = 0; i < kPages; ++i)
    target.attend_tile(c.page(i), c.head_dim, 64 * i, all_see_all(c, i), tile, reinterpret_cast<float*>(scratch[0].bytes));
  std::vector<State> states;
  for (int r = 0; r < kTileRows; ++r) {
    State state{tile.maximum[r], tile.sum[r], std::vector<float>(c.head_dim)};
    for (int d = 0; d < c.head_dim; ++d) state.output[d] = tile.output[d * kTileRows + r];
    states.push_back(state);
  }
  return states;
}

void compare(Report& report, const std::vector<State>& want, const std::vector<State>& got, const Case& c, const std::string& what) {
  for (size_t r = 0; r < want.size(); ++r) {
    const Row& row = c.rows[r];
    CHECK(report, same_state(want[r], got[r]),
          what + " head_dim " + std::to_string(c.head_dim) + " row " + std::to_string(r) + " sees " +
              std::to_string(row.first) + ".." + std::to_string(row.last));
  }
}

void check_case(Report& report, const Case& c) {
  const std::vector<State> want = by_definition(c);
  compare(report, want, by_page(scalar(), c, 1), c, "scalar page");
  compare(report, want, by_tile(scalar(), c), c, "scalar tile");
  for (const KernelTable* target : vector_targets()) {
    for (int rows : {1, 2, 3, 4, 7}) compare(report, want, by_page(*target, c, rows), c, std::string(target->name) + " page");
    compare(report, want, by_tile(*target, c), c, std::string(target->name) + " tile");
  }
}

void check_merge(Report& report, Random& random, int head_dim) {
  const std::vector<float> a = random.floats(head_dim);
  const std::vector<float> b = random.floats(head_dim);
  for (const float difference : {0.0F, 3.25F, -7.5F, 200.0F, -200.0F}) {
    auto merged = [&](const KernelTable& target) {
      State total{difference, 1.25F, a};
      State segment{0.0F, 3.5F, b};
      SoftmaxState t{total.maximum, total.sum, total.output.data()};
      target.merge(&t, {segment.maximum, segment.sum, segment.output.data()}, head_dim);
      return State{t.maximum, t.sum, total.output};
    };
    for (const KernelTable* target : vector_targets())
      CHECK(report, same_state(merged(scalar()), merged(*target)), std::string(target->name) + " merge");
  }
}

}  // namespace

void test_attention(Report& report, const Options& options) {
  Random random(2);
  for (int head_dim : {16, 64, 128, 256}) {
    check_merge(report, random, head_dim);
    for (int i = 0; i < (options.quick ? 1 : 3); ++i) {
      Case c = random_case(random, head_dim);
      check_case(report, c);
      for (Row& row : c.rows) row = {row.q, row.scale, 0, 64 * kPages - 1};
      check_case(report, c);
    }
  }
}

}  // namespace pennyweight::test
