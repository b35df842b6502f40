// The Python face: shapes and types are checked here or below as std::invalid_argument (ValueError); no arithmetic.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <span>
#include <vector>

namespace pennyweight::bind {

namespace nb = nanobind;

// A contiguous buffer of any Python object that has one (bytes, bytearray, memoryview, array, numpy), held while in
// use.
class BufferView {
 public:
  explicit BufferView(nb::handle object);
  ~BufferView();
  BufferView(const BufferView&) = delete;
  BufferView& operator=(const BufferView&) = delete;

  std::span<const uint8_t> bytes() const;

 private:
  Py_buffer view_{};
};

// The float32 values of a buffer, copied; ValueError if its length is no multiple of 4.
std::vector<float> floats_of(nb::handle object, const char* name);

void bind_weights(nb::module_& m);
void bind_adapter(nb::module_& m);
void bind_decoder(nb::module_& m);
void bind_encoder(nb::module_& m);
void bind_quantize(nb::module_& m);

}  // namespace pennyweight::bind
