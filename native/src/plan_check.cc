// What a plan and its masks must be before a step reads them.
#include <set>
#include <stdexcept>
#include <string>

#include "pennyweight/decoder.h"
#include "require.h"

namespace pennyweight {

void Decoder::check(const std::vector<PlanRow>& rows, int steps) const {
  require(!rows.empty(), "a plan needs at least one row");
  require(steps >= 1, "steps must be at least 1, got " + std::to_string(steps));
  std::set<int> samplers;
  for (size_t i = 0; i < rows.size(); ++i) {
    check_row(rows[i], static_cast<int>(i), steps);
    if (rows[i].sampler)
      require(samplers.insert(*rows[i].sampler).second, "row " + std::to_string(i) + ": sampler slot " +
                                                            std::to_string(*rows[i].sampler) + " serves another row");
  }
}

void Decoder::check_row(const PlanRow& row, int index, int steps) const {
  const std::string where = "row " + std::to_string(index) + ": ";
  const int count = static_cast<int>(row.tokens.size());
  require(count > 0, where + "no tokens");
  require(row.position >= 0, where + "negative position " + std::to_string(row.position));
  for (int token : row.tokens)
    require(token >= 0 && token < model_->vocab_size, where + "token " + std::to_string(token) +
                                                          " is outside the vocabulary of " +
                                                          std::to_string(model_->vocab_size));
  const int64_t positions = int64_t{row.position} + count + steps - 1;
  require(static_cast<int64_t>(row.pages.size()) * Cache::kPageTokens >= positions,
          where + std::to_string(row.pages.size()) + " pages do not hold " + std::to_string(positions) + " positions");
  for (int page : row.pages)
    require(page >= 0 && page < num_pages(), where + "there is no page " + std::to_string(page));
  require(!row.sampler || samplers_.contains(*row.sampler),
          where + "there is no sampler slot " + std::to_string(row.sampler.value_or(0)));
  require(!row.sampler || row.logits != Logits::kNone, where + "a sampled row needs logits");
  require(row.draft_length >= 0 && row.draft_length < count, where + "a draft of " + std::to_string(row.draft_length) +
                                                                 " needs more tokens than " + std::to_string(count));
  require(row.draft_length == 0 || row.sampler, where + "a draft needs a sampler");
  require(row.targets.empty() || (row.logits == Logits::kAll && row.targets.size() == row.tokens.size()),
          where + "targets need logits ALL and one target per token");
  require(row.target_top >= 0 && row.target_top <= 20, where + "target_top must be 0 to 20");
  for (int token : row.targets)
    require(token >= 0 && token < model_->vocab_size,
            where + "target " + std::to_string(token) + " is outside the vocabulary");
  require(!row.hidden || row.logits != Logits::kNone, where + "a hidden state needs logits");
  require(!row.masked || row.sampler, where + "a masked row needs a sampler");
  require(row.taken.empty() || row.sampler, where + "taken tokens need a sampler to count them");
  for (int token : row.taken)
    require(token >= 0 && token < model_->vocab_size,
            where + "taken token " + std::to_string(token) + " is outside the vocabulary");
  require(!row.adapter || row.adapter->model() == model_.get(), where + "its adapter was made for another model");
  for (const auto& [start, vectors] : row.embeddings)
    require(start >= 0 && vectors.size() % model_->d_model == 0 &&
                start + static_cast<int64_t>(vectors.size()) / model_->d_model <= count,
            where + "embeddings must be vectors of " + std::to_string(model_->d_model) + " inside the row's tokens");
  if (steps > 1)
    require(row.sampler && count == 1 && !row.masked && row.logits == Logits::kLast && !row.hidden &&
                row.embeddings.empty(),
            where + "with several steps a row is one sampled token, unmasked");
}

void Decoder::check_masks(const std::map<int, Mask>& masks) const {
  const size_t words = mask_words();
  for (const auto& [row, mask] : masks) {
    const std::string where = "the mask of row " + std::to_string(row);
    require(row >= 0 && row < static_cast<int>(rows_.size()) && rows_[row].masked,
            "a mask was given for row " + std::to_string(row) + ", which is not masked");
    require(!mask.empty() && mask.size() % words == 0, where + " has " + std::to_string(mask.size()) +
                                                           " words, expected " + std::to_string(words) +
                                                           " for each of its positions");
    require(mask.size() / words <= static_cast<size_t>(rows_[row].draft_length) + 1,
            where + " covers " + std::to_string(mask.size() / words) + " positions, the row samples at " +
                std::to_string(rows_[row].draft_length + 1));
  }
}

}  // namespace pennyweight
