#include "pool/housekeeper.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <system_error>

#include "base/fork_generation.h"
#include "base/log.h"

namespace remuda {
namespace {

constinit PerProcess<Housekeeper> this_process;

// Of the process whose housekeeping thread this is.
constexpr uint64_t kNone = ~uint64_t{0};
thread_local uint64_t housekeeping_generation = kNone;

bool is_housekeeping_thread() { return housekeeping_generation == fork_generation(); }

// A thread that is started while this lives has all signals blocked.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

// Before static objects, which a visit may use, are destroyed.
void stop_at_exit() {
  static std::atomic_flag registered;
  if (registered.test_and_set()) return;
  std::atexit([] {
    if (Housekeeper* housekeeper = this_process.find()) housekeeper->stop();
  });
}

}  // namespace

Housekeeper& Housekeeper::global() { return this_process.get(); }

void Housekeeper::visit_at(const std::shared_ptr<Housekept>& whom, Clock::time_point when) {
  const std::lock_guard lock(mutex_);
  if (stopped_) return;
  const auto [visit, is_new] = visits_.try_emplace(whom.get(), Visit{whom, when});
  if (!is_new) visit->second = {whom, std::min(visit->second.due, when)};
  if (running_) {
    changed_.notify_one();
  } else {
    start();
  }
}

void Housekeeper::forget(const Housekept* whom) {
  std::unique_lock lock(mutex_);
  visits_.erase(whom);
  if (visits_.empty()) changed_.notify_one();
  if (!is_housekeeping_thread()) visited_.wait(lock, [&] { return visiting_ != whom; });
}

bool Housekeeper::is_running() {
  const std::lock_guard lock(mutex_);
  return running_;
}

void Housekeeper::stop() {
  std::thread ending;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_one();
    ending = std::move(thread_);
  }
  if (!ending.joinable()) return;
  if (is_housekeeping_thread()) {
    ending.detach();  // A visit that ended the process.
  } else {
    ending.join();
  }
}

void Housekeeper::start() {
  // One that ended by itself has left run(), or is about to and needs the mutex no more.
  if (thread_.joinable()) thread_.join();
  stop_at_exit();
  try {
    const BlockedSignals blocked;
    thread_ = std::thread([this] { run(); });
    running_ = true;
  } catch (const std::system_error& error) {
    log::warning("no thread for the housekeeping of pools, so that nothing expires: {}", error.what());
  }
}

void Housekeeper::run() {
  housekeeping_generation = fork_generation();
  pthread_setname_np(pthread_self(), "remuda-keeper");
  std::unique_lock lock(mutex_);
  while (!stopped_ && !visits_.empty()) {
    const auto next = std::ranges::min_element(visits_, {}, [](const auto& entry) { return entry.second.due; });
    const Clock::time_point due = next->second.due;
    if (due == Clock::time_point::max()) {
      changed_.wait(lock);
    } else if (due > Clock::now()) {
      changed_.wait_until(lock, due);
    } else {
      make_visit(lock, next);
    }
  }
  running_ = false;
}

void Housekeeper::make_visit(std::unique_lock<std::mutex>& lock, Visits::iterator next) {
  std::shared_ptr<Housekept> whom = next->second.whom.lock();
  if (whom == nullptr) {
    visits_.erase(next);
    return;
  }
  const Housekept* key = whom.get();
  next->second.due = Clock::time_point::max();
  visiting_ = key;
  lock.unlock();
  const Clock::time_point due = whom->housekeep();
  whom.reset();  // Perhaps the last that held it.
  lock.lock();
  visiting_ = nullptr;
  visited_.notify_all();
  const auto visited = visits_.find(key);
  if (visited != visits_.end()) visited->second.due = std::min(visited->second.due, due);
}

}  // namespace remuda
