// Requests with parts that wait, in the order in which batches take them.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "manager/batch_request.h"

namespace remuda {

// The highest priority first; within one, first come, first served. A request of which a batch took a part and that has
// more goes behind the others of its priority, so that a call with ten thousand texts doesn't keep one with a single
// text waiting. Every eighth batch begins with whoever has waited longest, of whatever priority.
//
// Not thread-safe: the batcher's lock guards it.
class RequestQueue {
 public:
  using Pointer = std::shared_ptr<BatchRequest>;

  void push(Pointer request);
  // One whose parts could not be computed: before all others, where it isn't in the queue yet.
  void put_back(Pointer request);
  // Does nothing where it isn't in the queue.
  void remove(const BatchRequest& request);
  bool empty() const;
  int64_t size() const;

  // What front() gives is for one batch from now on; with `only`, of this caller's requests.
  void begin_batch(const BatchCaller* only = nullptr);
  // The request whose next part is to be taken; null where there is none.
  Pointer front() const;
  // A part of front() was taken. It leaves the queue with its last one.
  void served();

  // All, in order.
  std::vector<Pointer> requests() const;

 private:
  static constexpr size_t kPriorities = 3;
  static constexpr uint64_t kOldestFirst = 8;

  struct Entry {
    Pointer request;
    uint64_t ticket;  // Lower ones have waited longer.
  };
  using Queue = std::deque<Entry>;

  // Where front() is: a queue's number and an entry's, or kPriorities.
  struct Place {
    size_t queue;
    size_t entry;
  };
  Place find_front() const;

  std::array<Queue, kPriorities> queues_;
  uint64_t last_ticket_ = 0;
  uint64_t batches_ = 0;
  bool oldest_first_ = false;
  const BatchCaller* only_ = nullptr;
};

}  // namespace remuda
