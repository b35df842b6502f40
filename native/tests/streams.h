// Driving a decoder in tests: plans run to their end, and streams that keep their tokens and pages.
#pragma once

#include "check.h"
#include "pennyweight/decoder.h"

namespace pennyweight::test {

// Runs a plan to its end; the finished steps.
std::vector<StepResult> run_plan(Decoder& decoder, std::vector<PlanRow> rows, int steps = 1,
                                 std::map<int, Mask> masks = {});

std::vector<int> random_tokens(Random& random, const Model& model, int n);

// Pages [first, first + n).
std::vector<int> page_run(int first, int n);

PlanRow row_of(std::vector<int> tokens, int position, std::vector<int> pages, Logits logits);

// Logits of every position of `tokens`, computed in one plan on pages [0, ...).
std::vector<float> whole_logits(Decoder& decoder, const std::vector<int>& tokens);

// The logits of position `i`.
std::vector<float> at_position(const std::vector<float>& logits, const Model& model, int i);

// FNV-1a of the bits.
uint64_t checksum(const std::vector<float>& values, uint64_t hash = 0xcbf29ce484222325U);

}  // namespace pennyweight::test
