// One step of a small random decoder, always the same: what `make instructions` counts the instructions of.
//   pennyweight_one_step WORKLOAD MODEL
// Shapes are those of SmolLM2 135M and Gemma 3 270M with two layers and a small vocabulary. The pages start empty:
// zeros take the same instructions as keys and values do. One thread, so that nothing waits.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

#include "pennyweight/isa.h"
#include "streams.h"
#include "tiny_model.h"

namespace pennyweight::test {

namespace {

struct Workload {
  int rows;
  int tokens;  // of each row
  int position;
};

const std::map<std::string, Workload> kWorkloads = {
    {"prompt", {1, 192, 0}},
    {"decode", {1, 1, 700}},
    {"decode-32", {32, 1, 200}},
};

std::shared_ptr<const Model> llama() {
  Random random(11);
  Model m;
  m.vocab_size = 4096;
  m.d_model = 576;
  m.num_heads = 9;
  m.num_kv_heads = 3;
  m.head_dim = 64;
  m.d_ff = 1536;
  m.norm_eps = 1e-5F;
  m.attention_scale = 0.125;
  m.windows = {0, 0};
  m.ropes = {rope(32, 1.0)};
  m.rope_of_layer = {0, 0};
  const Format formats[] = {Format::kQ4_1};
  return random_model(random, m, formats, Format::kQ8_0, false);
}

std::shared_ptr<const Model> gemma() {
  Random random(12);
  Model m;
  m.vocab_size = 4096;
  m.d_model = 512;
  m.num_heads = 4;
  m.num_kv_heads = 1;
  m.head_dim = 256;
  m.d_ff = 2048;
  m.norm_eps = 1e-6F;
  m.activation = Activation::kGeluTanh;
  m.attention_scale = 0.0625;
  m.embedding_scale = 22.6F;
  m.windows = {512, 0};
  m.ropes = {rope(128, 1.0)};
  m.rope_of_layer = {0, 0};
  const Format formats[] = {Format::kQ4_K, Format::kQ5_0, Format::kQ6_K};
  return random_model(random, m, formats, Format::kQ6_K, true);
}

void run(const std::string& workload, const std::string& name) {
  if (name != "llama" && name != "gemma") throw std::invalid_argument("models: llama, gemma");
  const Workload& w = kWorkloads.at(workload);
  const std::shared_ptr<const Model> model = name == "llama" ? llama() : gemma();
  const int pages = (w.position + w.tokens + 63) / 64;
  Decoder decoder(model, pages * w.rows, 1);
  Random random(13);
  SamplingOptions options;
  options.temperature = 0.8F;
  options.top_p = 0.9F;
  std::vector<PlanRow> rows;
  for (int i = 0; i < w.rows; ++i) {
    PlanRow row =
        row_of(random_tokens(random, *model, w.tokens), w.position, page_run(i * pages, pages), Logits::kLast);
    row.sampler = decoder.open_sampler(options, {});
    rows.push_back(std::move(row));
  }
  const std::vector<StepResult> steps = run_plan(decoder, rows);
  for (const RowResult& result : steps.front())
    if (result.tokens.empty()) throw std::runtime_error(result.error);
  std::printf("%s %d\n", active_kernels().name, w.rows * w.tokens);
}

}  // namespace

}  // namespace pennyweight::test

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s prompt|decode|decode-32 llama|gemma\n", argv[0]);
    return 2;
  }
  try {
    pennyweight::test::run(argv[1], argv[2]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
