// The batcher's own thread: the caller of requests that were submitted.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/fail.h"
#include "manager/batcher.h"

namespace remuda {

void Batcher::submit(Submission submission) {
  std::exception_ptr error;
  {
    const Lock lock(mutex_);
    if (closed_) {
      error = closed_error();
    } else {
      try {
        start_thread();
        inbox_.push_back(submission);
        wake(&submitter_);
        return;
      } catch (...) {
        error = std::current_exception();
      }
    }
  }
  submission.resolve(nullptr, error);
}

void Batcher::start_thread() {
  if (thread_.joinable()) {
    if (thread_process_ == getpid()) return;
    fail(ErrorCode::kUnsupported,
         "pool {}: work was submitted before fork(), and the thread for it stayed in the parent process; make a new "
         "manager in the child",
         options_.name);
  }
  // Signals are for the host's threads, whose handlers may not expect ours.
  sigset_t all, saved;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &saved);
  try {
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "remuda-submit");
      serve_submissions();
    });
    thread_process_ = getpid();
  } catch (const std::system_error& error) {
    pthread_sigmask(SIG_SETMASK, &saved, nullptr);
    fail(ErrorCode::kOutOfMemory, "pool {}: cannot start the thread for submitted work: {}; raise the process's limit",
         options_.name, error.what());
  }
  pthread_sigmask(SIG_SETMASK, &saved, nullptr);
}

void Batcher::join_thread() {
  if (!thread_.joinable()) return;
  if (thread_process_ != getpid()) {  // It stayed in the parent: there is nothing to join.
    static_cast<void>(new std::thread(std::move(thread_)));
    std::erase(callers_, &submitter_);
    return;
  }
  {
    const Lock lock(mutex_);
    stopping_ = true;
    wake(&submitter_);
  }
  thread_.join();
}

void Batcher::serve_submissions() {
  Lock lock(mutex_);
  callers_.push_back(&submitter_);
  while (true) {
    if (resolve_submitted(lock) || make_submitted(lock)) continue;
    if (stopping_ && submitted_.empty()) break;
    try {
      serve(lock, submitter_);
    } catch (...) {  // No memory.
      if (!lock.owns_lock()) lock.lock();
      for (const Submitted& each : submitted_) each.request->fail(std::current_exception());
    }
  }
  leave(lock, submitter_);
}

// The next one of the inbox; whether there was one.
bool Batcher::make_submitted(Lock& lock) {
  if (inbox_.empty()) return false;
  Submission submission = std::move(inbox_.front());
  inbox_.pop_front();
  Pointer request;
  std::unique_ptr<OnStop> on_stop;
  std::exception_ptr error = refuse(lock);
  if (error == nullptr) {
    lock.unlock();
    try {
      request = submission.make();
      if (request->options().stop.stop_possible()) {
        on_stop = std::make_unique<OnStop>(request->options().stop, [this, request] { stop(*request); });
      }
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error == nullptr) error = refuse(lock);
  }
  if (error == nullptr) {
    enter(submitter_, request);
    submitted_.push_back({std::move(request), std::move(submission), std::move(on_stop)});
    return true;
  }
  lock.unlock();
  on_stop.reset();
  submission.resolve(nullptr, error);
  lock.lock();
  return true;
}

// One that is done; whether there was one.
bool Batcher::resolve_submitted(Lock& lock) {
  const auto done = std::ranges::find_if(submitted_, [](const Submitted& each) {
    return each.request->is_done() && (each.request->error() != nullptr || !each.request->has_news());
  });
  if (done == submitted_.end()) return false;
  Submitted resolved = std::move(*done);
  submitted_.erase(done);
  std::erase(submitter_.requests, resolved.request);
  queue_.remove(*resolved.request);
  resolved.request->caller_ = nullptr;
  hand_over_leaderless(lock);
  wake_opener();  // As where a caller leaves.
  lock.unlock();
  resolved.on_stop.reset();
  resolved.submission.resolve(resolved.request.get(), resolved.request->error());
  lock.lock();
  return true;
}

}  // namespace remuda
