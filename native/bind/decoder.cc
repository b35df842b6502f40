#include "pennyweight/decoder.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <stdexcept>
#include <string>

#include "module.h"

namespace pennyweight::bind {

using namespace nb::literals;

namespace {

nb::bytes bytes_of(const std::vector<float>& values) { return nb::bytes(values.data(), values.size() * 4); }

Mask mask_of(nb::handle object) {
  const BufferView view(object);
  if (view.bytes().size() % 4 != 0) throw std::invalid_argument("a mask is made of 32-bit words");
  Mask mask(view.bytes().size() / 4);
  if (!mask.empty()) std::memcpy(mask.data(), view.bytes().data(), view.bytes().size());
  return mask;
}

void bind_rows(nb::module_& m) {
  nb::enum_<Logits>(m, "Logits").value("NONE", Logits::kNone).value("LAST", Logits::kLast).value("ALL", Logits::kAll);
  nb::class_<PlanRow>(m, "Row").def(
      "__init__",
      [](PlanRow* self, std::vector<int> tokens, int position, std::vector<int> pages, std::optional<int> sampler,
         Logits logits, int draft_length, std::vector<int> targets, int target_top,
         const std::vector<std::pair<int, nb::object>>& embeddings, bool masked, bool hidden, AdapterPointer adapter,
         std::vector<int> taken) {
        std::vector<std::pair<int, std::vector<float>>> vectors;
        for (const auto& [start, data] : embeddings) vectors.emplace_back(start, floats_of(data, "embeddings"));
        new (self) PlanRow{std::move(tokens),  position,   std::move(pages),   sampler, logits, draft_length,
                           std::move(targets), target_top, std::move(vectors), masked,  hidden, std::move(adapter),
                           std::move(taken)};
      },
      nb::kw_only(), "tokens"_a, "position"_a, "pages"_a, "sampler"_a = nb::none(), "logits"_a = Logits::kNone,
      "draft_length"_a = 0, "targets"_a = std::vector<int>(), "target_top"_a = 0,
      "embeddings"_a = std::vector<std::pair<int, nb::object>>(), "masked"_a = false, "hidden"_a = false,
      "adapter"_a = nb::none(), "taken"_a = std::vector<int>());
  nb::class_<RowResult>(m, "RowResult")
      .def_ro("row", &RowResult::row)
      .def_ro("tokens", &RowResult::tokens)
      .def_ro("accepted_drafts", &RowResult::accepted_drafts)
      .def_ro("stopped", &RowResult::stopped)
      .def_ro("logprobs", &RowResult::logprobs)
      .def_ro("top", &RowResult::top)
      .def_ro("target_logprobs", &RowResult::target_logprobs)
      .def_ro("target_top", &RowResult::target_top)
      .def_ro("error", &RowResult::error)
      .def_prop_ro("hidden", [](const RowResult& r) { return bytes_of(r.hidden); });
}

int open_sampler(Decoder& decoder, uint64_t seed, uint32_t choice, float temperature, int top_k, float top_p,
                 float min_p, float repetition_penalty, float presence_penalty, float frequency_penalty,
                 std::vector<std::pair<int, float>> logit_bias, std::vector<int> end_tokens, int min_tokens,
                 std::optional<int> top_logprobs, const std::vector<int>& prompt) {
  SamplingOptions options;
  options.seed = seed;
  options.choice = choice;
  options.temperature = temperature;
  options.top_k = top_k;
  options.top_p = top_p;
  options.min_p = min_p;
  options.repetition_penalty = repetition_penalty;
  options.presence_penalty = presence_penalty;
  options.frequency_penalty = frequency_penalty;
  options.logit_bias = std::move(logit_bias);
  options.end_tokens = std::move(end_tokens);
  options.min_tokens = min_tokens;
  options.top_logprobs = top_logprobs;
  return decoder.open_sampler(std::move(options), prompt);
}

std::pair<std::vector<StepResult>, bool> finish(Decoder& decoder, const std::vector<std::pair<int, nb::object>>& masks,
                                                double timeout_s) {
  std::map<int, Mask> words;
  for (const auto& [row, object] : masks)
    if (!words.emplace(row, mask_of(object)).second)
      throw std::invalid_argument("row " + std::to_string(row) + " was given two masks");
  const nb::gil_scoped_release release;
  return decoder.finish(std::move(words), std::chrono::duration<double>(timeout_s));
}

KvFormat kv_format_of(const std::string& name) {
  if (name == "int8") return KvFormat::kInt8;
  if (name == "int4") return KvFormat::kInt4;
  throw std::invalid_argument("kv_format is " + name + "; it is int8 or int4");
}

nb::bytes read_page(Decoder& decoder, int page) {
  const size_t size = decoder.page_bytes();
  nb::object bytes = nb::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size)));
  if (!bytes.is_valid()) nb::raise_python_error();
  auto* data = reinterpret_cast<uint8_t*>(PyBytes_AsString(bytes.ptr()));
  {
    const nb::gil_scoped_release release;
    decoder.read_page(page, {data, size});
  }
  return nb::borrow<nb::bytes>(bytes);
}

