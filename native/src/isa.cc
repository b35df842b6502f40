#include "pennyweight/isa.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#define PW_DECLARE(target)             \
  namespace target {                   \
  void fill_linear(KernelTable&);      \
  void fill_attention(KernelTable&);   \
  void fill_elementwise(KernelTable&); \
  void fill_encoder(KernelTable&);     \
  }

namespace pennyweight {

#if defined(__x86_64__)
PW_DECLARE(avx512vnni)
PW_DECLARE(avxvnni)
PW_DECLARE(avx2)
#elif defined(__aarch64__)
PW_DECLARE(neon_dotprod)
PW_DECLARE(neon)
#endif
PW_DECLARE(scalar)

namespace {

struct Target {
  const char* name;
  bool supported;
  void (*fill_linear)(KernelTable&);
  void (*fill_attention)(KernelTable&);
  void (*fill_elementwise)(KernelTable&);
  void (*fill_encoder)(KernelTable&);
};

#define PW_ENTRY(target, supported)                                                                                 \
  Target {                                                                                                          \
    #target, supported, target::fill_linear, target::fill_attention, target::fill_elementwise, target::fill_encoder \
  }

#if defined(__x86_64__)
struct Features {
  bool avx2 = false;
  bool avx_vnni = false;
  bool avx512 = false;  // F, BW, DQ, VL and VNNI
};

// Processor and operating system: XCR0 says which registers are saved.
Features detect() {
  Features f;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  const bool osxsave = (c & (1U << 27)) != 0;
  const bool fma_f16c = (c & (1U << 12)) != 0 && (c & (1U << 29)) != 0;
  if (!osxsave || !fma_f16c) return f;
  unsigned low = 0;
  unsigned high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  f.avx2 = (b & (1U << 5)) != 0;
  const unsigned parts = (1U << 16) | (1U << 17) | (1U << 30) | (1U << 31);
  f.avx512 = f.avx2 && (low & 0xe6) == 0xe6 && (b & parts) == parts && (c & (1U << 11)) != 0;
  if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) f.avx_vnni = f.avx2 && (a & (1U << 4)) != 0;
  return f;
}
#endif

std::vector<Target> targets() {
  std::vector<Target> all;
#if defined(__x86_64__)
  const Features f = detect();
  all.push_back(PW_ENTRY(avx512vnni, f.avx512));
  all.push_back(PW_ENTRY(avxvnni, f.avx_vnni));
  all.push_back(PW_ENTRY(avx2, f.avx2));
#elif defined(__aarch64__)
#if defined(__linux__)
  const bool dotprod = (getauxval(AT_HWCAP) & (1UL << 20)) != 0;
#else
  const bool dotprod = true;  // every 64-bit Apple processor since the A11
#endif
  all.push_back(PW_ENTRY(neon_dotprod, dotprod));
  all.push_back(PW_ENTRY(neon, true));
#endif
  all.push_back(PW_ENTRY(scalar, true));
  return all;
}

std::string choices() {
  std::string list;
  for (const std::string& name : supported_targets()) list += (list.empty() ? "" : ", ") + name;
  return list;
}

std::atomic<const KernelTable*>& active() {
  static std::atomic<const KernelTable*> table{nullptr};
  return table;
}

}  // namespace

std::vector<std::string> compiled_targets() {
  std::vector<std::string> names;
  for (const Target& t : targets()) names.emplace_back(t.name);
  return names;
}

std::vector<std::string> supported_targets() {
  std::vector<std::string> names;
  for (const Target& t : targets())
    if (t.supported) names.emplace_back(t.name);
  return names;
}

const KernelTable& kernels_of(const std::string& name) {
  static std::array<KernelTable, 8> tables{};
  static std::array<std::once_flag, 8> filled;
  const std::vector<Target> all = targets();
  for (size_t i = 0; i < all.size(); ++i) {
    if (name != all[i].name) continue;
    if (!all[i].supported)
      throw std::invalid_argument("this machine cannot run instruction set '" + name + "'; it can run: " + choices());
    KernelTable& table = tables[i];
    std::call_once(filled[i], [&] {
      all[i].fill_linear(table);
      all[i].fill_attention(table);
      all[i].fill_elementwise(table);
      all[i].fill_encoder(table);
      table.name = all[i].name;
    });
    return table;
  }
  throw std::invalid_argument("unknown instruction set '" + name + "'; this machine can run: " + choices());
}

const KernelTable& active_kernels() {
  const KernelTable* table = active().load(std::memory_order_acquire);
  if (table == nullptr) {
    const char* forced = std::getenv("PENNYWEIGHT_ISA");
    const bool is_forced = forced != nullptr && *forced != '\0';
    table = &kernels_of(is_forced ? std::string(forced) : supported_targets().front());
    active().store(table, std::memory_order_release);
  }
  return *table;
}

void use_target(const std::string& name) { active().store(&kernels_of(name), std::memory_order_release); }

std::vector<std::pair<std::string, bool>> cpu_features() {
  std::vector<std::pair<std::string, bool>> list;
  for (const Target& t : targets()) list.emplace_back(t.name, t.supported);
  return list;
}

}  // namespace pennyweight
