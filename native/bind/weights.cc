#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "module.h"
#include "pennyweight/isa.h"
#include "pennyweight/linear.h"
#include "pennyweight/model.h"

namespace pennyweight::bind {

using namespace nb::literals;

namespace {

std::shared_ptr<PackedMatrix> pack(nb::handle data, const std::string& type, int rows, int columns,
                                   const std::optional<std::vector<int>>& row_map) {
  const BufferView view(data);
  const Format format = format_of(type);
  const std::vector<int> map = row_map.value_or(std::vector<int>());
  const nb::gil_scoped_release release;
  return std::make_shared<PackedMatrix>(view.bytes(), format, rows, columns, map);
}

// The pieces come from Python, one at a time; each is packed without the interpreter.
std::shared_ptr<PackedMatrix> pack_pieces(const nb::iterable& pieces, const std::string& type, int rows, int columns,
                                          const std::optional<std::vector<int>>& row_map) {
  auto matrix = std::make_shared<PackedMatrix>(format_of(type), rows, columns, row_map.value_or(std::vector<int>()));
  for (const nb::handle piece : pieces) {
    const BufferView view(piece);
    const nb::gil_scoped_release release;
    matrix->add(view.bytes());
  }
  matrix->check_complete();
  return matrix;
}

std::vector<float> row(const PackedMatrix& m, int index) {
  if (index < 0 || index >= m.rows())
    throw std::invalid_argument("row " + std::to_string(index) + " of a matrix of " + std::to_string(m.rows()));
  std::vector<float> values(m.columns());
  m.row(index, values.data());
  return values;
}

std::pair<int64_t, std::vector<double>> input_squares(const PackedMatrix& m) {
  if (m.input_squares() == nullptr) throw std::invalid_argument("the matrix is not observed");
  return {m.input_squares()->rows, m.input_squares()->sums};
}

nb::bytes multiply(const PackedMatrix& m, nb::handle x, int tokens, bool fine,
                   const std::optional<std::string>& target) {
  const std::vector<float> values = floats_of(x, "x");
  const auto columns = static_cast<size_t>(m.columns());
  const auto width = static_cast<size_t>(m.padded_columns());
  if (tokens < 1 || values.size() != columns * tokens)
    throw std::invalid_argument("x has " + std::to_string(values.size()) + " values for " + std::to_string(tokens) +
                                " tokens of " + std::to_string(m.columns()));
  const KernelTable& kernels = target ? kernels_of(*target) : active_kernels();
  const Buffer<float> input = allocate<float>(width * tokens);
  const size_t stride = width / kBlock;
  const Grain grain = fine ? Grain::kFine : Grain::kCoarse;
  const Buffer<ActivationBlock> blocks = allocate<ActivationBlock>(stride * tokens);
  for (int t = 0; t < tokens; ++t) {
    std::copy_n(values.data() + columns * t, columns, input.get() + width * t);
    kernels.quantize(input.get() + width * t, m.padded_columns(), grain, blocks.get() + stride * t);
  }
  const auto padded = static_cast<size_t>(m.padded_rows());
  const Buffer<float> out = allocate<float>(padded * tokens);
  multiply_panels(kernels, m, 0, m.num_panels(), {grain, blocks.get(), stride, input.get(), width}, 0, tokens,
                  out.get(), padded, false);
  std::vector<float> result;
  for (int t = 0; t < tokens; ++t)
    result.insert(result.end(), out.get() + padded * t, out.get() + padded * t + m.rows());
  return nb::bytes(result.data(), result.size() * 4);
}

std::vector<float> optional_floats(const std::optional<nb::object>& object, const char* name) {
  return object ? floats_of(*object, name) : std::vector<float>();
}

Activation activation_of(const std::string& name) {
  if (name == "silu") return Activation::kSilu;
  if (name == "gelu_tanh") return Activation::kGeluTanh;
  throw std::invalid_argument("unknown activation '" + name + "'; known: silu, gelu_tanh");
}

using ExpertTuple = std::tuple<MatrixPointer, MatrixPointer, MatrixPointer>;

std::vector<FeedForward> experts_of(const std::optional<std::vector<ExpertTuple>>& tuples) {
  std::vector<FeedForward> experts;
  for (const auto& [gate, up, down] : tuples.value_or(std::vector<ExpertTuple>())) experts.push_back({gate, up, down});
  return experts;
}

void bind_layer(nb::module_& m) {
  using Vector = std::optional<nb::object>;
  nb::class_<Layer>(m, "LayerWeights")
      .def(
          "__init__",
          [](Layer* layer, MatrixPointer query, MatrixPointer key, MatrixPointer value, MatrixPointer output,
             MatrixPointer gate, MatrixPointer up, MatrixPointer down, const Vector& attention_norm,
             const Vector& feed_forward_norm, const Vector& query_norm, const Vector& key_norm,
             const Vector& post_attention_norm, const Vector& post_feed_forward_norm, const Vector& query_bias,
             const Vector& key_bias, const Vector& value_bias, const Vector& output_bias, MatrixPointer router,
             const std::optional<std::vector<ExpertTuple>>& experts) {
            new (layer)
                Layer{.attention_norm = optional_floats(attention_norm, "attention_norm"),
                      .query_norm = optional_floats(query_norm, "query_norm"),
                      .key_norm = optional_floats(key_norm, "key_norm"),
                      .post_attention_norm = optional_floats(post_attention_norm, "post_attention_norm"),
                      .feed_forward_norm = optional_floats(feed_forward_norm, "feed_forward_norm"),
                      .post_feed_forward_norm = optional_floats(post_feed_forward_norm, "post_feed_forward_norm"),
                      .query_bias = optional_floats(query_bias, "query_bias"),
                      .key_bias = optional_floats(key_bias, "key_bias"),
                      .value_bias = optional_floats(value_bias, "value_bias"),
                      .output_bias = optional_floats(output_bias, "output_bias"),
                      .query = std::move(query),
                      .key = std::move(key),
                      .value = std::move(value),
                      .output = std::move(output),
                      .gate = std::move(gate),
                      .up = std::move(up),
                      .down = std::move(down),
                      .router = std::move(router),
                      .experts = experts_of(experts)};
          },
          nb::kw_only(), "query"_a, "key"_a, "value"_a, "output"_a, "gate"_a = nb::none(), "up"_a = nb::none(),
          "down"_a = nb::none(), "attention_norm"_a = nb::none(), "feed_forward_norm"_a = nb::none(),
          "query_norm"_a = nb::none(), "key_norm"_a = nb::none(), "post_attention_norm"_a = nb::none(),
          "post_feed_forward_norm"_a = nb::none(), "query_bias"_a = nb::none(), "key_bias"_a = nb::none(),
          "value_bias"_a = nb::none(), "output_bias"_a = nb::none(), "router"_a = nb::none(), "experts"_a = nb::none());
}

void bind_model(nb::module_& m) {
  nb::class_<Model>(m, "Model")
      .def(
          "__init__",
          [](Model* self, int vocab_size, int d_model, int num_heads, int num_kv_heads, int head_dim, int d_ff,
             float norm_eps, const std::string& activation, double attention_scale, float embedding_scale,
             std::vector<int> windows, std::vector<std::vector<double>> ropes,
             std::vector<std::optional<int>> rope_of_layer, std::vector<std::shared_ptr<Layer>> layers,
             MatrixPointer embedding, nb::object final_norm, MatrixPointer head, std::vector<double> rope_magnitudes,
             double attention_softcap, double logit_softcap, float residual_scale, float logit_scale, int experts_used,
             bool experts_normalize, float experts_scale) {
            Model model;
            model.vocab_size = vocab_size;
            model.d_model = d_model;
            model.num_heads = num_heads;
            model.num_kv_heads = num_kv_heads;
            model.head_dim = head_dim;
            model.d_ff = d_ff;
            model.norm_eps = norm_eps;
            model.activation = activation_of(activation);
            model.attention_scale = attention_scale;
            model.embedding_scale = embedding_scale;
            model.windows = std::move(windows);
            model.ropes = std::move(ropes);
            model.rope_of_layer = std::move(rope_of_layer);
            model.rope_magnitudes = std::move(rope_magnitudes);
            model.attention_softcap = attention_softcap;
            model.logit_softcap = logit_softcap;
            model.residual_scale = residual_scale;
            model.logit_scale = logit_scale;
            model.experts_used = experts_used;
            model.experts_normalize = experts_normalize;
            model.experts_scale = experts_scale;
            model.layers.assign(layers.begin(), layers.end());
            model.final_norm = floats_of(final_norm, "final_norm");
            model.head = head ? std::move(head) : embedding;
            model.embedding = std::move(embedding);
            model.check();
            new (self) Model(std::move(model));
          },
          nb::kw_only(), "vocab_size"_a, "d_model"_a, "num_heads"_a, "num_kv_heads"_a, "head_dim"_a, "d_ff"_a,
          "norm_eps"_a, "activation"_a, "attention_scale"_a, "embedding_scale"_a, "windows"_a, "ropes"_a,
          "rope_of_layer"_a, "layers"_a, "embedding"_a, "final_norm"_a, "head"_a = nb::none(),
          "rope_magnitudes"_a = std::vector<double>(), "attention_softcap"_a = 0.0, "logit_softcap"_a = 0.0,
          "residual_scale"_a = 1.0F, "logit_scale"_a = 1.0F, "experts_used"_a = 0, "experts_normalize"_a = false,
          "experts_scale"_a = 1.0F)
      .def_prop_ro("weight_bytes", &Model::weight_bytes);
}

}  // namespace

void bind_weights(nb::module_& m) {
  nb::class_<PackedMatrix>(m, "PackedMatrix")
      .def(nb::new_(&pack), "data"_a, nb::kw_only(), "type"_a, "rows"_a, "columns"_a, "row_map"_a = nb::none())
      .def_static("from_pieces", &pack_pieces, "pieces"_a, nb::kw_only(), "type"_a, "rows"_a, "columns"_a,
                  "row_map"_a = nb::none())
      .def_prop_ro("rows", &PackedMatrix::rows)
      .def_prop_ro("columns", &PackedMatrix::columns)
      .def_prop_ro("type", [](const PackedMatrix& m_) { return std::string(traits(m_.format()).name); })
      .def_prop_ro("nbytes", &PackedMatrix::nbytes)
      .def_prop_ro("row_map", &PackedMatrix::row_map)
      .def("observe", &PackedMatrix::observe)
      .def("input_squares", &input_squares)
      .def("row", &row, "index"_a)
      .def("multiply", &multiply, "x"_a, nb::kw_only(), "tokens"_a, "fine"_a = false, "target"_a = nb::none());
  bind_layer(m);
  bind_model(m);
}

}  // namespace pennyweight::bind
