// Adapters in the step: logits equal committed checksums on every target, and a row's bits depend on its own adapter
// alone: not on threads, chunks, or the adapters beside it (docs/numerics.md, "Adapters").
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "streams.h"
#include "tests.h"
#include "tiny_adapters.h"
#include "tiny_families.h"
#include "tiny_model.h"

namespace pennyweight::test {

namespace {

constexpr int kPages = 64;

struct Subject {
  const char* name;
  std::shared_ptr<const Model> model;
  std::span<const Role> roles;
  int prompt;         // tokens
  uint64_t expected;  // checksum of the prompt's logits with the first adapter
};

// Adapters of one model, the base among them as null, and the logits of one prompt with each.
struct Bench {
  Report& report;
  const Subject& subject;
  Decoder& decoder;
  std::vector<AdapterPointer> adapters;
  std::vector<int> tokens;
  std::vector<std::vector<float>> logits;
  std::string what;

  int num_pages() const { return (static_cast<int>(tokens.size()) + 63) / 64; }
  std::vector<int> slice(int begin, int end) const { return {tokens.begin() + begin, tokens.begin() + end}; }
  PlanRow row(int adapter, int begin, int end, int first_page, Logits wanted) const {
    PlanRow row = row_of(slice(begin, end), begin, page_run(first_page, num_pages()), wanted);
    row.adapter = adapters[adapter];
    return row;
  }
  std::vector<float> want(int adapter, int position) const {
    return at_position(logits[adapter], *subject.model, position);
  }
};

// Ranks that fill a block, a half, less than one, and more; of the third only some matrices are adapted.
std::vector<AdapterPointer> make_adapters(const Subject& s) {
  Random random(31);
  const Role some[] = {Role::kQuery, Role::kValue};
  return {nullptr, random_adapter(random, s.model, 16, s.roles), random_adapter(random, s.model, 3, s.roles),
          random_adapter(random, s.model, 40, some)};
}

// The prompt in chunks of random length, then single tokens: each position as in one plan.
void check_chunks(const Bench& b, Random& random) {
  const int n = static_cast<int>(b.tokens.size());
  for (int position = 0; position < n;) {
    const int count = position > n - 6 ? 1 : std::min(random.between(1, 70), n - 5 - position);
    run_plan(b.decoder, {b.row(1, position, position + count, 3, Logits::kLast)});
    position += count;
    CHECK(b.report, same_bits(b.want(1, position - 1), b.decoder.logits(0)),
          b.what + " chunk of " + std::to_string(count) + " to " + std::to_string(position));
  }
}

// Single tokens of many streams, adapters and base mixed in no order, and a chunk with each: every row as alone.
void check_company(const Bench& b) {
  const int n = static_cast<int>(b.tokens.size());
  const int count = static_cast<int>(b.adapters.size());
  std::vector<PlanRow> rows;
  for (int i = 0; i < 2 * count; ++i) {
    const int adapter = i * 3 % count;
    run_plan(b.decoder, {b.row(adapter, 0, n - 1, i * b.num_pages(), Logits::kNone)});
    rows.push_back(b.row(adapter, n - 1, n, i * b.num_pages(), Logits::kLast));
  }
  for (int adapter = 0; adapter < count; ++adapter)
    rows.push_back(b.row(adapter, 0, n / 3 + adapter, (2 * count + adapter) * b.num_pages(), Logits::kAll));
  run_plan(b.decoder, rows);
  for (int i = 0; i < 2 * count; ++i)
    CHECK(b.report, same_bits(b.want(i * 3 % count, n - 1), b.decoder.logits(i)),
          b.what + " in company, row " + std::to_string(i));
  for (int adapter = 0; adapter < count; ++adapter) {
    const auto size = static_cast<std::ptrdiff_t>(n / 3 + adapter) * b.subject.model->vocab_size;
    const std::vector<float> whole(b.logits[adapter].begin(), b.logits[adapter].begin() + size);
    CHECK(b.report, same_bits(whole, b.decoder.logits(2 * count + adapter)),
          b.what + " chunk in company, adapter " + std::to_string(adapter));
  }
}

std::vector<int> tokens_of(const std::vector<StepResult>& steps, int row) {
  std::vector<int> tokens;
  for (const StepResult& step : steps) tokens.insert(tokens.end(), step[row].tokens.begin(), step[row].tokens.end());
  return tokens;
}

// Plans of several steps and drafts: two adapters and the base beside each other, results in the rows' order.
void check_steps(const Bench& b) {
  const int n = static_cast<int>(b.tokens.size());
  constexpr int kSteps = 7;
  SamplingOptions greedy;
  greedy.temperature = 0;
  std::vector<std::vector<int>> alone;
  std::vector<PlanRow> together;
  for (int i = 0; i < 3; ++i) {
    const int pages = b.num_pages() + 1;
    for (const bool kept : {false, true}) {
      run_plan(b.decoder, {b.row(2 - i, 0, n - 1, i * pages, Logits::kNone)});
      PlanRow row = b.row(2 - i, n - 1, n, i * pages, Logits::kLast);
      row.pages = page_run(i * pages, pages);
      row.sampler = b.decoder.open_sampler(greedy, {});
      if (kept)
        together.push_back(row);
      else
        alone.push_back(tokens_of(run_plan(b.decoder, {row}, kSteps), 0));
    }
  }
  const std::vector<StepResult> steps = run_plan(b.decoder, together, kSteps);
  for (int i = 0; i < 3; ++i)
    CHECK(b.report, tokens_of(steps, i) == alone[i] && steps[0][i].row == i,
          b.what + " several steps, row " + std::to_string(i));
  for (int i = 0; i < 3; ++i) {
    PlanRow& row = together[i];
    row.sampler = b.decoder.open_sampler(greedy, {});
    row.tokens.insert(row.tokens.end(), alone[i].begin(), alone[i].begin() + 4);
    row.draft_length = 4;
  }
  const std::vector<StepResult> drafted = run_plan(b.decoder, together);
  for (int i = 0; i < 3; ++i)
    CHECK(b.report, drafted[0][i].accepted_drafts == 4 && drafted[0][i].tokens.back() == alone[i][4],
          b.what + " draft of row " + std::to_string(i));
}

void check_target(Report& report, const Subject& subject, const std::string& target, int threads) {
  use_target(target);
  Random random(7);
  Decoder decoder(subject.model, kPages, threads);
  Bench b{report,
          subject,
          decoder,
          make_adapters(subject),
          random_tokens(random, *subject.model, subject.prompt),
          {},
          std::string(subject.name) + " " + target + ", " + std::to_string(threads) + " threads"};
  for (int i = 0; i < static_cast<int>(b.adapters.size()); ++i) {
    run_plan(decoder, {b.row(i, 0, subject.prompt, 0, Logits::kAll)});
    b.logits.push_back(decoder.logits(0));
    for (int other = 0; other < i; ++other) CHECK(report, !same_bits(b.logits[i], b.logits[other]), b.what);
  }
  CHECK(report, checksum(b.logits[1]) == subject.expected,
        b.what + ": checksum " + std::to_string(checksum(b.logits[1])) + "U");
  check_chunks(b, random);
  check_company(b);
  check_steps(b);
}

template <class Action>
void check_refused(Report& report, const char* what, Action action) {
  bool refused = false;
  try {
    action();
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  CHECK(report, refused, what);
}

void check_refusals(Report& report) {
  Random random(9);
  const std::shared_ptr<const Model> model = tiny_llama();
  const int d = model->d_model;
  auto with = [&](const std::shared_ptr<const Model>& of, Role role, int rows, int columns) {
    std::vector<AdapterLayer> layers(of->layers.size());
    layers[0][static_cast<int>(role)] = random_low_rank(random, rows, columns, 4);
    Adapter(of, layers);
  };
  with(model, Role::kOutput, d, model->query_size());
  check_refused(report, "too many rows", [&] { with(model, Role::kOutput, d + 1, model->query_size()); });
  check_refused(report, "too few columns", [&] { with(model, Role::kDown, d, model->d_ff - 1); });
  check_refused(report, "experts", [&] { with(tiny_experts(), Role::kUp, 96, 64); });
  check_refused(report, "too few layers", [&] { Adapter(model, std::vector<AdapterLayer>(2)); });
  check_refused(report, "no model", [&] { Adapter(nullptr, {}); });
  const std::vector<uint8_t> zeros(4 * 512);
  auto low = [&](int rank, Format format, size_t bytes, float scale = 1) {
    return LowRank(std::span(zeros).first(bytes), zeros, format, rank, scale, {});
  };
  CHECK(report, low(2, Format::kF32, 64).columns() == 8, "columns of down");
  for (const int rank : {0, -1, 257, 3}) check_refused(report, "a wrong rank", [&] { low(rank, Format::kF32, 64); });
  check_refused(report, "quantised factors", [&] { low(2, Format::kQ8_0, 64); });
  check_refused(report, "nothing", [&] { low(2, Format::kF32, 0); });
  check_refused(report, "half a value", [&] { low(1, Format::kF32, 66); });
  check_refused(report, "an infinite scale", [&] { low(2, Format::kF32, 64, INFINITY); });
  const std::vector<float> bad(16, NAN);
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(bad.data()), 64);
  check_refused(report, "not a number", [&] { LowRank(bytes, zeros, Format::kF32, 2, 1, {}); });
  Decoder decoder(model, 4, 1);
  PlanRow row = row_of({1, 2}, 0, {0}, Logits::kLast);
  row.adapter = random_adapter(random, tiny_llama(), 4, kAllRoles);
  check_refused(report, "another model's adapter", [&] { decoder.begin({row}, 1); });
}

// An adapter whose second factor is zero changes no bit; a plan that has ended holds no adapter.
void check_zero(Report& report) {
  const std::shared_ptr<const Model> model = tiny_gemma();
  Random random(3);
  Decoder decoder(model, 4, 2);
  const std::vector<int> tokens = random_tokens(random, *model, 90);
  const std::vector<float> base = whole_logits(decoder, tokens);
  std::vector<AdapterLayer> layers(model->layers.size());
  const std::vector<float> down = random.floats(8 * static_cast<size_t>(model->d_model));
  const std::vector<uint8_t> up(4 * 8 * static_cast<size_t>(model->d_ff));
  for (AdapterLayer& layer : layers)
    layer[static_cast<int>(Role::kGate)] =
        std::make_shared<LowRank>(std::span(reinterpret_cast<const uint8_t*>(down.data()), 4 * down.size()), up,
                                  Format::kF32, 8, 2.0F, std::span<const int>());
  PlanRow row = row_of(tokens, 0, page_run(0, 2), Logits::kAll);
  row.adapter = std::make_shared<Adapter>(model, layers);
  const std::weak_ptr<const Adapter> watched = row.adapter;
  run_plan(decoder, {std::move(row)});
  CHECK(report, same_bits(base, decoder.logits(0)), "a second factor of zeros");
  CHECK(report, watched.expired(), "an ended plan holds its adapter");
}

}  // namespace

void test_adapters(Report& report, const Options& options) {
  const Subject subjects[] = {
      {"tiny llama", tiny_llama(), kAllRoles, 150, 13233098354232313773U},
      {"tiny gemma", tiny_gemma(), kAllRoles, 90, 839151201342907206U},
      {"tiny odd", tiny_odd(), kAllRoles, 90, 17844281025765279772U},
      {"tiny olmo", tiny_olmo(), kAllRoles, 70, 16424028456474692776U},
      {"tiny experts", tiny_experts(), kAttentionRoles, 90, 8735249686274847691U},
  };
  for (const Subject& subject : subjects)
    for (const std::string& target : supported_targets())
      for (const int threads : options.quick ? std::vector<int>{2} : std::vector<int>{1, 2, 3})
        check_target(report, subject, target, threads);
  use_target(supported_targets().front());
  check_refusals(report);
  check_zero(report);
}

}  // namespace pennyweight::test
