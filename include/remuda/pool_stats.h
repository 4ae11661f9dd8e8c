// What a pool has done and does: a snapshot, consistent in itself.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace remuda {

// Durations in buckets that grow by a quarter of a power of two, so that a percentile is right within 25 %.
// Not thread-safe; the pool copies its own under its lock.
class DurationHistogram {
 public:
  void record(std::chrono::nanoseconds duration);

  uint64_t count() const { return count_; }
  std::chrono::nanoseconds mean() const;
  std::chrono::nanoseconds max() const { return max_; }
  // The upper bound of the bucket in which the share `p` of all durations, in [0, 1], is reached; 0 when empty.
  std::chrono::nanoseconds percentile(double p) const;

 private:
  static constexpr size_t kBuckets = 4 * 48;  // Up to 2^48 ns, three days; longer ones are in the last.

  std::array<uint32_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  std::chrono::nanoseconds sum_{0};
  std::chrono::nanoseconds max_{0};
};

// A GPU's memory that this process has, in bytes.
struct GpuMemoryStats {
  uint64_t allocated = 0;  // Weights, and what is computed with.
  uint64_t reserved = 0;   // That, and what is kept of the driver's for the next.
};

struct PoolStats {
  std::string name;
  int64_t available = 0;   // Idle instances.
  int64_t in_use = 0;      // On lease.
  int64_t creating = 0;    // Being made.
  int64_t total = 0;       // available + in_use + creating.
  int64_t destroying = 0;  // No longer part of total, and not gone yet.
  int64_t max_instances = 0;
  int64_t waiting = 0;    // Callers in the queue.
  uint64_t acquires = 0;  // Leases given out.
  uint64_t created = 0;
  uint64_t destroyed = 0;  // created - destroyed = available + in_use + destroying.
  uint64_t expired = 0;    // Of those destroyed: by idle_ttl, max_lifetime or max_uses.
  uint64_t evicted = 0;    // Of those destroyed: to make room for others.
  uint64_t lost = 0;       // Of those destroyed: because their GPU was lost, or their use failed.
  uint64_t creation_failures = 0;
  uint64_t out_of_memory = 0;  // Of those failures: for want of memory that may come free, for which the caller waits.
  uint64_t timeouts = 0;
  uint64_t cancelled = 0;       // Callers that gave up waiting.
  uint64_t overloaded = 0;      // Callers that the queue had no room for; a manager's calls without an instance, too.
  uint64_t leaks = 0;           // Leases that were held longer than the threshold, each counted once.
  uint64_t memory_shared = 0;   // Bytes of weights that the instances share, counted once.
  uint64_t memory_private = 0;  // Bytes of all instances' own.
  uint64_t fallbacks = 0;       // Instances that a manager made on the CPU because no GPU had room or worked.
  uint64_t moved = 0;       // Calls whose GPU had no memory for their work, failed or was lost: it went on elsewhere.
  uint64_t room_waits = 0;  // Calls whose work a GPU had no memory for, and that waited for it there.
  std::map<std::string, int64_t> by_device;          // Instances, idle and on lease, by where they compute.
  std::map<std::string, GpuMemoryStats> gpu_memory;  // A manager's: of the GPUs in by_device, whoever has it.
  DurationHistogram wait_time;                       // From the call of acquire to the lease, creation included.
  DurationHistogram use_time;                        // From lease to return.
  DurationHistogram create_time;
};

// A lease that is held longer than the pool's leak_threshold.
struct LeakReport {
  uint64_t instance_id = 0;
  int64_t thread = 0;  // The kernel's number of the thread that acquired it, as debuggers and /proc show it.
  std::string label;
  std::chrono::nanoseconds age{0};
};

}  // namespace remuda