void write_page(Decoder& decoder, int page, nb::handle data) {
  const BufferView view(data);
  const nb::gil_scoped_release release;
  decoder.write_page(page, view.bytes());
}

}  // namespace

void bind_decoder(nb::module_& m) {
  bind_rows(m);
  nb::class_<Decoder>(m, "Decoder")
      .def(
          "__init__",
          [](Decoder* self, const std::shared_ptr<Model>& model, int num_pages, int num_threads,
             const std::string& kv_format) {
            const KvFormat format = kv_format_of(kv_format);
            const nb::gil_scoped_release release;
            new (self) Decoder(model, num_pages, num_threads, format);
          },
          "model"_a, nb::kw_only(), "num_pages"_a, "num_threads"_a = 0, "kv_format"_a = "int8")
      .def_prop_ro("num_threads", &Decoder::num_threads)
      .def_prop_ro("cpu_s", &Decoder::cpu_seconds)
      .def_prop_ro("num_pages", &Decoder::num_pages)
      .def_prop_ro("page_bytes", &Decoder::page_bytes)
      .def_prop_ro("buffer_bytes", &Decoder::buffer_bytes)
      .def_prop_ro("target", [](const Decoder& d) { return std::string(d.target()); })
      .def("open_sampler", &open_sampler, nb::kw_only(), "seed"_a, "choice"_a = 0, "temperature"_a = 1.0F,
           "top_k"_a = 0, "top_p"_a = 1.0F, "min_p"_a = 0.0F, "repetition_penalty"_a = 1.0F,
           "presence_penalty"_a = 0.0F, "frequency_penalty"_a = 0.0F,
           "logit_bias"_a = std::vector<std::pair<int, float>>(), "end_tokens"_a = std::vector<int>(),
           "min_tokens"_a = 0, "top_logprobs"_a = nb::none(), "prompt"_a = std::vector<int>())
      .def("close_sampler", &Decoder::close_sampler, "slot"_a)
      .def(
          "begin",
          [](Decoder& decoder, std::vector<PlanRow> rows, int steps) {
            const nb::gil_scoped_release release;
            decoder.begin(std::move(rows), steps);
          },
          "rows"_a, nb::kw_only(), "steps"_a = 1)
      .def("finish", &finish, "masks"_a = std::vector<std::pair<int, nb::object>>(), nb::kw_only(),
           "timeout_s"_a = 0.01)
      .def("interrupt", &Decoder::interrupt)
      .def("copy_page", &Decoder::copy_page, "source"_a, "destination"_a, nb::call_guard<nb::gil_scoped_release>())
      .def("commit_page", &Decoder::commit_page, "page"_a, nb::call_guard<nb::gil_scoped_release>())
      .def("read_page", &read_page, "page"_a)
      .def("write_page", &write_page, "page"_a, "data"_a)
      .def("logits", [](const Decoder& decoder, int row) { return bytes_of(decoder.logits(row)); }, "row"_a);
}

}  // namespace pennyweight::bind
