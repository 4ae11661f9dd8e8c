#include "device/compute_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "base/fail.h"
#include "base/fork_generation.h"
#include "device/cgroup.h"

namespace remuda {
namespace {

// How long a thread that waits burns its core before it asks the kernel to park it. Long enough to bridge the
// serial code between two kernels of a model, where parking and waking would cost more than the work; short
// enough that an idle process is idle.
constexpr std::chrono::microseconds kSpinTime{50};

inline void cpu_relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until done() or until kSpinTime has passed; returns what done() said last.
template <typename Done>
bool spin_until(Done done) {
  const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      cpu_relax();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return done();
}

// The critical sections here are a few dozen instructions, so a collision is over long before the kernel
// could put a thread to sleep and wake it again.
std::unique_lock<std::mutex> lock_spinning(std::mutex& mutex) {
  for (int i = 0; i < 100; ++i) {
    std::unique_lock lock(mutex, std::try_to_lock);
    if (lock.owns_lock()) return lock;
    cpu_relax();
  }
  return std::unique_lock(mutex);
}

// A parallel_for under way. It lives on the stack of its caller, who leaves only after `helpers` has become
// 0.
struct Job {
  int64_t count;
  int64_t grain;
  int64_t ranges;
  const void* body;
  void (*call)(const void* body, int64_t begin, int64_t end);

  std::atomic<int64_t> next_range{0};  // The first range that nobody has taken.
  std::atomic<int> helpers{0};         // Workers inside; changed under the mutex only.

  // Under the mutex:
  bool listed = false;
  bool caller_parked = false;
  std::exception_ptr error = nullptr;
  Job* previous = nullptr;
  Job* next = nullptr;

  bool has_ranges() const { return next_range.load(std::memory_order_relaxed) < ranges; }
};

// The pool whose ranges this thread is executing: a nested parallel_for must not count its thread twice.
thread_local const void* current_pool = nullptr;

class CurrentPool {
 public:
  explicit CurrentPool(const void* pool) : saved_(current_pool) { current_pool = pool; }
  ~CurrentPool() { current_pool = saved_; }
  CurrentPool(const CurrentPool&) = delete;
  CurrentPool& operator=(const CurrentPool&) = delete;

 private:
  const void* saved_;
};

}  // namespace

// Invariants, all of them under `mutex`:
//
//  1. A job is listed from its publication until somebody notices that its ranges are used up, so every listed job
//     belongs to a caller who is still inside run().
//  2. A worker touches a job only between ++helpers (while the job is listed) and --helpers, which is its last access;
//     the caller returns only after it has seen helpers == 0 with the job no longer listed.
//  3. `active` counts the threads at work: callers in run() or in a Computation, and workers inside a job. A worker
//  joins only while
//     active < threads, and leaves after its range when callers have pushed active above threads.
//  4. No lost wake-up. A worker parks only after it has seen, under the mutex, that there is no listed job or no room
//     for it (active == threads). A caller that changes either, by publishing or by leaving, notifies one worker; a
//     worker that leaves a job looks for the next one itself; and each worker that joins a job with ranges left
//     notifies two more. So a wake-up, which costs a system call, is paid once by the caller, and the rest is spread
//     over a tree of workers.
struct ComputePool::State {
  explicit State(int thread_count) : threads(thread_count) {}

  const int threads;
  // A pool of an older one has lost its workers, and its mutex may have been copied in the locked state.
  const uint64_t generation = fork_generation();
  std::vector<std::thread> workers;

  std::mutex mutex;
  std::condition_variable work;     // Workers park here.
  std::condition_variable drained;  // Callers whose last ranges are still with a worker park here.
  Job* first = nullptr;
  Job* last = nullptr;
  int parked = 0;
  // Written under the mutex; read without it as hints.
  std::atomic<int> listed_jobs{0};
  std::atomic<int> active{0};
  std::atomic<bool> stopping{false};

