// Plans, masks and sampling options as no sane caller would make them: each is refused by std::invalid_argument before
// anything starts, or runs to its end with tokens of the vocabulary or a row's error. Never undefined behaviour: this
// is meant for the address and undefined-behaviour sanitizers.
#include <climits>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "streams.h"
#include "tests.h"
#include "tiny_adapters.h"
#include "tiny_model.h"

namespace pennyweight::test {

namespace {

constexpr int kPages = 8;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();

template <class T, size_t kCount>
T one_of(Random& random, const T (&choices)[kCount]) {
  return choices[random.below(static_cast<int>(kCount))];
}

int hostile_int(Random& random) {
  constexpr int kInts[] = {0, -1, 1, 63, 64, 65, 70, 100, INT_MIN, INT_MAX, INT_MAX - 1, INT_MAX - 63, 1 << 30};
  return one_of(random, kInts);
}

float hostile_float(Random& random) {
  constexpr float kFloats[] = {0.0F,     -0.0F,     1.0F,  -1.0F, 1e-38F,    1e-45F,
                               kLargest, -kLargest, 1e30F, kNaN,  kInfinity, -kInfinity};
  return one_of(random, kFloats);
}

struct Subject {
  Report& report;
  Random& random;
  const Model& model;
  Decoder& decoder;
  std::vector<int> slots;
  AdapterPointer stranger;  // made for another model
};

// A plain row over its own pages.
PlanRow sound_row(const Subject& s, int first_page) {
  const int count = s.random.between(1, 20);
  PlanRow row = row_of(random_tokens(s.random, s.model, count), s.random.below(100), page_run(first_page, 2),
                       s.random.one_in(3) ? Logits::kAll : Logits::kLast);
  if (s.random.one_in(2)) row.sampler = s.slots[first_page / 2];
  if (row.sampler && s.random.one_in(3)) row.draft_length = s.random.below(count);
  if (row.logits == Logits::kAll && s.random.one_in(2)) row.targets = row.tokens;
  return row;
}

void spoil(const Subject& s, PlanRow& row) {
  Random& random = s.random;
  switch (random.below(13)) {
    case 0:
      row.tokens.push_back(hostile_int(random));
      break;
    case 1:
      row.tokens.resize(random.one_in(2) ? 0 : 200);
      break;
    case 2:
      row.position = hostile_int(random);
      break;
    case 3:
      row.pages.insert(row.pages.begin(), hostile_int(random));
      break;
    case 4:
      row.pages.resize(random.below(5));
      break;
    case 5:
      row.sampler = hostile_int(random);
      break;
    case 6:
      row.draft_length = hostile_int(random);
      break;
    case 7:
      row.targets.assign(random.one_in(2) ? row.tokens.size() : random.below(30), hostile_int(random));
      break;
    case 8:
      row.logits = one_of(random, {Logits::kNone, Logits::kLast, Logits::kAll});
      break;
    case 9:
      row.masked = true;
      break;
    case 10:
      row.hidden = true;
      break;
    case 11:
      row.adapter = s.stranger;
      break;
    default: {
      const int vectors = random.between(0, 3);
      const size_t size = static_cast<size_t>(s.model.d_model) * vectors + random.one_in(4);
      std::vector<float> values(size);
      for (float& x : values) x = random.one_in(2) ? hostile_float(random) : random.normal();
      row.embeddings.emplace_back(random.one_in(2) ? 0 : hostile_int(random), values);
    }
  }
}

// Masks for the masked rows; some of the wrong size, for the wrong row, or allowing nothing.
std::map<int, Mask> masks_for(const Subject& s, const std::vector<PlanRow>& rows, bool sound) {
  const size_t words = (static_cast<size_t>(s.model.vocab_size) + 31) / 32;
  std::map<int, Mask> masks;
  for (int i = 0; i < static_cast<int>(rows.size()); ++i)
    if (rows[i].masked) masks[i] = Mask(words, s.random.one_in(3) ? 0 : static_cast<uint32_t>(s.random.next()));
  if (sound) return masks;
  if (!masks.empty() && s.random.one_in(2)) masks.begin()->second.resize(s.random.one_in(2) ? 0 : words + 1);
  if (s.random.one_in(2)) masks[hostile_int(s.random)] = Mask(words);
  return masks;
}

void check_results(const Subject& s, const std::vector<StepResult>& steps, size_t num_rows) {
  CHECK(s.report, !steps.empty() && steps[0].size() == num_rows, "a result for each row");
  for (const StepResult& step : steps)
    for (const RowResult& result : step)
      for (const int token : result.tokens)
        CHECK(s.report, token >= 0 && token < s.model.vocab_size, "token " + std::to_string(token));
}

// True if the plan ran.
bool check_plan(const Subject& s) {
  std::vector<PlanRow> rows;
  for (int i = 0, n = s.random.between(1, 3); i < n; ++i) rows.push_back(sound_row(s, 2 * i));
  for (int i = 0, n = s.random.below(3); i < n; ++i) spoil(s, rows[s.random.below(static_cast<int>(rows.size()))]);
  const int steps = s.random.one_in(4) ? hostile_int(s.random) : 1;
  try {
    s.decoder.begin(rows, steps);
  } catch (const std::invalid_argument&) {
    return false;
  }
  std::vector<StepResult> all;
  for (bool done = false; !done;) {
    // Refused masks leave the plan waiting for better ones.
    const bool sound = s.random.one_in(2);
    try {
      auto [finished, last] = s.decoder.finish(all.empty() ? masks_for(s, rows, sound) : std::map<int, Mask>(),
                                               std::chrono::milliseconds(10));
      done = last;
      all.insert(all.end(), finished.begin(), finished.end());
    } catch (const std::invalid_argument&) {
      continue;
    }
  }
  check_results(s, all, rows.size());
  return true;
}

// Pages whose bytes came from somewhere else: whatever they hold, scales that are no numbers among it.
void check_foreign_pages(const Subject& s) {
  std::vector<uint8_t> bytes(s.decoder.page_bytes());
  for (const int kind : {0x00, 0xff, 0x7f, -1}) {
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(kind < 0 ? s.random.below(256) : kind);
    for (const int page : {0, 1}) s.decoder.write_page(page, bytes);
    PlanRow row;
    row.tokens = {1, 2};
    row.position = 70;
    row.pages = {0, 1};
    row.sampler = s.slots[0];
    row.logits = Logits::kLast;
    s.decoder.begin({row}, 1);
    check_results(s, s.decoder.finish({}, std::chrono::seconds(10)).first, 1);
  }
  bool refused = false;
  try {
    bytes.pop_back();
    s.decoder.write_page(0, bytes);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  CHECK(s.report, refused, "a page of the wrong size");
}

void check_plans(Report& report, Random& random, const std::shared_ptr<const Model>& model, int num_plans) {
  Decoder decoder(model, kPages, 2);
  SamplingOptions greedy;
  greedy.temperature = 0;
  SamplingOptions varied;
  varied.top_k = 5;
  varied.repetition_penalty = 1.2F;
  varied.top_logprobs = 20;
  Subject s{report, random, *model, decoder, {}, random_adapter(random, tiny_odd(), 3, kAttentionRoles)};
  for (const SamplingOptions& options : {greedy, varied, varied}) s.slots.push_back(decoder.open_sampler(options, {}));
  int ran = 0;
  for (int i = 0; i < num_plans; ++i) ran += check_plan(s);
  CHECK(report, ran > num_plans / 8 && ran < num_plans, "plans that ran: " + std::to_string(ran));
  for (const int page : {-1, kPages, INT_MIN, INT_MAX}) {
    bool refused = false;
    try {
      decoder.copy_page(0, page);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CHECK(report, refused, "a copy to page " + std::to_string(page));
  }
  check_foreign_pages(s);
}

SamplingOptions hostile_options(Random& random, int vocab) {
  SamplingOptions o;
  auto number = [&](float sound) { return random.one_in(4) ? hostile_float(random) : sound; };
  o.seed = random.next();
  o.temperature = number(random.one_in(2) ? 0.0F : 0.7F);
  o.top_k = random.one_in(4) ? hostile_int(random) : 0;
  o.top_p = number(0.9F);
  o.min_p = number(0.0F);
  o.repetition_penalty = number(1.0F);
  o.presence_penalty = number(0.0F);
  o.frequency_penalty = number(0.0F);
  if (random.one_in(3)) o.logit_bias = {{random.one_in(4) ? hostile_int(random) : 3, number(1.0F)}, {3, number(2.0F)}};
  if (random.one_in(3)) o.end_tokens = {random.one_in(4) ? hostile_int(random) : vocab - 1};
  if (random.one_in(3)) o.min_tokens = hostile_int(random);
  if (random.one_in(2)) o.top_logprobs = random.one_in(4) ? hostile_int(random) : 20;
  return o;
}

// A sampler of any options over any logits: refused, or a token, or std::runtime_error. True if it drew.
bool check_sampler(Report& report, Random& random, const KernelTable& kernels) {
  const int vocab = random.between(1, 70);
  std::vector<float> logits = random.floats(vocab, 5.0F);
  for (float& z : logits)
    if (random.one_in(8)) z = std::abs(z) > 4 ? hostile_float(random) : kLargest * random.uniform();
  if (random.one_in(2))
    for (float& z : logits) z = std::isfinite(z) ? z : 0.0F;
  const Mask mask((static_cast<size_t>(vocab) + 31) / 32, static_cast<uint32_t>(random.next()));
  SamplingScratch scratch;
  const std::vector<int> prompt = {hostile_int(random), 0, vocab - 1};
  bool drew = false;
  try {
    Sampler sampler(hostile_options(random, vocab), vocab, prompt);
    for (int i = 0; i < 4; ++i) {
      const bool masked = random.one_in(4);
      const std::vector<int> ahead(random.one_in(2) ? i : 0, i % vocab);
      const Chosen chosen = sampler.choose(kernels, logits.data(),
                                           masked ? std::span(mask) : std::span<const uint32_t>(), ahead, scratch);
      sampler.take(chosen.token);
      CHECK(report, chosen.token >= 0 && chosen.token < vocab, "token " + std::to_string(chosen.token));
      drew = true;
    }
  } catch (const std::invalid_argument&) {
  } catch (const std::runtime_error&) {
  }
  return drew;
}

}  // namespace

void test_hostile_plans(Report& report, const Options& options) {
  Random random(2929);
  const int count = options.quick ? 400 : 3000;
  for (const std::string& target : supported_targets()) {
    use_target(target);
    for (const auto& model : {tiny_llama(), tiny_gemma()}) check_plans(report, random, model, count / 4);
    int drew = 0;
    for (int i = 0; i < 4 * count; ++i) drew += check_sampler(report, random, kernels_of(target));
    CHECK(report, drew > count / 8, "samplers that drew: " + std::to_string(drew));
  }
  use_target(supported_targets().front());
}

}  // namespace pennyweight::test
