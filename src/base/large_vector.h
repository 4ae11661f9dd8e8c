// Vectors and strings whose memory, once there is much of it, is the system's own pages.
//
// The C library gives every thread a heap and keeps what lies free at its end, as much as was once freed in one piece.
// A thread that reads a file of some megabytes would leave that behind in the process, and the next one would again, in
// its own heap. Pages that are mapped go when they are freed, whichever thread does that.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <string>
#include <vector>

namespace remuda {

// From here on mapping is cheap beside filling what is mapped.
inline constexpr size_t kLeastMappedBytes = size_t{64} << 10;

// Whole pages, zero, or nullptr; unmap_pages() gets the same number of bytes.
inline void* map_pages(size_t bytes) {
  void* const pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? nullptr : pages;
}

inline void unmap_pages(void* pages, size_t bytes) { munmap(pages, bytes); }

template <typename T>
struct PageAllocator {
  using value_type = T;

  PageAllocator() = default;
  template <typename U>
  PageAllocator(const PageAllocator<U>&) noexcept {}  // NOLINT(google-explicit-constructor): what an allocator has.

  T* allocate(size_t count) {
    if (count > std::numeric_limits<size_t>::max() / sizeof(T)) throw std::bad_array_new_length();
    const size_t bytes = count * sizeof(T);
    if (bytes < kLeastMappedBytes) return static_cast<T*>(::operator new(bytes));
    void* const pages = map_pages(bytes);
    if (pages == nullptr) throw std::bad_alloc();
    return static_cast<T*>(pages);
  }
  void deallocate(T* data, size_t count) noexcept {
    const size_t bytes = count * sizeof(T);
    bytes < kLeastMappedBytes ? ::operator delete(data) : unmap_pages(data, bytes);
  }

  friend bool operator==(const PageAllocator&, const PageAllocator&) { return true; }
};

template <typename T>
using LargeVector = std::vector<T, PageAllocator<T>>;
using LargeString = std::basic_string<char, std::char_traits<char>, PageAllocator<char>>;

}  // namespace remuda
