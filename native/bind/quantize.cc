#include "pennyweight/quantize.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>

#include "module.h"
#include "pennyweight/matrix.h"

namespace pennyweight::bind {

using namespace nb::literals;

namespace {

nb::bytes requantize(nb::handle data, const std::string& type, const std::string& to, int columns,
                     const std::optional<nb::object>& importance) {
  const BufferView view(data);
  const Format from = format_of(type);
  const Format format = format_of(to);
  const std::vector<float> weights = importance ? floats_of(*importance, "importance") : std::vector<float>();
  std::vector<uint8_t> blocks;
  {
    const nb::gil_scoped_release release;
    blocks = pennyweight::requantize(view.bytes(), from, format, columns, weights);
  }
  return nb::bytes(blocks.data(), blocks.size());
}

}  // namespace

void bind_quantize(nb::module_& m) {
  m.def("requantize", &requantize, "data"_a, nb::kw_only(), "type"_a, "to"_a, "columns"_a, "importance"_a = nb::none());
}

}  // namespace pennyweight::bind
