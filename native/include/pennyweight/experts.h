// A feed-forward of experts: which rows go to which, and their products.
//
// A router chooses a few experts for each row. Rows are grouped by expert, so that its matrices are read once for all
// of its rows, and what no row chose costs nothing. A row's bits do not depend on its company: its experts' outputs are
// added in ascending order of the experts (docs/numerics.md, "Experts").
#pragma once

#include <cstdint>
#include <vector>

#include "pennyweight/linear.h"
#include "pennyweight/model.h"
#include "pennyweight/team.h"

namespace pennyweight {

class ExpertStage {
 public:
  ExpertStage(const Model& model, const KernelTable& kernels, Team& team);

  // Makes room for steps of so many rows; called by one thread. Throws std::bad_alloc.
  void reserve(int rows);
  void drop();
  size_t bytes() const;

  // Called by all threads: computes the outputs of the experts that the rows of `x` chose.
  void run(int thread, const Layer& w, const Activations& x, int rows);
  // After `run`: y[d_model] = the weighted sum of a row's experts.
  void sum(int row, float* y) const;

 private:
  struct Choice {
    int expert;
    float weight;
    int pair;  // where its output is
  };
  struct Group {  // the pairs of one expert, which stand together
    const FeedForward* expert;
    int first;
    int count;
    int first_gated_item;
    int first_down_item;
  };
  struct Private {  // of one thread
    std::vector<uint8_t> chosen;
    Buffer<float> weights;  // [experts], padded
  };

  void choose(const float* scores, Choice* choices, Private& own) const;
  void group(const Layer& w, int rows);
  void gather(int thread, const Activations& x);
  void gated(int thread);
  void down(int thread);

  const Model& model_;
  const KernelTable& kernels_;
  Team& team_;
  bool float_inputs_ = false;  // some expert's matrix is of a float format
  int num_experts_;
  int used_;
  size_t score_stride_;  // experts, in whole panels

  std::vector<Choice> choices_;  // [rows][used], ascending by expert
  std::vector<int> row_of_pair_;
  std::vector<int> next_pair_;  // [experts], while grouping
  std::vector<Group> groups_;
  int num_pairs_ = 0;
  int num_gated_items_ = 0;
  int num_down_items_ = 0;
  Buffer<float> scores_;            // [rows][experts]
  Buffer<ActivationBlock> input_;   // [pairs][d_model / 32]
  Buffer<float> values_;            // [pairs][d_model], float inputs
  Buffer<ActivationBlock> hidden_;  // [pairs][d_ff / 32]
  Buffer<float> hidden_values_;     // [pairs][d_ff]
  Buffer<float> outputs_;           // [pairs][d_model]
  std::vector<Private> private_;
};

}  // namespace pennyweight
