#include "pennyweight/decoder.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "pennyweight/isa.h"
#include "pennyweight/topology.h"

namespace pennyweight {

namespace {

void require(bool ok, const std::string& message) {
  if (!ok) throw std::invalid_argument(message);
}

int checked(int value, int least, const char* name) {
  require(value >= least,
          std::string(name) + " must be at least " + std::to_string(least) + ", got " + std::to_string(value));
  return value;
}

std::shared_ptr<const Model> checked(std::shared_ptr<const Model> model) {
  model->check();
  return model;
}

}  // namespace

Decoder::Decoder(std::shared_ptr<const Model> model, int num_pages, int num_threads)
    : model_(checked(std::move(model))),
      kernels_(active_kernels()),
      cache_(static_cast<int>(model_->layers.size()), model_->num_kv_heads, padded_head(model_->head_dim),
             checked(num_pages, 1, "num_pages")),
      team_(checked(num_threads, 0, "num_threads") > 0 ? num_threads : useful_threads()),
      step_(*model_, cache_, kernels_, team_),
      scratch_(team_.size()) {}

Decoder::~Decoder() {
  interrupt();
  {
    const std::scoped_lock lock(mutex_);
    masks_given_ = true;  // a step that waits for masks goes on without
  }
  changed_.notify_all();
  team_.wait();
}

int Decoder::open_sampler(SamplingOptions options, std::span<const int> prompt) {
  check_idle("open a sampler");
  samplers_.try_emplace(next_sampler_, std::move(options), model_->vocab_size, prompt);
  return next_sampler_++;
}

void Decoder::close_sampler(int slot) {
  check_idle("close a sampler");
  require(samplers_.erase(slot) == 1, "there is no sampler slot " + std::to_string(slot));
}

void Decoder::copy_page(int source, int destination) {
  check_idle("copy a page");
  for (int page : {source, destination})
    require(page >= 0 && page < num_pages(), "there is no page " + std::to_string(page));
  cache_.copy_page(source, destination);
}

size_t Decoder::buffer_bytes() const {
  check_idle("measure its buffers");
  size_t total = step_.bytes();
  for (const SamplingScratch& scratch : scratch_) total += scratch.bytes();
  return total;
}

void Decoder::check_idle(const char* action) const {
  const std::scoped_lock lock(mutex_);
  if (!done_) throw std::runtime_error(std::string("cannot ") + action + " while a plan runs");
}

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
  require(!row.adapter, where + "there is no adapter slot " + std::to_string(row.adapter.value_or(0)));
  for (const auto& [start, vectors] : row.embeddings)
    require(start >= 0 && vectors.size() % model_->d_model == 0 &&
                start + static_cast<int64_t>(vectors.size()) / model_->d_model <= count,
            where + "embeddings must be vectors of " + std::to_string(model_->d_model) + " inside the row's tokens");
  if (steps > 1)
    require(row.sampler && count == 1 && !row.masked && row.logits == Logits::kLast && !row.hidden &&
                row.embeddings.empty(),
            where + "with several steps a row is one sampled token, unmasked");
}

void Decoder::begin(std::vector<PlanRow> rows, int steps) {
  check_idle("begin a plan");
  check(rows, steps);
  team_.wait();
  rows_ = std::move(rows);
  steps_left_ = steps;
  active_.resize(rows_.size());
  for (size_t i = 0; i < rows_.size(); ++i) active_[i] = static_cast<int>(i);
  lay_out();
  interrupted_.store(false, std::memory_order_relaxed);
  {
    const std::scoped_lock lock(mutex_);
    finished_.clear();
    masks_.clear();
    masks_given_ = std::none_of(rows_.begin(), rows_.end(), [](const PlanRow& r) { return r.masked; });
    done_ = failed_ = false;
  }
  team_.start([this](int thread) { run(thread); });
}

// The batch of the coming step, from the active rows.
void Decoder::lay_out() {
  batch_ = {};
  first_logit_.assign(rows_.size(), 0);
  num_logits_.assign(rows_.size(), 0);
  for (int index : active_) {
    const PlanRow& row = rows_[index];
    const int first = static_cast<int>(batch_.tokens.size());
    const int count = static_cast<int>(row.tokens.size());
    batch_.sequences.push_back({row.pages.data(), first, count, row.position});
    for (int i = 0; i < count; ++i) {
      batch_.tokens.push_back(row.tokens[i]);
      batch_.positions.push_back(row.position + i);
    }
    for (const auto& [start, vectors] : row.embeddings)
      for (size_t v = 0; v * model_->d_model < vectors.size(); ++v)
        batch_.embedded.push_back({first + start + static_cast<int>(v), vectors.data() + v * model_->d_model});
    const int wanted = row.logits == Logits::kNone ? 0 : row.logits == Logits::kAll ? count : 1 + row.draft_length;
    first_logit_[index] = static_cast<int>(batch_.logit_rows.size());
    num_logits_[index] = wanted;
    for (int i = count - wanted; i < count; ++i) batch_.logit_rows.push_back(first + i);
  }
  results_.assign(active_.size(), {});
  step_.prepare(batch_);
}

// All threads together: steps until the plan ends.
void Decoder::run(int thread) {
  do {
    step_.run(thread, batch_);
    if (thread == 0) await_masks();
    team_.barrier(thread);
    team_.for_each(thread, static_cast<int>(active_.size()), [&](int i) {
      try {
        results_[i].row = active_[i];
        score_targets(active_[i], scratch_[thread], results_[i]);
        sample_row(active_[i], scratch_[thread], results_[i]);
      } catch (const std::exception& e) {
        results_[i].error = e.what();
      }
    });
    if (thread == 0) go_on_ = advance();
    team_.barrier(thread);
  } while (go_on_);
}

