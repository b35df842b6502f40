#include "pennyweight/adapter.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "module.h"

namespace pennyweight::bind {

using namespace nb::literals;

namespace {

std::shared_ptr<LowRank> low_rank(nb::handle down, nb::handle up, int rank, const std::string& type, float scale,
                                  const std::optional<std::vector<int>>& row_map) {
  const BufferView down_view(down);
  const BufferView up_view(up);
  const Format format = format_of(type);
  const std::vector<int> map = row_map.value_or(std::vector<int>());
  const nb::gil_scoped_release release;
  return std::make_shared<LowRank>(down_view.bytes(), up_view.bytes(), format, rank, scale, map);
}

using NamedParts = std::map<std::string, std::shared_ptr<LowRank>>;

std::shared_ptr<Adapter> adapter(const std::shared_ptr<Model>& model, const std::vector<NamedParts>& named) {
  std::vector<AdapterLayer> layers;
  for (const NamedParts& parts : named) {
    AdapterLayer& layer = layers.emplace_back();
    for (const auto& [name, part] : parts) layer[static_cast<int>(role_of(name))] = part;
  }
  return std::make_shared<Adapter>(model, std::move(layers));
}

}  // namespace

void bind_adapter(nb::module_& m) {
  nb::class_<LowRank>(m, "LowRank")
      .def(nb::new_(&low_rank), "down"_a, "up"_a, nb::kw_only(), "rank"_a, "type"_a = "F32", "scale"_a = 1.0F,
           "row_map"_a = nb::none())
      .def_prop_ro("rank", &LowRank::rank)
      .def_prop_ro("rows", &LowRank::rows)
      .def_prop_ro("columns", &LowRank::columns)
      .def_prop_ro("nbytes", &LowRank::nbytes);
  nb::class_<Adapter>(m, "Adapter")
      .def(nb::new_(&adapter), "model"_a, "layers"_a)
      .def_prop_ro("nbytes", &Adapter::nbytes);
}

}  // namespace pennyweight::bind
