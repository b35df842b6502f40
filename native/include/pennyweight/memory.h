// Large buffers: aligned, on huge pages where the system gives them, given back when freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__GLIBC__)
#include <malloc.h>
#endif
#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace pennyweight {

inline constexpr size_t kHugePage = size_t{2} << 20;

struct BufferDeleter {
  void* block = nullptr;  // what the system or the allocator gave; the array starts aligned inside it
  size_t bytes = 0;       // of the array
  size_t mapped = 0;      // of the mapping; 0: the allocator's
  void operator()(const void*) const {
#if defined(MAP_ANONYMOUS)
    if (mapped > 0) {
      munmap(block, mapped);
      return;
    }
#endif
    std::free(block);
  }
};

template <class T>
using Buffer = std::unique_ptr<T[], BufferDeleter>;

// Bytes of memory a buffer takes once all of it was touched.
template <class T>
size_t bytes_of(const Buffer<T>& buffer) {
  return buffer.get_deleter().bytes;
}

#if defined(MAP_ANONYMOUS)
// Fresh pages of the system, aligned for huge ones. Not the allocator's: it keeps what is freed, and clears (touches)
// what it gives a second time. Only whole huge pages are asked for, so the end costs what it has.
inline void* map_pages(size_t bytes, BufferDeleter& deleter) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t used = (bytes + page - 1) / page * page;
  void* block = mmap(nullptr, used + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) throw std::bad_alloc();
  const auto start = reinterpret_cast<uintptr_t>(block);
  const uintptr_t aligned = (start + kHugePage - 1) / kHugePage * kHugePage;
  deleter.block = block;
  deleter.mapped = used + kHugePage;
#if defined(MADV_HUGEPAGE)
  madvise(reinterpret_cast<void*>(aligned), bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return reinterpret_cast<void*>(aligned);
}
#endif

// All zero; large blocks are committed when touched. Throws std::bad_alloc.
template <class T>
Buffer<T> allocate(size_t count) {
  const size_t bytes = count * sizeof(T) + 64;  // vectors of the last rows may reach past the end
  BufferDeleter deleter{.bytes = bytes};
#if defined(MAP_ANONYMOUS)
  if (bytes >= kHugePage) {
    auto* array = static_cast<T*>(map_pages(bytes, deleter));
    return Buffer<T>(array, deleter);
  }
#endif
  deleter.block = std::calloc(bytes + 64, 1);
  if (deleter.block == nullptr) throw std::bad_alloc();
  const auto address = (reinterpret_cast<uintptr_t>(deleter.block) + 63) / 64 * 64;
  return Buffer<T>(reinterpret_cast<T*>(address), deleter);
}

// Gives back to the system what the allocator keeps of freed memory, where the C library can.
inline void release_free_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

}  // namespace pennyweight
