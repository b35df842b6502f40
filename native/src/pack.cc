// GGUF blocks to panel rows. Nibble formats pair column k with k + 16 just as the panel does, so they are moved by
// dwords.
// Block layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
#include "pack_block.h"
#include "pennyweight/matrix.h"

namespace pennyweight {

namespace {

void put_bytes(const uint8_t* values, int lane, uint8_t* block) {
  for (int g = 0; g < 8; ++g) std::memcpy(block + 64 * g + 4 * lane, values + 4 * g, 4);
}

void pack_simple(const FormatTraits& f, const uint8_t* source, int lane, uint8_t* block) {
  uint8_t* scales = block + f.quant_bytes();
  put_half(source, lane, scales);
  source += 2;
  if (f.has_minimum) {
    put_half(source, lane, scales + 32);
    source += 2;
  }
  if (f.bits == 8) {
    uint8_t values[32];
    for (int k = 0; k < 32; ++k) values[k] = source[k] ^ 0x80;
    put_bytes(values, lane, block);
    return;
  }
  if (f.bits == 5) {
    uint32_t upper;
    std::memcpy(&upper, source, 4);
    put_bits(upper, lane, block + 256);
    source += 4;
  }
  put_nibbles(source, lane, block);
}

}  // namespace

void pack_row(Format format, const uint8_t* source, int columns, int lane, uint8_t* panel) {
  const FormatTraits& f = traits(format);
  if (f.is_float()) {
    const size_t bytes = static_cast<size_t>(f.bits) / 8;
    for (int k = 0; k < columns; ++k)
      std::memcpy(panel + (static_cast<size_t>(k) * kPanelRows + lane) * bytes, source + k * bytes, bytes);
    return;
  }
  for (int k = 0; k < columns; k += f.source_columns, source += f.source_bytes, panel += f.super_bytes()) {
    if (f.super_scales)
      pack_super(format, source, lane, panel);
    else
      pack_simple(f, source, lane, panel);
  }
}

}  // namespace pennyweight
