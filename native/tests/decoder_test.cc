// The whole step on tiny models: logits equal committed checksums on every target and machine, and a row's bits do not
// depend on threads, chunks, company or shared pages (docs/numerics.md).
#include <algorithm>

#include "streams.h"
#include "tests.h"
#include "tiny_families.h"
#include "tiny_model.h"

namespace pennyweight::test {

namespace {

constexpr int kPages = 64;

struct Subject {
  const char* name;
  std::shared_ptr<const Model> model;
  int prompt;         // tokens
  uint64_t expected;  // checksum of the prompt's logits
  KvFormat format = KvFormat::kInt8;
};

// One decoder under test, and what it must compute.
struct Bench {
  Report& report;
  const Subject& subject;
  const std::vector<int>& tokens;
  const std::vector<float>& logits;
  Decoder& decoder;
  std::string what;

  const Model& model() const { return *subject.model; }
  std::vector<float> want(int position) const { return at_position(logits, model(), position); }
  std::vector<int> slice(int begin, int end) const { return {tokens.begin() + begin, tokens.begin() + end}; }
  int num_pages() const { return (static_cast<int>(tokens.size()) + 63) / 64; }
};

// The prompt in chunks of random length, then single tokens: each position as in one plan.
void check_chunks(const Bench& b, Random& random) {
  const int n = static_cast<int>(b.tokens.size());
  for (int position = 0; position < n;) {
    const int count = position > n - 6 ? 1 : std::min(random.between(1, 70), n - 5 - position);
    run_plan(b.decoder,
             {row_of(b.slice(position, position + count), position, page_run(3, b.num_pages()), Logits::kLast)});
    position += count;
    CHECK(b.report, same_bits(b.want(position - 1), b.decoder.logits(0)),
          b.what + " chunk of " + std::to_string(count) + " to " + std::to_string(position));
  }
}

// Rows of one plan: single tokens, a chunk, and a row whose logits nobody wants.
void check_company(const Bench& b) {
  const int n = static_cast<int>(b.tokens.size());
  const int chunk = n / 3;
  std::vector<PlanRow> rows;
  for (int i = 0; i < 4; ++i) {  // four copies of the stream, each with one more token
    const std::vector<int> pages = page_run(i * b.num_pages(), b.num_pages());
    run_plan(b.decoder, {row_of(b.slice(0, n - 5 + i), 0, pages, Logits::kNone)});
    rows.push_back(row_of(b.slice(n - 5 + i, n - 4 + i), n - 5 + i, pages, Logits::kLast));
  }
  rows.push_back(row_of(b.slice(0, chunk), 0, page_run(4 * b.num_pages(), b.num_pages()), Logits::kAll));
  rows.push_back(row_of(b.slice(0, 3), 0, page_run(5 * b.num_pages(), 1), Logits::kNone));
  run_plan(b.decoder, rows);
  for (int i = 0; i < 4; ++i)
    CHECK(b.report, same_bits(b.want(n - 5 + i), b.decoder.logits(i)),
          b.what + " in company, row " + std::to_string(i));
  const std::vector<float> whole(b.logits.begin(),
                                 b.logits.begin() + static_cast<std::ptrdiff_t>(chunk) * b.model().vocab_size);
  CHECK(b.report, same_bits(whole, b.decoder.logits(4)), b.what + " chunk in company");
  CHECK(b.report, b.decoder.logits(5).empty(), b.what + " no logits");
}

// Many streams over the same first pages, each with its own copy of the tail, continue together as each does alone.
void check_shared_prefix(const Bench& b, Random& random) {
  constexpr int kStreams = 7;
  const int n = static_cast<int>(b.tokens.size());
  const int shared = n / 64;
  run_plan(b.decoder, {row_of(b.tokens, 0, page_run(0, b.num_pages()), Logits::kNone)});
  std::vector<PlanRow> rows;
  for (int i = 0; i < kStreams; ++i) {
    const int tail = shared + 1 + 2 * i;
    b.decoder.copy_page(shared, tail);
    std::vector<int> pages = page_run(0, shared);
    pages.insert(pages.end(), {tail, tail + 1});
    rows.push_back(row_of(random_tokens(random, b.model(), 1), n, pages, Logits::kLast));
  }
  run_plan(b.decoder, rows);
  std::vector<std::vector<float>> together;
  for (int i = 0; i < kStreams; ++i) together.push_back(b.decoder.logits(i));
  for (int i = 0; i < kStreams; ++i) {
    run_plan(b.decoder, {rows[i]});
    CHECK(b.report, same_bits(together[i], b.decoder.logits(0)), b.what + " shared, stream " + std::to_string(i));
  }
  CHECK(b.report, !same_bits(together[0], together[1]) || rows[0].tokens == rows[1].tokens, b.what + " streams differ");
}

// Tokens given as their embedding vectors.
void check_embeddings(const Bench& b) {
  PlanRow row = row_of(b.slice(0, 5), 0, page_run(0, 1), Logits::kAll);
  row.tokens[1] = row.tokens[2] = 0;
  std::vector<float> vectors(2 * static_cast<size_t>(b.model().d_model));
  for (int i = 0; i < 2; ++i) {
    float* vector = vectors.data() + static_cast<size_t>(i) * b.model().d_model;
    b.model().embedding->row(b.tokens[1 + i], vector);
    for (int d = 0; d < b.model().d_model; ++d) vector[d] *= b.model().embedding_scale;
  }
  row.embeddings = {{1, vectors}};
  run_plan(b.decoder, {row});
  const std::vector<float> want(b.logits.begin(), b.logits.begin() + std::ptrdiff_t{5} * b.model().vocab_size);
  CHECK(b.report, same_bits(want, b.decoder.logits(0)), b.what + " embeddings in place of tokens");
}

void check_target(Report& report, const Subject& subject, const std::vector<int>& tokens, std::vector<float>& logits,
                  const std::string& target, int threads) {
  use_target(target);
  Random random(7);
  Decoder decoder(subject.model, kPages, threads, subject.format);
  const std::string what = std::string(subject.name) + " " + target + ", " + std::to_string(threads) + " threads";
  const std::vector<float> whole = whole_logits(decoder, tokens);
  if (logits.empty()) logits = whole;
  CHECK(report, checksum(whole) == subject.expected, what + ": checksum " + std::to_string(checksum(whole)) + "U");
  CHECK(report, same_bits(whole, logits), what);
  const auto [low, high] = std::minmax_element(whole.begin(), whole.end());
  CHECK(report, *low > -100 && *low < -1 && *high > 1 && *high < 100, what + ": logits of a sensible size");
  const Bench bench{report, subject, tokens, logits, decoder, what};
  check_chunks(bench, random);
  check_company(bench);
  check_shared_prefix(bench, random);
  check_embeddings(bench);
}

void check_subject(Report& report, const Subject& subject, const std::vector<int>& thread_counts) {
  Random random(5);
  const std::vector<int> tokens = random_tokens(random, *subject.model, subject.prompt);
  std::vector<float> logits;
  for (const std::string& target : supported_targets())
    for (const int threads : thread_counts) check_target(report, subject, tokens, logits, target, threads);
  use_target(supported_targets().front());
}

void check_int4(Report& report, const std::vector<int>& threads) {
  constexpr KvFormat kInt4 = KvFormat::kInt4;
  check_subject(report, {"tiny llama int4", tiny_llama(), 300, 18096743411299186408U, kInt4}, threads);
  check_subject(report, {"tiny gemma int4", tiny_gemma(), 90, 3313850093143043576U, kInt4}, threads);
  check_subject(report, {"tiny capped int4", tiny_capped(), 90, 2460103789825642876U, kInt4}, threads);
  check_subject(report, {"tiny experts int4", tiny_experts(), 230, 9251805218937640269U, kInt4}, threads);
  CHECK(report, 2 * Decoder(tiny_gemma(), 1, 1, kInt4).page_bytes() == Decoder(tiny_gemma(), 1, 1).page_bytes(),
        "int4 takes half the memory");
  try {
    Decoder(tiny_odd(), 1, 1, kInt4);
    CHECK(report, false, "heads of 23 elements in int4");
  } catch (const std::invalid_argument& error) {
    CHECK(report, std::string(error.what()).find("got 23") != std::string::npos, error.what());
  }
}

}  // namespace

void test_decoder(Report& report, const Options& options) {
  const std::vector<int> threads = options.quick ? std::vector<int>{2} : std::vector<int>{1, 2, 3};
  check_subject(report, {"tiny llama", tiny_llama(), 300, 13112260966824885319U}, threads);
  check_subject(report, {"tiny gemma", tiny_gemma(), 90, 3284718038402306091U}, threads);
  check_subject(report, {"tiny low bits", tiny_low_bits(), 90, 3474363700551642504U}, threads);
  check_subject(report, {"tiny odd", tiny_odd(), 280, 17039073081324026081U}, threads);
  check_subject(report, {"tiny mixed widths", tiny_mixed_widths(), 70, 8028817265033222376U}, threads);
  check_subject(report, {"tiny olmo", tiny_olmo(), 150, 12732752789253021769U}, threads);
  check_subject(report, {"tiny capped", tiny_capped(), 90, 6884370902347178720U}, threads);
  check_subject(report, {"tiny experts", tiny_experts(), 230, 15213937167680047180U}, threads);
  check_subject(report, {"tiny odd experts", tiny_odd_experts(), 90, 853539886756854668U}, threads);
  check_int4(report, threads);
}

}  // namespace pennyweight::test