  bool worker_wanted() const { return first != nullptr && active.load(std::memory_order_relaxed) < threads; }
  bool must_notify() const { return parked > 0 && worker_wanted(); }
  void add_active(int n) { active.store(active.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }

  void list(Job& job);
  void unlist(Job& job);
  void execute(Job& job, bool is_worker);
  void start_workers();
  void stop_workers();
  void worker_loop();
  void help(Job& job, std::unique_lock<std::mutex>& lock);
  void wait_for_work(std::unique_lock<std::mutex>& lock);
  void run_job(Job& job);
  void leave(std::unique_lock<std::mutex>& lock);
};

void ComputePool::State::list(Job& job) {
  job.previous = last;
  (last ? last->next : first) = &job;
  last = &job;
  job.listed = true;
  listed_jobs.fetch_add(1, std::memory_order_relaxed);
}

void ComputePool::State::unlist(Job& job) {
  if (!job.listed) return;
  (job.previous ? job.previous->next : first) = job.next;
  (job.next ? job.next->previous : last) = job.previous;
  job.listed = false;
  listed_jobs.fetch_sub(1, std::memory_order_relaxed);
}

// Takes ranges until there are none, or, for a worker, until callers need its core.
void ComputePool::State::execute(Job& job, bool is_worker) {
  const CurrentPool scope(this);
  while (job.has_ranges()) {
    const int64_t range = job.next_range.fetch_add(1, std::memory_order_relaxed);
    if (range >= job.ranges) return;
    const int64_t begin = range * job.grain;
    try {
      job.call(job.body, begin, begin + std::min(job.grain, job.count - begin));
    } catch (...) {
      job.next_range.store(job.ranges, std::memory_order_relaxed);
      const auto lock = lock_spinning(mutex);
      if (!job.error) job.error = std::current_exception();
      return;
    }
    if (is_worker && active.load(std::memory_order_relaxed) > threads) return;
  }
}

void ComputePool::State::help(Job& job, std::unique_lock<std::mutex>& lock) {
  job.helpers.fetch_add(1, std::memory_order_relaxed);
  add_active(1);
  const int notifications = must_notify() && job.has_ranges() ? std::min(parked, 2) : 0;
  lock.unlock();
  for (int i = 0; i < notifications; ++i) work.notify_one();

  execute(job, /*is_worker=*/true);

  lock = lock_spinning(mutex);
  add_active(-1);
  if (!job.has_ranges()) unlist(job);
  const bool wake_caller = job.caller_parked;
  job.helpers.fetch_sub(1, std::memory_order_release);  // The job may be gone from here on.
  if (wake_caller) drained.notify_all();
}

void ComputePool::State::wait_for_work(std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  const bool crowded = active.load(std::memory_order_relaxed) >= threads;  // Spinning would take a core from a caller.
  const auto wanted = [this] {
    return listed_jobs.load(std::memory_order_relaxed) > 0 || stopping.load(std::memory_order_relaxed);
  };
  const bool seen = !crowded && spin_until(wanted);
  lock = lock_spinning(mutex);
  if (seen) return;  // Even if the job is gone by now: where one came, the next is near, so look and spin again.
  ++parked;
  work.wait(lock, [this] { return worker_wanted() || stopping.load(std::memory_order_relaxed); });
  --parked;
}

void ComputePool::State::worker_loop() {
  auto lock = lock_spinning(mutex);
  while (!stopping.load(std::memory_order_relaxed)) {
    if (worker_wanted()) {
      help(*first, lock);
    } else {
      wait_for_work(lock);
    }
  }
}

// A caller's end, or its job's: what a worker may have waited for.
void ComputePool::State::leave(std::unique_lock<std::mutex>& lock) {
  add_active(-1);
  const bool notify = must_notify();
  lock.unlock();
  if (notify) work.notify_one();
}

void ComputePool::State::run_job(Job& job) {
  const bool outermost = current_pool != this;
  {
    auto lock = lock_spinning(mutex);
    if (outermost) add_active(1);
    list(job);
    const bool notify = must_notify();
    lock.unlock();
    if (notify) work.notify_one();
  }
  execute(job, /*is_worker=*/false);
  {
    auto lock = lock_spinning(mutex);
    unlist(job);
    if (outermost) leave(lock);
  }
  const auto drained_job = [&job] { return job.helpers.load(std::memory_order_acquire) == 0; };
  if (!drained_job() && !spin_until(drained_job)) {
    auto lock = lock_spinning(mutex);
    job.caller_parked = true;
    drained.wait(lock, drained_job);
  }
  if (job.error) std::rethrow_exception(job.error);
}

void ComputePool::State::start_workers() {
  // Signals are for the host's threads, whose handlers may not expect ours.
  sigset_t all, saved;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &saved);
  try {
    for (int i = 1; i < threads; ++i) {
      workers.emplace_back([this, i] {
        const std::string name = "remuda-cpu-" + std::to_string(i);
        pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
        worker_loop();
      });
    }
  } catch (const std::system_error& error) {
    pthread_sigmask(SIG_SETMASK, &saved, nullptr);
    const size_t started = workers.size();
    stop_workers();
    fail(ErrorCode::kOutOfMemory,
         "cannot start compute thread {} of {}: {}; ask for fewer threads or raise the process's limit", started + 1,
         threads - 1, error.what());
  }
  pthread_sigmask(SIG_SETMASK, &saved, nullptr);
}

void ComputePool::State::stop_workers() {
  {
    const auto lock = lock_spinning(mutex);
    stopping.store(true, std::memory_order_relaxed);
  }
  work.notify_all();
  for (std::thread& worker : workers) worker.join();
}

ComputePool::ComputePool(int threads) {
  if (threads < 0)
    fail(ErrorCode::kInvalidArgument, "compute threads: expected 0 (automatic) or more, found {}", threads);
  state_ = std::make_unique<State>(threads == 0 ? available_threads() : threads);
  state_->start_workers();
}

ComputePool::~ComputePool() {
  if (state_->generation == fork_generation()) {
    state_->stop_workers();
  } else {
    state_.release();  // The workers stayed in the parent: there is nothing to join, and no mutex to trust.
  }
}

ComputePool::Computation::Computation(ComputePool& pool) : outer_(current_pool) {
  State* state = pool.state_.get();
  if (current_pool == state || state->threads == 1 || state->generation != fork_generation()) return;
  entered_ = state;
  current_pool = state;
  const auto lock = lock_spinning(state->mutex);
  state->add_active(1);
}

ComputePool::Computation::~Computation() {
  if (entered_ == nullptr) return;
  current_pool = outer_;
  if (entered_->generation != fork_generation()) return;
  auto lock = lock_spinning(entered_->mutex);
  entered_->leave(lock);
}

int ComputePool::threads() const { return state_->threads; }

void ComputePool::run(int64_t count, int64_t grain, RangeFunction body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t ranges = (count - 1) / grain + 1;
  const bool alone = ranges == 1 || state_->threads == 1 || state_->generation != fork_generation();
  if (alone) {
    for (int64_t range = 0; range < ranges; ++range) {
      const int64_t begin = range * grain;
      body.call(body.body, begin, begin + std::min(grain, count - begin));
    }
    return;
  }
  Job job{.count = count, .grain = grain, .ranges = ranges, .body = body.body, .call = body.call};
  state_->run_job(job);
}

namespace {

// The global pool, its size, and the lock that a fork takes so that the child finds them whole.
struct Global {
  std::mutex mutex;
  std::atomic<ComputePool*> pool{nullptr};
  int threads = 0;

