// Leaving and entering the interpreter: everything that waits or computes does so without the GIL, and what must not be
// lost meanwhile (Ctrl-C, log records, the process's end) is looked after here.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>
#include <exception>
#include <memory>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace remuda::python {

namespace nb = nanobind;

// Which child of a fork this process is, counted from the one that loaded the module. A pool, a lease or a lock that
// was made in another generation belongs to the parent: its threads are gone, and its mutexes may have been copied
// locked.
int fork_generation();

// Called once, when the module is loaded, on any thread.
void initialize_threads();

// Called by Python's atexit: from here on a thread other than this one that comes back from native code never enters
// the interpreter again. Python up to 3.13 would unwind its stack instead, and end the process with an abort.
void prepare_for_exit();

// Whether that was called; modules may be gone at any moment then.
bool is_exiting();

// Whether the interpreter can still be called into by a thread that doesn't hold the GIL.
bool interpreter_is_there();

// Gives up the GIL for its scope. On the way back it hands over what was logged meanwhile.
class ReleasedGil {
 public:
  ReleasedGil() : state_(PyEval_SaveThread()) {}
  ~ReleasedGil();
  ReleasedGil(const ReleasedGil&) = delete;
  ReleasedGil& operator=(const ReleasedGil&) = delete;

 private:
  PyThreadState* state_;
};

// What `work` returns; it may throw. `work` must not touch Python.
template <typename Work>
auto without_gil(Work&& work) {
  const ReleasedGil released;
  return std::forward<Work>(work)();
}

// What ends a caller rather than reports a failure, KeyboardInterrupt and SystemExit, where a callback raised it during
// a call whose own path can't throw: a health check, an unloader. While one of these is on a thread's stack it keeps
// them, and its owner raises the first when the call is done. Made, used and destroyed with the GIL.
class CallbackErrors {
 public:
  CallbackErrors() : outer_(current()) { current() = this; }
  ~CallbackErrors() { current() = outer_; }
  CallbackErrors(const CallbackErrors&) = delete;
  CallbackErrors& operator=(const CallbackErrors&) = delete;

  // In the handler of `error`. Whether it was kept: there is a caller on this thread, and it is none of Exception's
  // kind.
  static bool keep(nb::python_error& error);

  bool has_error() const { return error_ != nullptr; }
  void raise();

 private:
  static CallbackErrors*& current();

  CallbackErrors* const outer_;
  std::exception_ptr error_;
};

// What an asyncio task that is cancelled leaves for the thread that works for it.
class CancelToken {
 public:
  void cancel() { stop_.request_stop(); }
  bool is_cancelled() const { return stop_.stop_requested(); }

  const std::stop_source& stop() const { return stop_; }

 private:
  std::stop_source stop_;
};

// What may come between the steps of a call that runs without the GIL; belongs to that call's thread. Python's errors
// wait here for the call to end: what computes for several calls never holds one, since whoever lets go of it last
// needs the GIL.
class Interruption {
 public:
  explicit Interruption(const CancelToken* token);

  // Whether the call is to end: it was cancelled, or there is an error. On the main thread it also gives Python's
  // signal handlers their turn, every 20 ms at most; what they raise, KeyboardInterrupt, is the call's error.
  bool operator()();

  // Whether it has to be asked: a signal wakes nobody. Everything else is a stop.
  bool is_to_be_asked() const { return on_main_thread_; }
  // Stopped when the call was cancelled or there is an error.
  std::stop_token stop() const { return stop_.get_token(); }
  // Needed before stop() of a call that runs Python.
  void stop_on_error() {
    if (!stop_.stop_possible()) stop_ = std::stop_source();
  }

  // Runs Python, with the GIL; what it raises is the call's error. After the first one it isn't run any more.
  template <typename Callback>
  void call_python(Callback&& callback) {
    if (error_ != nullptr) return;
    {
      const nb::gil_scoped_acquire gil;
      try {
        std::forward<Callback>(callback)();
      } catch (...) {
        error_ = std::current_exception();
      }
    }
    if (error_ != nullptr) stop_.request_stop();
  }

  // What `work` returns, without the GIL, or the error where there is one. `work` must not touch Python.
  template <typename Work>
  auto run(Work&& work) {
    try {
      if constexpr (std::is_void_v<std::invoke_result_t<Work>>) {
        without_gil(std::forward<Work>(work));
        throw_error();
      } else {
        auto result = without_gil(std::forward<Work>(work));
        throw_error();
        return result;
      }
    } catch (...) {
      throw_error();  // It is the reason.
      throw;
    }
  }

 private:
  void throw_error() {
    if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  std::stop_source stop_;  // The token's, where there is one.
  bool on_main_thread_;
  std::chrono::steady_clock::time_point looked_;
  std::exception_ptr error_;
};

}  // namespace remuda::python
