#include "module.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <stdexcept>
#include <string>

#include "pennyweight/cache.h"
#include "pennyweight/isa.h"
#include "pennyweight/measure.h"
#include "pennyweight/memory.h"
#include "pennyweight/topology.h"

namespace pennyweight::bind {

BufferView::BufferView(nb::handle object) {
  if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_C_CONTIGUOUS) != 0) throw nb::python_error();
}

BufferView::~BufferView() { PyBuffer_Release(&view_); }

std::span<const uint8_t> BufferView::bytes() const {
  return {static_cast<const uint8_t*>(view_.buf), static_cast<size_t>(view_.len)};
}

std::vector<float> floats_of(nb::handle object, const char* name) {
  const BufferView view(object);
  if (view.bytes().size() % 4 != 0)
    throw std::invalid_argument(std::string(name) + ": " + std::to_string(view.bytes().size()) +
                                " bytes are no float32 values");
  std::vector<float> values(view.bytes().size() / 4);
  if (!values.empty()) std::memcpy(values.data(), view.bytes().data(), view.bytes().size());
  return values;
}

}  // namespace pennyweight::bind

NB_MODULE(_native, m) {
  namespace nb = nanobind;
  using namespace nb::literals;
  namespace pw = pennyweight;
  nb::set_leak_warnings(false);  // a program may end with an engine open
  m.attr("PAGE_TOKENS") = pw::Cache::kPageTokens;
  m.def("targets", &pw::supported_targets);
  m.def("compiled_targets", &pw::compiled_targets);
  m.def("active_target", [] { return std::string(pw::active_kernels().name); });
  m.def("use_target", &pw::use_target, "name"_a);
  m.def("cpu_features", [] {
    nb::dict features;
    for (const auto& [name, supported] : pw::cpu_features()) features[name.c_str()] = supported;
    return features;
  });
  m.def("useful_threads", &pw::useful_threads);
  m.def("measure_bandwidth", &pw::measure_bandwidth, "num_threads"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def("measure_int8_peak", &pw::measure_int8_peak, "num_threads"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def("release_free_memory", &pw::release_free_memory, nb::call_guard<nb::gil_scoped_release>());
  pw::bind::bind_weights(m);
  pw::bind::bind_adapter(m);
  pw::bind::bind_decoder(m);
  pw::bind::bind_encoder(m);
  pw::bind::bind_quantize(m);
}
