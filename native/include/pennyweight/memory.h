// Large buffers: aligned, on huge pages where the system gives them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#endif

namespace pennyweight {

inline constexpr size_t kHugePage = size_t{2} << 20;

struct FreeDeleter {
  void* block = nullptr;  // what the allocator gave; the array starts aligned inside it
  void operator()(const void*) const { std::free(block); }
};

template <class T>
using Buffer = std::unique_ptr<T[], FreeDeleter>;

// All zero: large blocks are fresh memory of the system, committed when touched. Throws std::bad_alloc.
template <class T>
Buffer<T> allocate(size_t count) {
  const size_t bytes = count * sizeof(T);
  const size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  void* block = std::calloc(bytes + alignment + 64, 1);  // vectors of the last rows may reach past the end
  if (block == nullptr) throw std::bad_alloc();
  const auto address = (reinterpret_cast<uintptr_t>(block) + alignment - 1) / alignment * alignment;
#if defined(MADV_HUGEPAGE)
  if (alignment == kHugePage) madvise(reinterpret_cast<void*>(address), bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return Buffer<T>(reinterpret_cast<T*>(address), FreeDeleter{block});
}

}  // namespace pennyweight
