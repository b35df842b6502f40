// A weight matrix in panels (format.h), the source of every linear layer and of the embedding.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pennyweight/kernels.h"
#include "pennyweight/memory.h"

namespace pennyweight {

Format format_of(const std::string& name);  // std::invalid_argument names the choices

// What went into a matrix: rows seen, and for each column the sum of its squared inputs.
struct InputSquares {
  int64_t rows = 0;
  std::vector<double> sums;
};

class PackedMatrix {
 public:
  // `source` holds rows x columns in GGUF blocks, row by row; packed row i is source row `row_map[i]` (empty: i).
  // Throws std::invalid_argument naming the value that does not fit.
  PackedMatrix(std::span<const uint8_t> source, Format format, int rows, int columns, std::span<const int> row_map);

  // The same from source rows that come in pieces: `add` them in order, then `check_complete`.
  PackedMatrix(Format format, int rows, int columns, std::span<const int> row_map);
  void add(std::span<const uint8_t> source_rows);
  void check_complete() const;

  Format format() const { return format_; }
  int rows() const { return rows_; }
  int columns() const { return columns_; }
  int padded_columns() const { return pennyweight::padded_columns(columns_); }  // inputs have so many, zeros at the end
  int num_panels() const { return (rows_ + kPanelRows - 1) / kPanelRows; }
  int padded_rows() const { return num_panels() * kPanelRows; }
  size_t panel_bytes() const { return panel_bytes_; }
  size_t nbytes() const { return panel_bytes_ * num_panels(); }
  const uint8_t* panels() const { return panels_.get(); }
  PanelRange range(int begin, int end) const {
    return {panels_.get(), panel_bytes_, padded_columns() / kBlock, begin, end};
  }
  // Packed row i is source row row_map()[i]; empty if the order was kept. Adapters find their rows by it.
  const std::vector<int>& row_map() const { return row_map_; }
  // From now on linear stages add up the squares of what they multiply this matrix with. Only while none runs.
  void observe() { squares_ = std::make_unique<InputSquares>(InputSquares{0, std::vector<double>(columns_)}); }
  // Null if the matrix is not observed. Stages write it, all others read it between steps.
  InputSquares* input_squares() const { return squares_.get(); }
  // out[columns] = the dequantised row.
  void row(int index, float* out) const;

 private:
  std::string described() const;

  Format format_;
  int rows_;
  int columns_;
  size_t panel_bytes_;
  std::vector<int> row_map_;
  int source_rows_ = 0;  // added so far
  Buffer<uint8_t> panels_;
  std::unique_ptr<InputSquares> squares_;
};

// Bytes of `columns` values in GGUF blocks.
size_t source_row_bytes(Format format, int columns);

// Writes one source row into row `lane` of a panel.
void pack_row(Format format, const uint8_t* source, int columns, int lane, uint8_t* panel);

float half_to_float(uint16_t half);
// To nearest, ties to even; infinite beyond the largest half.
uint16_t float_to_half(float value);

}  // namespace pennyweight