void Decoder::await_masks() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return masks_given_; });
}

void Decoder::score_targets(int index, SamplingScratch& scratch, RowResult& result) {
  const PlanRow& row = rows_[index];
  for (size_t i = 0; i < row.targets.size(); ++i) {
    const float* z = step_.logits(first_logit_[index] + static_cast<int>(i));
    require_finite(kernels_, z, model_->vocab_size);
    const float best = kernels_.maximum(z, model_->vocab_size);
    const double normalizer = log_sum_exp(kernels_, z, model_->vocab_size, best, scratch);
    result.target_logprobs.push_back(static_cast<float>(z[row.targets[i]] - normalizer));
    if (row.target_top > 0)
      result.target_top.push_back(
          likeliest(kernels_, z, model_->vocab_size, row.target_top, best, normalizer, scratch));
  }
  if (row.hidden) {
    const float* state = step_.hidden(first_logit_[index] + num_logits_[index] - 1);
    result.hidden.assign(state, state + model_->d_model);
  }
}

// Samples after the last token, or after each token of a draft for as long as the draft was right and masks are there.
void Decoder::sample_row(int index, SamplingScratch& scratch, RowResult& result) {
  PlanRow& row = rows_[index];
  if (!row.sampler) return;
  Sampler& sampler = samplers_.at(*row.sampler);
  const auto mask = masks_.find(index);
  const bool masked = mask != masks_.end();
  const size_t words = mask_words();
  const int last = masked ? static_cast<int>(mask->second.size() / words) - 1 : row.draft_length;
  const int count = static_cast<int>(row.tokens.size());
  for (int token : row.taken) sampler.take(token);
  row.taken.clear();
  for (int i = 0; i <= last; ++i) {
    std::span<const uint32_t> allowed;
    if (masked) allowed = std::span(mask->second).subspan(i * words, words);
    const float* z = step_.logits(first_logit_[index] + num_logits_[index] - 1 - row.draft_length + i);
    Chosen chosen = sampler.sample(kernels_, z, allowed, scratch);
    result.tokens.push_back(chosen.token);
    if (sampler.options().top_logprobs) {
      result.logprobs.push_back(chosen.logprob);
      result.top.push_back(std::move(chosen.top));
    }
    result.stopped = chosen.ends;
    if (chosen.ends || i == last || chosen.token != row.tokens[count - row.draft_length + i]) return;
    ++result.accepted_drafts;
  }
}

// Publishes the step and prepares the next one; false ends the plan. Memory that runs out ends it with an error.
bool Decoder::advance() noexcept {
  try {
    std::vector<int> next;
    for (const RowResult& result : results_) {
      if (result.stopped || result.tokens.empty() || !result.error.empty()) continue;
      PlanRow& row = rows_[result.row];
      row.position += static_cast<int>(row.tokens.size());
      row.tokens = {result.tokens.back()};
      next.push_back(result.row);
    }
    --steps_left_;
    const bool go_on = steps_left_ > 0 && !next.empty() && !interrupted_.load(std::memory_order_relaxed);
    publish(!go_on);
    if (!go_on) return false;
    active_ = std::move(next);
    lay_out();
    return true;
  } catch (const std::exception&) {
    fail();
    return false;
  }
}

void Decoder::fail() noexcept {
  {
    const std::scoped_lock lock(mutex_);
    done_ = failed_ = true;
  }
  changed_.notify_all();
}

void Decoder::publish(bool done) {
  {
    const std::scoped_lock lock(mutex_);
    finished_.push_back(std::move(results_));
    done_ = done;
  }
  changed_.notify_all();
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

std::pair<std::vector<StepResult>, bool> Decoder::finish(std::map<int, Mask> masks,
                                                         std::chrono::duration<double> timeout) {
  check_masks(masks);
  std::unique_lock lock(mutex_);
  const bool was_waiting = !masks_given_;
  require(was_waiting || masks.empty(), "this plan has its masks already, or needs none");
  if (was_waiting) {
    for (size_t i = 0; i < rows_.size(); ++i)
      require(!rows_[i].masked || masks.contains(static_cast<int>(i)),
              "row " + std::to_string(i) + " is masked, but no mask was given");
    masks_ = std::move(masks);
    masks_given_ = true;
    changed_.notify_all();
  }
  auto ready = [this] { return done_ || !finished_.empty(); };
  if (was_waiting)
    changed_.wait(lock, ready);
  else
    changed_.wait_for(lock, timeout, ready);
  if (finished_.empty() && failed_) {
    failed_ = false;
    throw std::runtime_error("memory ran out between two steps");
  }
  std::vector<StepResult> steps(std::make_move_iterator(finished_.begin()), std::make_move_iterator(finished_.end()));
  finished_.clear();
  return {std::move(steps), done_ && !failed_};
}

std::vector<float> Decoder::logits(int row) const {
  check_idle("read logits");
  require(row >= 0 && row < static_cast<int>(num_logits_.size()), "the last plan had no row " + std::to_string(row));
  std::vector<float> all;
  for (int i = 0; i < num_logits_[row]; ++i) {
    const float* z = step_.logits(first_logit_[row] + i);
    all.insert(all.end(), z, z + model_->vocab_size);
  }
  return all;
}

}  // namespace pennyweight
