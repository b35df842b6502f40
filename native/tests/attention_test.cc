// Attention over pages: the definition against `attend_page` of the scalar target, and from there every target's
// `attend_page` and `attend_tile`, bit by bit. Tiles hold rows of different windows, hidden pages and empty rows.
#include "attention_case.h"
#include "tests.h"

namespace pennyweight::test {

namespace {

// The sign of a maximum of zero depends on the order of the keys; nothing depends on it.
bool same_state(const State& a, const State& b) {
  return a.maximum == b.maximum && same_bits(a.sum, b.sum) && same_bits(a.output, b.output);
}

Query query_of(const Row& row) {
  Query query{row.q.data(), {}, {}};
  for (size_t g = 0; g < row.scale.size(); ++g) {
    query.scale[g] = row.scale[g];
    query.minus_128_sums[g] = minus_128_sum(row, static_cast<int>(g));
  }
  return query;
}

// Rows that see the same part of the page go in one call, as the query heads of a group do.
std::vector<State> by_page(const KernelTable& target, const Case& c, int rows_per_call) {
  std::vector<State> states(c.rows.size(), State{kMinusInfinity, 0, std::vector<float>(c.head_dim)});
  for (int i = 0; i < kPages; ++i) {
    for (size_t r = 0; r < c.rows.size(); ++r) {
      if (!sees(c.rows[r], i)) continue;
      const int first = c.rows[r].first > 64 * i ? c.rows[r].first : 64 * i;
      const int last = c.rows[r].last < 64 * i + 63 ? c.rows[r].last : 64 * i + 63;
      std::vector<Query> queries(rows_per_call, query_of(c.rows[r]));
      std::vector<State> copies(rows_per_call, states[r]);  // of one row: all must come out the same
      std::vector<SoftmaxState> softmax;
      for (State& s : copies) softmax.push_back({s.maximum, s.sum, s.output.data()});
      target.attend_page[static_cast<int>(c.format)](c.stored(i), c.head_dim, 64 * i, first, last, queries.data(),
                                                     softmax.data(), rows_per_call, c.stored((i + 1) % kPages),
                                                     c.softcap);
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
  std::vector<Line> scratch(tile_scratch_floats(c.format, c.head_dim) * 4 / 64);
  AttentionTile tile{};
  tile.queries = reinterpret_cast<int8_t*>(queries[0].bytes);
  tile.output = reinterpret_cast<float*>(output[0].bytes);
  for (int r = 0; r < kTileRows; ++r) {
    const Row& row = c.rows[r];
    for (int d = 0; d < c.head_dim; ++d) tile.queries[(d / 4 * kTileRows + r) * 4 + d % 4] = row.q[d];
    for (int g = 0; g < head_groups(c.head_dim); ++g) {
      tile.scale[g][r] = row.scale[g];
      tile.minus_128_sums[g][r] = minus_128_sum(row, g);
    }
    tile.first[r] = row.first;
    tile.last[r] = row.last;
    tile.maximum[r] = kMinusInfinity;
  }
  for (int i = 0; i < kPages; ++i)
    target.attend_tile[static_cast<int>(c.format)](c.stored(i), c.head_dim, 64 * i, all_see_all(c, i), tile,
                                                   reinterpret_cast<float*>(scratch[0].bytes), c.softcap);
  std::vector<State> states;
  for (int r = 0; r < kTileRows; ++r) {
    State state{tile.maximum[r], tile.sum[r], std::vector<float>(c.head_dim)};
    for (int d = 0; d < c.head_dim; ++d) state.output[d] = tile.output[d * kTileRows + r];
    states.push_back(state);
  }
  return states;
}

void compare(Report& report, const std::vector<State>& want, const std::vector<State>& got, const Case& c,
             const std::string& what) {
  for (size_t r = 0; r < want.size(); ++r) {
    const Row& row = c.rows[r];
    CHECK(report, same_state(want[r], got[r]),
          what + (c.format == KvFormat::kInt4 ? " int4" : "") + " head_dim " + std::to_string(c.head_dim) + " row " +
              std::to_string(r) + " sees " + std::to_string(row.first) + ".." + std::to_string(row.last));
  }
}

void check_case(Report& report, const Case& c) {
  const std::vector<State> want = by_definition(c);
  compare(report, want, by_page(scalar(), c, 1), c, "scalar page");
  compare(report, want, by_tile(scalar(), c), c, "scalar tile");
  for (const KernelTable* target : vector_targets()) {
    for (int rows : {1, 2, 3, 4, 7})
      compare(report, want, by_page(*target, c, rows), c, std::string(target->name) + " page");
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

// The case without and with a cap on scores, and then with all keys visible to all rows.
void check_visibility(Report& report, Case c) {
  check_case(report, c);
  c.softcap = 0.75F;
  check_case(report, c);
  c.softcap = 50.0F;
  for (Row& row : c.rows) row = {row.q, row.scale, 0, 64 * kPages - 1};
  check_case(report, c);
}

}  // namespace

void test_attention(Report& report, const Options& options) {
  Random random(2);
  for (int head_dim : {16, 48, 64, 80, 128, 256}) {
    check_merge(report, random, head_dim);
    for (KvFormat format : {KvFormat::kInt8, KvFormat::kInt4})
      for (int i = 0; i < (options.quick ? 1 : 2); ++i) check_visibility(report, random_case(random, head_dim, format));
  }
}

}  // namespace pennyweight::test