  Global() {
    pthread_atfork([] { instance().mutex.lock(); }, [] { instance().mutex.unlock(); },
                   [] {
                     instance().pool.store(nullptr);  // The child makes its own, with workers of its own.
                     instance().mutex.unlock();
                   });
  }
  static Global& instance() {
    static Global* global = new Global;  // Never destroyed: threads may compute until the process ends.
    return *global;
  }
};

// Registered before main(), hence before any pool can be made.
const Global& registered_at_start = Global::instance();

}  // namespace

ComputePool& ComputePool::global() {
  Global& global = Global::instance();
  if (ComputePool* pool = global.pool.load(std::memory_order_acquire)) return *pool;
  const std::lock_guard lock(global.mutex);
  if (!global.pool.load(std::memory_order_relaxed)) {
    global.pool.store(new ComputePool(global.threads), std::memory_order_release);
  }
  return *global.pool.load(std::memory_order_relaxed);
}

void ComputePool::configure_global(int threads) {
  if (threads < 0)
    fail(ErrorCode::kInvalidArgument, "compute threads: expected 0 (automatic) or more, found {}", threads);
  Global& global = Global::instance();
  const std::lock_guard lock(global.mutex);
  const int wanted = threads == 0 ? available_threads() : threads;
  if (const ComputePool* pool = global.pool.load(std::memory_order_relaxed); pool && pool->threads() != wanted) {
    fail(ErrorCode::kInvalidArgument,
         "compute threads: the process already computes on {} threads, so it cannot be set to {}; set it "
         "before the first "
         "model is loaded",
         pool->threads(), wanted);
  }
  global.threads = wanted;
}

int available_threads() {
  // CPU_ALLOC, since a machine may have more CPUs than the 1024 of a plain cpu_set_t.
  constexpr int kMaxCpus = 8192;
  const auto free_set = [](cpu_set_t* set) { CPU_FREE(set); };
  const std::unique_ptr<cpu_set_t, decltype(free_set)> set(CPU_ALLOC(kMaxCpus), free_set);
  const size_t bytes = CPU_ALLOC_SIZE(kMaxCpus);
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
  if (set && sched_getaffinity(0, bytes, set.get()) == 0) cpus = CPU_COUNT_S(bytes, set.get());
  if (const auto quota = cgroup_cpu_quota()) cpus = std::min(cpus, static_cast<int>(std::ceil(std::min(*quota, 1e6))));
  return std::max(cpus, 1);
}

}  // namespace remuda
