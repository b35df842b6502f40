#include "pennyweight/encoder.h"

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>

#include "module.h"
#include "pennyweight/isa.h"
#include "pennyweight/similarity.h"
#include "pennyweight/topology.h"

namespace pennyweight::bind {

using namespace nb::literals;

namespace {

Pooling pooling_of(const std::string& name) {
  if (name == "mean") return Pooling::kMean;
  if (name == "first") return Pooling::kFirst;
  throw std::invalid_argument("unknown pooling '" + name + "'; known: mean, first");
}

// The vectors live in Python for as long as the call: nothing is copied but what the encoder keeps.
void bind_parts(nb::module_& m) {
  nb::class_<Affine>(m, "Affine")
      .def(
          "__init__",
          [](Affine* self, MatrixPointer weight, nb::object bias) {
            new (self) Affine{std::move(weight), floats_of(bias, "bias")};
          },
          nb::kw_only(), "weight"_a, "bias"_a);
  nb::class_<Norm>(m, "LayerNorm")
      .def(
          "__init__",
          [](Norm* self, nb::object weight, nb::object bias) {
            new (self) Norm{floats_of(weight, "weight"), floats_of(bias, "bias")};
          },
          nb::kw_only(), "weight"_a, "bias"_a);
  nb::class_<EncoderLayer>(m, "EncoderLayer")
      .def(
          "__init__",
          [](EncoderLayer* self, const Affine& query, const Affine& key, const Affine& value, const Affine& output,
             const Norm& attention_norm, const Affine& up, const Affine& down, const Norm& output_norm) {
            new (self) EncoderLayer{query, key, value, output, attention_norm, up, down, output_norm};
          },
          nb::kw_only(), "query"_a, "key"_a, "value"_a, "output"_a, "attention_norm"_a, "up"_a, "down"_a,
          "output_norm"_a);
}

void bind_model(nb::module_& m) {
  nb::class_<EncoderModel>(m, "EncoderModel")
      .def(
          "__init__",
          [](EncoderModel* self, int d_model, int num_heads, int d_ff, float norm_eps, const std::string& pooling,
             MatrixPointer embedding, MatrixPointer positions, nb::object token_type, const Norm& embedding_norm,
             const std::vector<std::shared_ptr<EncoderLayer>>& layers) {
            EncoderModel model;
            model.d_model = d_model;
            model.num_heads = num_heads;
            model.d_ff = d_ff;
            model.norm_eps = norm_eps;
            model.pooling = pooling_of(pooling);
            model.embedding = std::move(embedding);
            model.positions = std::move(positions);
            model.token_type = floats_of(token_type, "token_type");
            model.embedding_norm = embedding_norm;
            model.layers.assign(layers.begin(), layers.end());
            model.check();
            new (self) EncoderModel(std::move(model));
          },
          nb::kw_only(), "d_model"_a, "num_heads"_a, "d_ff"_a, "norm_eps"_a, "pooling"_a, "embedding"_a, "positions"_a,
          "token_type"_a, "embedding_norm"_a, "layers"_a)
      .def_prop_ro("weight_bytes", &EncoderModel::weight_bytes);
}

nb::bytes encode(Encoder& encoder, const std::vector<std::vector<int>>& texts) {
  std::vector<float> out(texts.size() * encoder.model().d_model);
  {
    const nb::gil_scoped_release release;
    encoder.encode(texts, out.data());
  }
  return nb::bytes(out.data(), out.size() * 4);
}

nb::bytes to_q8_0_bytes(nb::handle data, const std::string& type) {
  const BufferView view(data);
  const Format format = format_of(type);
  std::vector<uint8_t> blocks;
  {
    const nb::gil_scoped_release release;
    blocks = to_q8_0(view.bytes(), format);
  }
  return nb::bytes(blocks.data(), blocks.size());
}

nb::bytes combine_bytes(nb::handle vectors, const std::vector<int>& weights, int width, int dimensions) {
  const std::vector<float> combined = combine(floats_of(vectors, "vectors"), width, weights, dimensions);
  return nb::bytes(combined.data(), combined.size() * 4);
}

nb::bytes similarities_bytes(nb::handle query, nb::handle vectors) {
  const BufferView view(vectors);
  const std::vector<float> floats = floats_of(query, "query");
  std::vector<float> found;
  {
    const nb::gil_scoped_release release;
    found = similarities(floats, view.bytes());
  }
  return nb::bytes(found.data(), found.size() * 4);
}

}  // namespace

void bind_encoder(nb::module_& m) {
  bind_parts(m);
  bind_model(m);
  nb::class_<Encoder>(m, "Encoder")
      .def(
          "__init__",
          [](Encoder* self, std::shared_ptr<EncoderModel> model, int num_threads) {
            if (num_threads < 0)
              throw std::invalid_argument("num_threads must be 0 or positive, got " + std::to_string(num_threads));
            new (self) Encoder(std::move(model), num_threads == 0 ? useful_threads() : num_threads);
          },
          "model"_a, nb::kw_only(), "num_threads"_a = 0)
      .def_prop_ro("target", [](const Encoder& e) { return std::string(e.target()); })
      .def_prop_ro("num_threads", &Encoder::num_threads)
      .def_prop_ro("cpu_s", &Encoder::cpu_seconds)
      .def("encode", &encode, "texts"_a);
  m.def("to_q8_0", &to_q8_0_bytes, "data"_a, nb::kw_only(), "type"_a);
  m.def("similarities", &similarities_bytes, "query"_a, "vectors"_a);
  m.def("combine", &combine_bytes, "vectors"_a, nb::kw_only(), "weights"_a, "width"_a, "dimensions"_a);
}

}  // namespace pennyweight::bind
