// The groups of tests; each compares what it covers on every target this machine can run.
#pragma once

#include "check.h"

namespace pennyweight::test {

void test_linear(Report& report, const Options& options);
void test_attention(Report& report, const Options& options);
void test_elementwise(Report& report, const Options& options);
void test_four_bits(Report& report, const Options& options);
void test_team(Report& report, const Options& options);
void test_decoder(Report& report, const Options& options);
void test_low_rank(Report& report, const Options& options);
void test_adapters(Report& report, const Options& options);
void test_plans(Report& report, const Options& options);
void test_encoder(Report& report, const Options& options);
void test_quantize(Report& report, const Options& options);
void test_hostile_weights(Report& report, const Options& options);
void test_hostile_plans(Report& report, const Options& options);

}  // namespace pennyweight::test
