// Random pages and query rows, and what attention over them is by definition (docs/numerics.md).
#pragma once

#include "check.h"

namespace pennyweight::test {

inline constexpr int kPages = 6;  // more than a segment: the state is carried on

struct Row {
  std::vector<int8_t> q;
  std::vector<float> scale;  // per group
  int first;
  int last;
};

struct State {
  float maximum = kMinusInfinity;
  float sum = 0;
  std::vector<float> output;
};

struct alignas(64) Line {
  uint8_t bytes[64];
};

struct Case {
  int head_dim;
  std::vector<Line> memory;  // int8 pages
  std::vector<Row> rows;
  float softcap = 0;
  KvFormat format = KvFormat::kInt8;
  std::vector<Line> packed = {};  // int4 pages, which stand for the int8 ones

  const uint8_t* page(int i) const { return memory[0].bytes + PageHead::bytes(head_dim) * i; }
  const uint8_t* stored(int i) const {
    return format == KvFormat::kInt8 ? page(i) : packed[0].bytes + FourBitPageHead::bytes(head_dim) * i;
  }
};

// int4: random pages of codes, and what they stand for by definition.
Case random_case(Random& random, int head_dim, KvFormat format);

int32_t minus_128_sum(const Row& row, int group);

// Some key of the page is visible to the row.
bool sees(const Row& row, int page);

// One state per row, after all pages, computed key by key.
std::vector<State> by_definition(const Case& c);

}  // namespace pennyweight::test
