// Runs the groups named on the command line, or all.
//   pennyweight_tests [--quick] [--targets NAME,NAME,...] [GROUP...]
// --targets fails the run unless exactly these targets are supported: an emulator run then proves what it claims.
#include <cstdio>
#include <string>
#include <vector>

#include "tests.h"

namespace pennyweight::test {

void Report::fail(const char* file, int line, const std::string& what) {
  constexpr long kPrinted = 20;
  if (++failures_ <= kPrinted) std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
}

std::vector<const KernelTable*> vector_targets() {
  std::vector<const KernelTable*> tables;
  for (const std::string& name : supported_targets())
    if (name != "scalar") tables.push_back(&kernels_of(name));
  return tables;
}

namespace {

struct Group {
  const char* name;
  void (*run)(Report& report, const Options& options);
};

constexpr Group kGroups[] = {
    {"linear", test_linear},
    {"attention", test_attention},
    {"elementwise", test_elementwise},
    {"four_bits", test_four_bits},
    {"team", test_team},
    {"decoder", test_decoder},
    {"low_rank", test_low_rank},
    {"adapters", test_adapters},
    {"plans", test_plans},
    {"encoder", test_encoder},
    {"quantize", test_quantize},
    {"hostile_weights", test_hostile_weights},
    {"hostile_plans", test_hostile_plans},
};

std::string joined(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ",") + name;
  return list;
}

int run_groups(const std::vector<std::string>& wanted, const Options& options) {
  Report report;
  for (const Group& group : kGroups) {
    bool chosen = wanted.empty();
    for (const std::string& name : wanted) chosen |= name == group.name;
    if (!chosen) continue;
    const long before = report.checks() + report.failures();
    group.run(report, options);
    const long checks = report.checks() + report.failures() - before;
    std::printf("%-12s %ld checks\n", group.name, checks);
    CHECK(report, checks > 0, group.name);
  }
  std::printf("%ld failures\n", report.failures());
  return report.failures() == 0 && report.checks() > 0 ? 0 : 1;
}

int run(const std::vector<std::string>& arguments) {
  Options options;
  std::vector<std::string> groups;
  const std::string supported = joined(supported_targets());
  std::printf("targets: %s\n", supported.c_str());
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--quick") {
      options.quick = true;
    } else if (arguments[i] == "--targets" && i + 1 < arguments.size()) {
      if (arguments[++i] == supported) continue;
      std::fprintf(stderr, "expected targets %s, this machine has %s\n", arguments[i].c_str(), supported.c_str());
      return 1;
    } else {
      groups.push_back(arguments[i]);
    }
  }
  return run_groups(groups, options);
}

}  // namespace

}  // namespace pennyweight::test

int main(int argc, char** argv) { return pennyweight::test::run({argv + 1, argv + argc}); }
