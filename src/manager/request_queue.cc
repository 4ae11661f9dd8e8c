#include "manager/request_queue.h"

#include <algorithm>
#include <utility>

namespace remuda {

void RequestQueue::push(Pointer request) {
  Queue& queue = queues_[static_cast<size_t>(request->options().priority)];
  queue.push_back({std::move(request), ++last_ticket_});
}

void RequestQueue::put_back(Pointer request) {
  Queue& queue = queues_[static_cast<size_t>(request->options().priority)];
  const auto is_it = [&request](const Entry& entry) { return entry.request == request; };
  if (std::ranges::none_of(queue, is_it)) queue.push_front({std::move(request), 0});
}

void RequestQueue::remove(const BatchRequest& request) {
  std::erase_if(queues_[static_cast<size_t>(request.options().priority)],
                [&request](const Entry& entry) { return entry.request.get() == &request; });
}

bool RequestQueue::empty() const { return size() == 0; }

int64_t RequestQueue::size() const {
  int64_t sum = 0;
  for (const Queue& queue : queues_) sum += std::ssize(queue);
  return sum;
}

void RequestQueue::begin_batch(const BatchCaller* only) {
  only_ = only;
  oldest_first_ = ++batches_ % kOldestFirst == 0;
}

RequestQueue::Place RequestQueue::find_front() const {
  Place found{kPriorities, 0};
  for (size_t queue = 0; queue < kPriorities; ++queue) {
    for (size_t i = 0; i < queues_[queue].size(); ++i) {
      const Entry& entry = queues_[queue][i];
      if (only_ != nullptr && entry.request->caller_ != only_) continue;
      if (!oldest_first_) return {queue, i};
      if (found.queue == kPriorities || entry.ticket < queues_[found.queue][found.entry].ticket) found = {queue, i};
      break;  // The others of this queue came later.
    }
  }
  return found;
}

RequestQueue::Pointer RequestQueue::front() const {
  const auto [queue, entry] = find_front();
  return queue == kPriorities ? nullptr : queues_[queue][entry].request;
}

void RequestQueue::served() {
  const auto [number, entry] = find_front();
  Queue& queue = queues_[number];
  Pointer request = std::move(queue[entry].request);
  queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(entry));
  if (request->has_waiting()) queue.push_back({std::move(request), ++last_ticket_});
  oldest_first_ = false;
}

std::vector<RequestQueue::Pointer> RequestQueue::requests() const {
  std::vector<Pointer> all;
  for (const Queue& queue : queues_) {
    for (const Entry& entry : queue) all.push_back(entry.request);
  }
  return all;
}

}  // namespace remuda
