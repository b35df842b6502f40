// The decoder as its one driver sees it: plans of steps, sampler slots, pages.
//
// `begin` hands a plan to the team and returns; `finish` gives the masks and collects finished steps. Between the two
// the caller is free. All public functions are for one driving thread, except `interrupt`.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "pennyweight/sampler.h"
#include "pennyweight/step.h"

namespace pennyweight {

enum class Logits : uint8_t { kNone, kLast, kAll };

struct PlanRow {
  std::vector<int> tokens;
  int position = 0;
  std::vector<int> pages;
  std::optional<int> sampler;
  Logits logits = Logits::kNone;
  int draft_length = 0;
  std::vector<int> targets;
  int target_top = 0;                                          // likeliest tokens to report beside each target
  std::vector<std::pair<int, std::vector<float>>> embeddings;  // (index of the first token replaced, vectors)
  bool masked = false;
  bool hidden = false;
  AdapterPointer adapter;  // null: the model as it is
  std::vector<int> taken;  // counted by the sampler before it samples: tokens that came without it
};

struct RowResult {
  int row = 0;
  std::vector<int> tokens;
  int accepted_drafts = 0;
  bool stopped = false;
  std::vector<float> logprobs;
  std::vector<std::vector<std::pair<int, float>>> top;
  std::vector<float> target_logprobs;
  std::vector<std::vector<std::pair<int, float>>> target_top;
  std::vector<float> hidden;
  std::string error;  // not empty: this row failed, the others did not
};

using StepResult = std::vector<RowResult>;

// What follows one place of a row: its last token, or one of its draft. Right only if the draft is, up to there.
struct Draw {
  int result = 0;  // of the step's results
  int place = 0;   // 0: the draft's first token is not assumed yet
  Chosen chosen;
  std::string error;
};

using Mask = std::vector<uint32_t>;  // of a row with a draft: several, one behind the other

class Decoder {
 public:
  Decoder(std::shared_ptr<const Model> model, int num_pages, int num_threads, KvFormat kv_format = KvFormat::kInt8);
  ~Decoder();

  int num_threads() const { return team_.size(); }
  double cpu_seconds() const { return team_.cpu_seconds(); }
  int num_pages() const { return cache_.num_pages(); }
  size_t page_bytes() const { return cache_.page_bytes(); }
  // Of what steps work in, beside weights and pages, as the largest so far made it. Only between plans.
  size_t buffer_bytes() const;
  const Model& model() const { return *model_; }
  const char* target() const { return kernels_.name; }

  int open_sampler(SamplingOptions options, std::span<const int> prompt);
  void close_sampler(int slot);

  // Throws std::invalid_argument naming what does not fit; nothing has started then.
  void begin(std::vector<PlanRow> rows, int steps);
  // Finished steps not returned before, and whether the plan is done.
  std::pair<std::vector<StepResult>, bool> finish(std::map<int, Mask> masks, std::chrono::duration<double> timeout);
  void interrupt() { interrupted_.store(true, std::memory_order_relaxed); }
  void copy_page(int source, int destination);
  void commit_page(int page);  // from any thread, also while a plan runs
  // What a page holds, `page_bytes()` long, and back again: for the disk. The bytes mean something to this layout
  // alone.
  void read_page(int page, std::span<uint8_t> bytes);
  void write_page(int page, std::span<const uint8_t> bytes);
  // Raw logits of a finished single step: [logit rows of this row][vocab_size]; valid until the next `begin`.
  std::vector<float> logits(int row) const;

 private:
  void check(const std::vector<PlanRow>& rows, int steps) const;
  void check_row(const PlanRow& row, int index, int steps) const;
  size_t mask_words() const { return (static_cast<size_t>(model_->vocab_size) + 31) / 32; }
  void check_idle(const char* action) const;
  void lay_out();
  std::vector<int> batch_order() const;
  void run(int thread);
  void await_masks();
  int last_place(int index) const;
  void draw(Draw& draw, SamplingScratch& scratch) const;
  void accept_draws();
  void score_targets(int index, SamplingScratch& scratch, RowResult& result);
  bool advance() noexcept;
  void publish(bool done);
  void fail() noexcept;
  void check_masks(const std::map<int, Mask>& masks) const;

  std::shared_ptr<const Model> model_;
  const KernelTable& kernels_;
  Cache cache_;
  Team team_;
  Step step_;
  std::map<int, Sampler> samplers_;
  int next_sampler_ = 0;

  // The plan under way; touched by the team only, from `begin` to done.
  std::vector<PlanRow> rows_;
  std::vector<int> active_;       // rows that take part in the coming step
  std::vector<int> first_logit_;  // per row, into batch_.logit_rows
  std::vector<int> num_logits_;   // per row
  Batch batch_;
  StepResult results_;
  std::vector<Draw> draws_;  // of the coming step, row by row, in order
  int steps_left_ = 0;
  bool go_on_ = false;
  std::vector<SamplingScratch> scratch_;
  std::atomic<bool> interrupted_{false};

  // Between the team and the driver.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<StepResult> finished_;
  std::map<int, Mask> masks_;
  bool masks_given_ = false;
  bool done_ = true;
  bool failed_ = false;  // the plan under way ran out of memory between two steps
};

}  // namespace pennyweight
