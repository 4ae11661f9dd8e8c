#include "python/gil.h"

#include <pthread.h>
#include <unistd.h>

#include <thread>

#include "python/log_bridge.h"

namespace remuda::python {
namespace {

using Clock = std::chrono::steady_clock;

// Half of what a wait may keep Ctrl-C back (50 ms), less what it takes to get the GIL (5 ms).
constexpr std::chrono::milliseconds kLookEvery{20};
// Python's own threads give the GIL up within milliseconds; one that doesn't must not keep the process from ending.
constexpr std::chrono::seconds kExitPatience{2};

std::atomic<int> generation{0};
std::atomic<unsigned long> main_thread{0};
std::atomic<bool> exiting{false};
std::atomic<unsigned long> exiting_thread{0};
std::atomic<int> returning{0};  // Threads between having decided to take the GIL and having it.

[[noreturn]] void sleep_forever() {
  for (;;) pause();
}

// Takes the GIL, or never returns where the interpreter is on its way out.
void enter(PyThreadState* state) {
  ++returning;
  if (exiting.load() && PyThread_get_thread_ident() != exiting_thread.load()) {
    --returning;
    sleep_forever();
  }
  PyEval_RestoreThread(state);
  --returning;
}

}  // namespace

int fork_generation() { return generation.load(std::memory_order_relaxed); }

void initialize_threads() {
  main_thread = nb::cast<unsigned long>(nb::module_::import_("threading").attr("main_thread")().attr("ident"));
  pthread_atfork(nullptr, nullptr, [] {
    ++generation;
    main_thread = PyThread_get_thread_ident();  // The thread that forked is all that there is.
    returning = 0;
  });
}

void prepare_for_exit() {
  hand_over_log_records();
  exiting_thread = PyThread_get_thread_ident();
  exiting = true;
  // Those that had decided before they could know come in now, while they still can.
  const nb::gil_scoped_release released;
  const auto end = Clock::now() + kExitPatience;
  while (returning.load() > 0 && Clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

bool is_exiting() { return exiting.load(std::memory_order_relaxed); }

bool interpreter_is_there() {
  return Py_IsInitialized() != 0 && (!exiting.load() || PyThread_get_thread_ident() == exiting_thread.load());
}

ReleasedGil::~ReleasedGil() {
  enter(state_);
  hand_over_log_records();
}

CallbackErrors*& CallbackErrors::current() {
  thread_local CallbackErrors* innermost = nullptr;
  return innermost;
}

bool CallbackErrors::keep(nb::python_error& error) {
  CallbackErrors* const caller = current();
  if (caller == nullptr || error.matches(PyExc_Exception)) return false;
  if (caller->error_ == nullptr) caller->error_ = std::current_exception();
  return true;
}

void CallbackErrors::raise() {
  if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
}

Interruption::Interruption(const CancelToken* token)
    : stop_(token != nullptr ? token->stop() : std::stop_source(std::nostopstate)),
      on_main_thread_(PyThread_get_thread_ident() == main_thread.load()),
      looked_(Clock::now()) {}

bool Interruption::operator()() {
  if (error_ != nullptr || stop_.stop_requested()) return true;
  if (!on_main_thread_) return false;
  const Clock::time_point now = Clock::now();
  if (now - looked_ < kLookEvery) return false;
  looked_ = now;
  call_python([] {
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
  });
  return error_ != nullptr;
}

}  // namespace remuda::python
