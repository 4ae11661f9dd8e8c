#include "pool/wait_queue.h"

namespace remuda {

void WaitQueue::push_back(Waiter& waiter) { insert(waiter, class_of(waiter.priority).waiters.end()); }

void WaitQueue::push_front(Waiter& waiter) { insert(waiter, class_of(waiter.priority).waiters.begin()); }

void WaitQueue::insert(Waiter& waiter, std::list<Waiter*>::iterator before) {
  waiter.position = class_of(waiter.priority).waiters.insert(before, &waiter);
  waiter.queued = true;
  ++size_;
}

void WaitQueue::erase(Waiter& waiter) {
  Class& its = class_of(waiter.priority);
  its.waiters.erase(waiter.position);
  waiter.queued = false;
  --size_;
  if (its.waiters.empty()) its.overtaken = 0;
}

Waiter& WaitQueue::pop() {
  const size_t turn = next_class();
  Waiter& waiter = *classes_[turn].waiters.front();
  erase(waiter);
  classes_[turn].overtaken = 0;
  for (size_t lower = turn + 1; lower < classes_.size(); ++lower) {
    if (!classes_[lower].waiters.empty()) ++classes_[lower].overtaken;
  }
  return waiter;
}

void WaitQueue::notify_all() {
  for (Class& each : classes_) {
    for (Waiter* waiter : each.waiters) waiter->served.notify_one();
  }
}

// The highest priority that was overtaken often enough, or else the highest.
size_t WaitQueue::next_class() const {
  size_t highest = classes_.size();
  for (size_t i = 0; i < classes_.size(); ++i) {
    if (classes_[i].waiters.empty()) continue;
    if (classes_[i].overtaken >= kMostOvertakings) return i;
    if (highest == classes_.size()) highest = i;
  }
  return highest;
}

}  // namespace remuda
