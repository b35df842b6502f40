#include "pennyweight/decoder.h"

#include <algorithm>
#include <functional>
#include <stdexcept>

#include "pennyweight/isa.h"
#include "pennyweight/topology.h"
#include "require.h"

namespace pennyweight {

namespace {

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

Decoder::Decoder(std::shared_ptr<const Model> model, int num_pages, int num_threads, KvFormat kv_format)
    : model_(checked(std::move(model))),
      kernels_(active_kernels()),
      cache_(static_cast<int>(model_->layers.size()), model_->num_kv_heads, model_->head_dim,
             checked(num_pages, 1, "num_pages"), kv_format),
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

void Decoder::commit_page(int page) {
  require(page >= 0 && page < num_pages(), "there is no page " + std::to_string(page));
  cache_.commit_page(page);
}

void Decoder::read_page(int page, std::span<uint8_t> bytes) {
  check_idle("read a page");
  require(page >= 0 && page < num_pages(), "there is no page " + std::to_string(page));
  require(bytes.size() == page_bytes(), "a page has " + std::to_string(page_bytes()) + " bytes");
  cache_.read_page(page, bytes.data());
}

void Decoder::write_page(int page, std::span<const uint8_t> bytes) {
  check_idle("write a page");
  require(page >= 0 && page < num_pages(), "there is no page " + std::to_string(page));
  require(bytes.size() == page_bytes(),
          "a page has " + std::to_string(page_bytes()) + " bytes, not " + std::to_string(bytes.size()));
  cache_.write_page(page, bytes.data());
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

// The active rows as they stand in the batch: those of one adapter together.
std::vector<int> Decoder::batch_order() const {
  std::vector<int> order = active_;
  if (std::none_of(order.begin(), order.end(), [this](int row) { return rows_[row].adapter != nullptr; })) return order;
  std::stable_sort(order.begin(), order.end(), [this](int a, int b) {
    return std::less<const Adapter*>()(rows_[a].adapter.get(), rows_[b].adapter.get());
  });
  return order;
}

// The batch of the coming step, from the active rows.
void Decoder::lay_out() {
  batch_ = {};
  first_logit_.assign(rows_.size(), 0);
  num_logits_.assign(rows_.size(), 0);
  for (int index : batch_order()) {
    const PlanRow& row = rows_[index];
    const int first = static_cast<int>(batch_.tokens.size());
    const int count = static_cast<int>(row.tokens.size());
    batch_.sequences.push_back({row.pages.data(), first, count, row.position});
    if (row.adapter && !batch_.adapted.empty() && batch_.adapted.back().adapter == row.adapter.get())
      batch_.adapted.back().count += count;
    else if (row.adapter)
      batch_.adapted.push_back({row.adapter.get(), first, count});
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
  draws_.clear();
  for (size_t i = 0; i < active_.size(); ++i) {
    PlanRow& row = rows_[active_[i]];
    results_[i].row = active_[i];
    if (!row.sampler) continue;
    for (int token : row.taken) samplers_.at(*row.sampler).take(token);
    row.taken.clear();
    for (int place = 0; place <= row.draft_length; ++place) draws_.push_back({static_cast<int>(i), place, {}, {}});
  }
  step_.prepare(batch_);
}

// All threads together: steps until the plan ends.
void Decoder::run(int thread) {
  do {
    step_.run(thread, batch_);
    if (thread == 0) await_masks();
    team_.barrier(thread);
    const int num_rows = static_cast<int>(active_.size());
    team_.for_each(thread, num_rows + static_cast<int>(draws_.size()), [&](int i) {
      std::string& error = i < num_rows ? results_[i].error : draws_[i - num_rows].error;
      try {
        if (i < num_rows)
          score_targets(active_[i], scratch_[thread], results_[i]);
        else
          draw(draws_[i - num_rows], scratch_[thread]);
      } catch (const std::exception& e) {
        error = e.what();
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

// How far a row may be sampled: to the end of its draft, or for as long as masks are there.
int Decoder::last_place(int index) const {
  const auto mask = masks_.find(index);
  if (mask == masks_.end()) return rows_[index].draft_length;
  return static_cast<int>(mask->second.size() / mask_words()) - 1;
}

void Decoder::draw(Draw& draw, SamplingScratch& scratch) const {
  const int index = active_[draw.result];
  if (draw.place > last_place(index)) return;
  const PlanRow& row = rows_[index];
  std::span<const uint32_t> allowed;
  if (const auto mask = masks_.find(index); mask != masks_.end())
    allowed = std::span(mask->second).subspan(draw.place * mask_words(), mask_words());
  const std::span<const int> draft = std::span(row.tokens).last(row.draft_length);
  const float* z = step_.logits(first_logit_[index] + num_logits_[index] - 1 - row.draft_length + draw.place);
  draw.chosen = samplers_.at(*row.sampler).choose(kernels_, z, allowed, draft.first(draw.place), scratch);
}

// Takes what was chosen, place by place, for as long as the draft was right.
void Decoder::accept_draws() {
  int going_on = -1;  // the result whose next place counts
  for (Draw& draw : draws_) {
    if (draw.place > 0 && draw.result != going_on) continue;
    going_on = -1;
    RowResult& result = results_[draw.result];
    if (result.error.empty()) result.error = std::move(draw.error);
    if (!result.error.empty()) continue;
    const PlanRow& row = rows_[result.row];
    Sampler& sampler = samplers_.at(*row.sampler);
    sampler.take(draw.chosen.token);
    result.tokens.push_back(draw.chosen.token);
    if (sampler.options().top_logprobs) {
      result.logprobs.push_back(draw.chosen.logprob);
      result.top.push_back(std::move(draw.chosen.top));
    }
    result.stopped = draw.chosen.ends;
    const std::span<const int> draft = std::span(row.tokens).last(row.draft_length);
    if (draw.chosen.ends || draw.place == last_place(result.row) || draw.chosen.token != draft[draw.place]) continue;
    ++result.accepted_drafts;
    going_on = draw.result;
  }
}

// Ends the step, publishes it and prepares the next one; false ends the plan. Memory that runs out ends it with an
// error.
bool Decoder::advance() noexcept {
  try {
    accept_draws();
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
  const bool done = done_ && !failed_;
  const bool ended = done_;
  lock.unlock();
  if (ended)  // nothing runs that reads them; what nobody else holds is gone now, not with the next plan
    for (PlanRow& row : rows_) row.adapter.reset();
  return {std::move(steps), done};
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
