#include "base/fork_generation.h"

#include <pthread.h>

#include <atomic>

namespace remuda {
namespace {

std::atomic<uint64_t> generation{0};

// Registered before main(), hence before any pool can be made.
[[maybe_unused]] const int kRegistered =
    pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

uint64_t fork_generation() { return generation.load(std::memory_order_relaxed); }

}  // namespace remuda
