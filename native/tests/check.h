// What every test uses: CHECK, a seeded generator, and the options of the run. A failed check is printed and counted;
// the run goes on, so that one run shows how far a fault reaches.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "pennyweight/isa.h"

namespace pennyweight::test {

struct Options {
  bool quick = false;  // a thin sweep, for emulators and sanitizers
};

class Report {
 public:
  void fail(const char* file, int line, const std::string& what);
  void pass() { ++checks_; }
  long checks() const { return checks_; }
  long failures() const { return failures_; }

 private:
  long checks_ = 0;
  long failures_ = 0;
};

#define CHECK(report, condition, what)                                            \
  do {                                                                            \
    if (condition)                                                                \
      (report).pass();                                                            \
    else                                                                          \
      (report).fail(__FILE__, __LINE__, std::string(#condition) + ": " + (what)); \
  } while (false)

// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  int below(int n) { return static_cast<int>((next() >> 33) % static_cast<uint64_t>(n)); }
  int between(int low, int high) { return low + below(high - low + 1); }
  bool one_in(int n) { return below(n) == 0; }
  // A multiple of 2^-23 in [-1, 1): exact in float32.
  float uniform() { return static_cast<float>(static_cast<int32_t>(next() >> 40) - (1 << 23)) * 0x1p-23F; }
  // Sum of four: roughly a bell, of unit variance.
  float normal() {
    float sum = 0;  // one after the other: operands of a sum are evaluated in no fixed order
    for (int i = 0; i < 4; ++i) sum += uniform();
    return sum * 0.875F;
  }
  std::vector<float> floats(size_t n, float scale = 1.0F) {
    std::vector<float> v(n);
    for (float& x : v) x = normal() * scale;
    return v;
  }

 private:
  uint64_t state_;
};

// Bitwise: tells -0 from 0, and NaN equals itself.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}
inline bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

// Every supported target but the scalar one, with which they are compared.
std::vector<const KernelTable*> vector_targets();
inline const KernelTable& scalar() { return kernels_of("scalar"); }

}  // namespace pennyweight::test
