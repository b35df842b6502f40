#include "streams.h"

#include <numeric>

namespace pennyweight::test {

std::vector<StepResult> run_plan(Decoder& decoder, std::vector<PlanRow> rows, int steps, std::map<int, Mask> masks) {
  decoder.begin(std::move(rows), steps);
  std::vector<StepResult> all;
  for (bool done = false; !done;) {
    auto [finished, last] = decoder.finish(std::move(masks), std::chrono::milliseconds(10));
    masks.clear();
    done = last;
    all.insert(all.end(), std::make_move_iterator(finished.begin()), std::make_move_iterator(finished.end()));
  }
  return all;
}

std::vector<int> random_tokens(Random& random, const Model& model, int n) {
  std::vector<int> tokens(n);
  for (int& token : tokens) token = random.below(model.vocab_size);
  return tokens;
}

std::vector<int> page_run(int first, int n) {
  std::vector<int> pages(n);
  std::iota(pages.begin(), pages.end(), first);
  return pages;
}

PlanRow row_of(std::vector<int> tokens, int position, std::vector<int> pages, Logits logits) {
  PlanRow row;
  row.tokens = std::move(tokens);
  row.position = position;
  row.pages = std::move(pages);
  row.logits = logits;
  return row;
}

std::vector<float> whole_logits(Decoder& decoder, const std::vector<int>& tokens) {
  const int pages = static_cast<int>(tokens.size() + Cache::kPageTokens - 1) / Cache::kPageTokens;
  run_plan(decoder, {row_of(tokens, 0, page_run(0, pages), Logits::kAll)});
  return decoder.logits(0);
}

std::vector<float> at_position(const std::vector<float>& logits, const Model& model, int i) {
  const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(i) * model.vocab_size;
  return {begin, begin + model.vocab_size};
}

uint64_t checksum(const std::vector<float>& values, uint64_t hash) {
  for (const float value : values) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ (bits >> shift & 255)) * 0x100000001b3U;
  }
  return hash;
}

}  // namespace pennyweight::test
