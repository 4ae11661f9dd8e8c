// The callers that wait for an instance, and whose turn is next: the rules are at Priority in remuda/model_pool.h.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <list>

#include "remuda/model_pool.h"

namespace remuda {

// A caller in acquire(). Lives on its stack; all of it belongs to the pool's mutex.
struct Waiter {
  std::condition_variable served;  // Or withdrawn by another thread.
  PoolSlot* slot = nullptr;        // What it was given.
  bool queued = false;
  bool stopped = false;  // Its stop_token withdrew it.
  Priority priority = Priority::kNormal;
  std::list<Waiter*>::iterator position = {};  // In the queue, while queued.
};

// Not thread-safe: belongs to the pool's mutex.
class WaitQueue {
 public:
  bool empty() const { return size_ == 0; }
  int64_t size() const { return size_; }

  // Behind those of its priority.
  void push_back(Waiter& waiter);
  // Before them.
  void push_front(Waiter& waiter);
  // Out of turn.
  void erase(Waiter& waiter);
  // Takes out the waiter whose turn it is; there must be one.
  Waiter& pop();

  void notify_all();

 private:
  struct Class {
    std::list<Waiter*> waiters;
    int64_t overtaken = 0;  // Turns of higher priorities since the last of this one, or since somebody waits here.
  };

  Class& class_of(Priority priority) { return classes_[static_cast<size_t>(priority)]; }
  size_t next_class() const;
  void insert(Waiter& waiter, std::list<Waiter*>::iterator before);

  std::array<Class, 3> classes_;  // By Priority, the highest first.
  int64_t size_ = 0;
};

}  // namespace remuda
