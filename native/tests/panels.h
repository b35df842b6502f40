// Random packed panels and activations, extremes included, and the plain definition of a linear layer over them.
#pragma once

#include "check.h"

namespace pennyweight::test {

// What the stored weights of a panel are.
enum class Fill { kRandom, kZeros, kOnes };

struct Panels {
  Format format;
  int columns;
  int count;
  size_t panel_bytes;
  std::vector<uint8_t> bytes;
  size_t start;  // of panel 0 within bytes, to try alignments

  const uint8_t* data() const { return bytes.data() + start; }
  PanelRange range(int begin, int end) const { return {data(), panel_bytes, columns / kBlock, begin, end}; }
};

Panels random_panels(Random& random, Format format, int columns, int count, Fill fill, size_t misalignment);

// [tokens][blocks]: quantised activations; in every fourth block all are -127 or 127.
std::vector<ActivationBlock> random_activations(Random& random, int tokens, int blocks, Grain grain);

// Row `row` of panel `panel` for one token, from format.h and docs/numerics.md, one operation at a time.
float defined_row(const Panels& panels, int panel, int row, const ActivationBlock* x, Grain grain);

uint16_t half_bits(Random& random);
float half_value(uint16_t half);

}  // namespace pennyweight::test
