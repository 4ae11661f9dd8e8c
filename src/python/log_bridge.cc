#include "python/log_bridge.h"

#include <nanobind/nanobind.h>
#include <pthread.h>

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "python/gil.h"

namespace remuda::python {
namespace {

namespace nb = nanobind;

// What is waiting when nobody comes by is bounded; what is beyond that is counted.
constexpr size_t kMostQueued = 10'000;

struct Record {
  log::Level level;
  std::string message;
};

struct Queue {
  std::mutex mutex;
  std::vector<Record> records;  // Guarded by the mutex, and so is dropped.
  size_t dropped = 0;
  std::atomic<bool> filled{false};
  std::atomic<bool> call_pending{false};
};

// Never destroyed: threads may log while the process exits.
Queue& queue() {
  static auto* const instance = new Queue;
  return *instance;
}

int python_level(log::Level level) {
  switch (level) {
    case log::Level::kDebug:
      return 10;
    case log::Level::kInfo:
      return 20;
    case log::Level::kWarning:
      return 30;
    case log::Level::kError:
    case log::Level::kOff:
      break;
  }
  return 40;
}

int pending_call(void*) {
  queue().call_pending = false;
  hand_over_log_records();
  return 0;
}

void enqueue(log::Level level, std::string_view message) {
  Queue& q = queue();
  {
    const std::lock_guard lock(q.mutex);
    if (q.records.size() < kMostQueued) {
      q.records.push_back({level, std::string(message)});
    } else {
      ++q.dropped;
    }
    q.filled = true;
  }
  if (!q.call_pending.exchange(true) && Py_AddPendingCall(pending_call, nullptr) != 0) q.call_pending = false;
}

void give_to_logger(std::vector<Record> records, size_t dropped) {
  const nb::object logger = nb::module_::import_("logging").attr("getLogger")("remuda");
  const nb::object log = logger.attr("log");
  for (const Record& record : records) {
    const nb::object text = nb::steal(
        PyUnicode_DecodeUTF8(record.message.data(), static_cast<Py_ssize_t>(record.message.size()), "replace"));
    log(python_level(record.level), "%s", text);
  }
  if (dropped > 0) log(python_level(log::Level::kWarning), "%d log records were dropped", dropped);
}

}  // namespace

void install_log_bridge() {
  pthread_atfork([] { queue().mutex.lock(); }, [] { queue().mutex.unlock(); },
                 [] {
                   // The parent hands over what it has logged.
                   queue().records.clear();
                   queue().filled = false;
                   queue().mutex.unlock();
                 });
  log::set_sink(enqueue);
}

void set_log_level(int level) {
  for (const log::Level native : {log::Level::kDebug, log::Level::kInfo, log::Level::kWarning, log::Level::kError}) {
    if (level <= python_level(native)) {
      log::set_level(native);
      return;
    }
  }
  log::set_level(log::Level::kOff);
}

void hand_over_log_records() noexcept {
  Queue& q = queue();
  if (!q.filled.load(std::memory_order_relaxed) || is_exiting()) return;
  std::vector<Record> records;
  size_t dropped = 0;
  {
    const std::lock_guard lock(q.mutex);
    records.swap(q.records);
    dropped = std::exchange(q.dropped, 0);
    q.filled = false;
  }
  const nb::error_scope pending;  // Logging must neither see nor lose an exception on its way.
  try {
    give_to_logger(std::move(records), dropped);
  } catch (nb::python_error& error) {
    if (error.matches(PyExc_KeyboardInterrupt)) {
      PyErr_SetInterrupt();  // Comes again, where it can be raised.
    } else {
      error.discard_as_unraisable("remuda's log");
    }
  } catch (const std::exception&) {
    // Without memory for a record there is none to say so.
  }
}

}  // namespace remuda::python
