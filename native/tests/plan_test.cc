// Plans of the decoder: several steps, drafts, masks, interruption, and refusals that change nothing.
#include <stdexcept>
#include <thread>

#include "streams.h"
#include "tests.h"
#include "tiny_model.h"

namespace pennyweight::test {

namespace {

constexpr int kPages = 16;

struct Case {
  Report& report;
  std::shared_ptr<const Model> model;
  std::vector<int> prompt;
  SamplingOptions options;
  std::string what;
};

// Opens a stream on pages [first, first + 4): its sampler, and its first token.
std::pair<int, int> open(const Case& c, Decoder& decoder, int first) {
  const int slot = decoder.open_sampler(c.options, c.prompt);
  PlanRow row = row_of(c.prompt, 0, page_run(first, 4), Logits::kLast);
  row.sampler = slot;
  return {slot, run_plan(decoder, {row})[0][0].tokens[0]};
}

PlanRow next_row(const Case& c, std::vector<int> tokens, int taken, int first, int slot) {
  PlanRow row =
      row_of(std::move(tokens), static_cast<int>(c.prompt.size()) + taken - 1, page_run(first, 4), Logits::kLast);
  row.sampler = slot;
  return row;
}

// n tokens, one plan each.
std::vector<int> one_by_one(const Case& c, Decoder& decoder, int n) {
  auto [slot, token] = open(c, decoder, 0);
  std::vector<int> tokens = {token};
  while (static_cast<int>(tokens.size()) < n) {
    const std::vector<PlanRow> rows = {next_row(c, {tokens.back()}, static_cast<int>(tokens.size()), 0, slot)};
    tokens.push_back(run_plan(decoder, rows)[0][0].tokens[0]);
  }
  decoder.close_sampler(slot);
  return tokens;
}

// The same tokens from plans of several steps, beside a second stream.
void check_steps(const Case& c, Decoder& decoder, const std::vector<int>& want) {
  const auto [slot, token] = open(c, decoder, 4);
  const auto [other, other_token] = open(c, decoder, 8);
  std::vector<int> tokens = {token};
  std::vector<int> others = {other_token};
  while (tokens.size() < want.size()) {
    const int steps = std::min<int>(5, static_cast<int>(want.size() - tokens.size()));
    const int taken = static_cast<int>(tokens.size());
    for (const StepResult& step : run_plan(
             decoder, {next_row(c, {others.back()}, taken, 8, other), next_row(c, {tokens.back()}, taken, 4, slot)},
             steps)) {
      others.push_back(step[0].tokens[0]);
      tokens.push_back(step[1].tokens[0]);
    }
  }
  CHECK(c.report, tokens == want && others == want, c.what + " several steps");
  decoder.close_sampler(slot);
  decoder.close_sampler(other);
}

// A draft of the right tokens with a wrong one at `wrong`: accepted up to there, and the text is the same.
void check_draft(const Case& c, Decoder& decoder, const std::vector<int>& want, int wrong) {
  const auto [slot, token] = open(c, decoder, 12);
  std::vector<int> draft(want.begin(), want.begin() + 6);
  if (wrong < 6) draft[wrong] = (draft[wrong] + 1) % c.model->vocab_size;
  PlanRow row = next_row(c, draft, 1, 12, slot);
  row.draft_length = 5;
  const RowResult result = run_plan(decoder, {row})[0][0];
  const int accepted = std::min(wrong - 1, 5);
  CHECK(c.report, token == want[0] && result.accepted_drafts == accepted,
        c.what + " draft, wrong at " + std::to_string(wrong));
  const std::vector<int> expected(want.begin() + 1, want.begin() + 2 + accepted);
  CHECK(c.report, result.tokens == expected, c.what + " tokens of a draft, wrong at " + std::to_string(wrong));
  decoder.close_sampler(slot);
}

// A mask that allows two tokens, given after a pause: the step waits for it.
void check_mask(const Case& c, Decoder& decoder) {
  Mask mask((static_cast<size_t>(c.model->vocab_size) + 31) / 32);
  mask[0] = 1U << 7;
  mask[1] = 1U << 9;
  const int slot = decoder.open_sampler(c.options, c.prompt);
  PlanRow row = row_of(c.prompt, 0, page_run(0, 4), Logits::kLast);
  row.sampler = slot;
  row.masked = true;
  decoder.begin({row, row_of({1, 2}, 0, page_run(4, 1), Logits::kNone)}, 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  const auto [steps, done] = decoder.finish({{0, mask}}, std::chrono::milliseconds(1));
  const int token = steps.at(0).at(0).tokens.at(0);
  CHECK(c.report, done && (token == 7 || token == 41), c.what + " masked token " + std::to_string(token));
  decoder.close_sampler(slot);
}

// An interrupted plan ends early, with the tokens it would have had.
void check_interrupt(const Case& c, Decoder& decoder, const std::vector<int>& want) {
  const auto [slot, token] = open(c, decoder, 0);
  const int steps = static_cast<int>(want.size()) - 1;
  decoder.begin({next_row(c, {token}, 1, 0, slot)}, steps);
  std::thread([&] { decoder.interrupt(); }).join();
  std::vector<int> tokens = {token};
  for (bool done = false; !done;) {
    const auto [finished, last] = decoder.finish({}, std::chrono::milliseconds(5));
    for (const StepResult& step : finished) tokens.push_back(step[0].tokens[0]);
    done = last;
  }
  CHECK(c.report, tokens.size() > 1 && std::equal(tokens.begin(), tokens.end(), want.begin()), c.what + " interrupted");
  decoder.close_sampler(slot);
}

// An end token stops its row; the plan goes on for the other.
void check_end(const Case& c, Decoder& decoder, const std::vector<int>& want) {
  Case ending = c;
  ending.options.end_tokens = {want[3]};
  const size_t first = static_cast<size_t>(std::find(want.begin(), want.end(), want[3]) - want.begin());
  if (first == 0) return;
  const auto [slot, token] = open(ending, decoder, 0);
  const auto [other, other_token] = open(c, decoder, 4);
  const std::vector<StepResult> steps =
      run_plan(decoder, {next_row(c, {token}, 1, 0, slot), next_row(c, {other_token}, 1, 4, other)}, 5);
  CHECK(c.report, steps.size() == 5 && steps[first - 1][0].stopped && !steps[first - 1][1].stopped, c.what + " end");
  for (size_t i = first; i < steps.size(); ++i)
    CHECK(c.report, steps[i].size() == 1 && steps[i][0].row == 1, c.what + " after the end");
  decoder.close_sampler(slot);
  decoder.close_sampler(other);
}

template <class Action>
void check_refused(const Case& c, const char* what, Action action) {
  bool refused = false;
  try {
    action();
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  CHECK(c.report, refused, c.what + " refuses " + what);
}

void check_refusals(const Case& c, Decoder& decoder) {
  auto begin = [&](PlanRow row) { return [&decoder, row] { decoder.begin({row}, 1); }; };
  const PlanRow good = row_of({1, 2, 3}, 0, {0}, Logits::kLast);
  PlanRow row = good;
  row.tokens[1] = c.model->vocab_size;
  check_refused(c, "a token beyond the vocabulary", begin(row));
  row = good;
  row.position = 62;
  check_refused(c, "positions beyond the pages", begin(row));
  row = good;
  row.pages = {kPages};
  check_refused(c, "a page that is not there", begin(row));
  row = good;
  row.sampler = 999;
  check_refused(c, "a sampler that is not there", begin(row));
  row = good;
  row.tokens.clear();
  check_refused(c, "no tokens", begin(row));
  check_refused(c, "no rows", [&] { decoder.begin({}, 1); });
  check_refused(c, "an unknown target", [] { use_target("abacus"); });
  CHECK(c.report, run_plan(decoder, {good}).size() == 1, c.what + " works after refusals");
}

}  // namespace

void test_plans(Report& report, const Options& options) {
  const std::shared_ptr<const Model> model = tiny_llama();
  Random random(11);
  const std::vector<int> prompt = random_tokens(random, *model, 61);  // the fourth token opens a page
  SamplingOptions greedy;
  greedy.temperature = 0;
  SamplingOptions varied;
  varied.seed = 12345678901234567U;
  varied.temperature = 0.9F;
  varied.top_k = 40;
  varied.top_p = 0.95F;
  varied.repetition_penalty = 1.1F;
  varied.frequency_penalty = 0.3F;
  for (const int threads : options.quick ? std::vector<int>{2} : std::vector<int>{1, 2, 4}) {
    Decoder decoder(model, kPages, threads);
    for (const SamplingOptions& sampling : {greedy, varied}) {
      const Case c{report, model, prompt, sampling,
                   std::to_string(threads) + " threads, temperature " + std::to_string(sampling.temperature)};
      const std::vector<int> want = one_by_one(c, decoder, 24);
      check_steps(c, decoder, want);
      for (int wrong = 1; wrong <= 6; ++wrong) check_draft(c, decoder, want, wrong);
      check_mask(c, decoder);
      check_interrupt(c, decoder, want);
      check_end(c, decoder, want);
      check_refusals(c, decoder);
    }
  }
}

}  // namespace pennyweight::test
