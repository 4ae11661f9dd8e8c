#include "python/pool.h"

#include <fmt/format.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "base/deadline.h"
#include "python/errors.h"

namespace remuda::python {
namespace {

// How long a wait that can't be interrupted goes on before it is looked whether it should be.
constexpr std::chrono::milliseconds kSlice{20};

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

// A Python object that is checked to be a pool.
using PoolArgument = nb::handle_t<PoolObject>;

PoolObject& pool_of(nb::handle self) {
  PoolObject& pool = *nb::inst_ptr<PoolObject>(self);
  pool.check_process();
  return pool;
}

nb::object acquire_method(PoolArgument self, nb::handle timeout, bool destroy_after_use, nb::handle priority,
                          std::string label, nb::handle token) {
  return acquire(self,
                 {.timeout = to_timeout(timeout),
                  .destroy_after_use = destroy_after_use,
                  .priority = to_priority(priority),
                  .label = std::move(label)},
                 to_token(token));
}

nb::object hold(nb::handle self, LeaseBase lease) {
  AnyLease held(std::move(lease));
  const PoolObject& pool = *nb::inst_ptr<PoolObject>(self);
  Loaded loaded = pool.loaded(*held.get());
  nb::object object = nb::inst_alloc(nb::type<InstanceObject>());
  new (nb::inst_ptr<InstanceObject>(object))
      InstanceObject({nb::borrow(self), pool.owner()}, std::move(held), std::move(loaded));
  nb::inst_mark_ready(object);
  return object;
}

// Another instance may have gone on the way to this one, and its unloader may have been interrupted.
void give_back_on_error(CallbackErrors& errors, std::optional<LeaseBase>& lease) {
  if (!errors.has_error()) return;
  if (lease) AnyLease(std::move(*lease)).release();
  errors.raise();
}

nb::object try_acquire(PoolArgument self) {
  PoolObject& pool = pool_of(self);
  CallbackErrors errors;
  std::optional<LeaseBase> lease = without_gil([&pool] { return pool.try_acquire(); });
  give_back_on_error(errors, lease);
  return lease ? hold(self, std::move(*lease)) : nb::none();
}

// What `work` returns, which may run the callbacks of a pool of Python objects.
template <typename Work>
auto with_callbacks(Work&& work) {
  CallbackErrors errors;
  if constexpr (std::is_void_v<std::invoke_result_t<Work>>) {
    std::forward<Work>(work)();
    errors.raise();
  } else {
    auto result = std::forward<Work>(work)();
    errors.raise();
    return result;
  }
}

bool cleanup(PoolArgument self, nb::handle timeout) {
  PoolObject& pool = pool_of(self);
  // None means not to wait, as in C++: who wants to wait says for how long.
  const Timeout limit = timeout.is_none() ? Timeout(std::chrono::nanoseconds(0)) : to_timeout(timeout);
  Interruption interruption(nullptr);
  const auto clean = [&] {
    if (!interruption.is_to_be_asked()) return pool.cleanup(limit ? *limit : std::chrono::nanoseconds::max());
    const Deadline deadline = Deadline::after(limit);
    for (;;) {
      const Timeout left = deadline.left();
      const bool last = left && *left <= kSlice;
      if (pool.cleanup(last ? *left : Timeout::value_type(kSlice))) return true;
      if (last || interruption()) return false;
    }
  };
  return with_callbacks([&] { return interruption.run(clean); });
}

nb::dict histogram(const DurationHistogram& times) {
  nb::dict values;
  values["count"] = times.count();
  values["mean"] = seconds(times.mean());
  values["p50"] = seconds(times.percentile(0.50));
  values["p90"] = seconds(times.percentile(0.90));
  values["p99"] = seconds(times.percentile(0.99));
  values["max"] = seconds(times.max());
  return values;
}

nb::dict get_pool_stats(PoolArgument self) {
  PoolObject& pool = pool_of(self);
  const PoolStats stats = without_gil([&pool] { return pool.get_pool_stats(); });
  nb::dict values;
  values["name"] = stats.name;
  values["available"] = stats.available;
  values["in_use"] = stats.in_use;
  values["creating"] = stats.creating;
  values["total"] = stats.total;
  values["destroying"] = stats.destroying;
  values["max_instances"] = stats.max_instances;
  values["waiting"] = stats.waiting;
  values["acquires"] = stats.acquires;
  values["created"] = stats.created;
  values["destroyed"] = stats.destroyed;
  values["expired"] = stats.expired;
  values["evicted"] = stats.evicted;
  values["lost"] = stats.lost;
  values["creation_failures"] = stats.creation_failures;
  values["out_of_memory"] = stats.out_of_memory;
  values["timeouts"] = stats.timeouts;
  values["cancelled"] = stats.cancelled;
  values["overloaded"] = stats.overloaded;
  values["leaks"] = stats.leaks;
  values["memory_shared"] = stats.memory_shared;
  values["memory_private"] = stats.memory_private;
  values["fallbacks"] = stats.fallbacks;
  values["moved"] = stats.moved;
  values["room_waits"] = stats.room_waits;
  nb::dict by_device;
  for (const auto& [device, instances] : stats.by_device) by_device[nb::cast(device)] = instances;
  values["by_device"] = by_device;
  nb::dict gpu_memory;
  for (const auto& [device, memory] : stats.gpu_memory) {
    nb::dict bytes;
    bytes["allocated"] = memory.allocated;
    bytes["reserved"] = memory.reserved;
    gpu_memory[nb::cast(device)] = bytes;
  }
  values["gpu_memory"] = gpu_memory;
  values["wait_time"] = histogram(stats.wait_time);
  values["use_time"] = histogram(stats.use_time);
  values["create_time"] = histogram(stats.create_time);
  return values;
}

nb::list leaks(PoolArgument self) {
  PoolObject& pool = pool_of(self);
  nb::list reports;
  for (const LeakReport& leak : without_gil([&pool] { return pool.leaks(); })) {
    nb::dict report;
    report["instance_id"] = leak.instance_id;
    report["thread"] = leak.thread;
    report["label"] = leak.label;
    report["age"] = seconds(leak.age);
    reports.append(report);
  }
  return reports;
}

int64_t shrink(PoolArgument self, int64_t instances) {
  PoolObject& pool = pool_of(self);
  return with_callbacks([&] { return without_gil([&] { return pool.shrink(instances); }); });
}

void resize(PoolArgument self, int64_t max_instances) {
  PoolObject& pool = pool_of(self);
  with_callbacks([&] { without_gil([&] { pool.resize(max_instances); }); });
}

void warm_up(PoolArgument self) {
  PoolObject& pool = pool_of(self);
  with_callbacks([&pool] { without_gil([&pool] { pool.warm_up(); }); });
}

void close(PoolArgument self) {
  PoolObject& pool = pool_of(self);
  with_callbacks([&pool] { without_gil([&pool] { pool.close(); }); });
}

}  // namespace

nb::object acquire(nb::handle pool, AcquireOptions options, const CancelToken* token) {
  PoolObject& object = pool_of(pool);
  Interruption interruption(token);
  options.stop_token = interruption.stop();
  if (interruption.is_to_be_asked()) options.cancelled = [&interruption] { return interruption(); };
  CallbackErrors errors;
  std::optional<LeaseBase> lease = interruption.run([&] { return object.acquire(options); });
  give_back_on_error(errors, lease);
  return hold(pool, std::move(*lease));
}

InstanceObject& instance_of(nb::handle pool, nb::handle object) {
  InstanceObject* instance = nullptr;
  if (!nb::try_cast(object, instance, /*convert=*/false) || instance == nullptr) {
    raise(PyExc_TypeError, fmt::format("instance: expected a remuda.ModelInstance, which acquire() gives, found {}",
                                       nb::cast<std::string>(nb::repr(object.type()))));
  }
  instance->instance();  // Raises, where it is none any more.
  if (!instance->pool().is(pool)) {
    raise(PyExc_ValueError, instance->describe() + " is on lease from another manager; return it, and use it, there");
  }
  return *instance;
}

const CancelToken* to_token(nb::handle token) {
  return token.is_none() ? nullptr : nb::cast<const CancelToken*>(token);
}

void bind_pool(nb::module_& module) {
  nb::class_<CancelToken>(module, "CancelToken", "Ends a call that was given it, from another thread.")
      .def(nb::init<>())
      .def("cancel", &CancelToken::cancel)
      .def("is_cancelled", &CancelToken::is_cancelled);
  nb::class_<PoolObject>(module, "Pool", nb::is_weak_referenceable(), "What all pools do.")
      .def("acquire", [](PoolArgument self) { return acquire(self, {}, nullptr); })
      .def("acquire", acquire_method, nb::arg("timeout") = nb::none(), nb::arg("destroy_after_use") = false,
           nb::arg("priority") = "normal", nb::arg("label") = "", nb::arg("token") = nb::none())
      .def("try_acquire", try_acquire)
      .def("release_instance",
           [](PoolArgument self, nb::handle object) { instance_of(self, object).release(/*discard=*/false); })
      .def("check_instance", [](PoolArgument self, nb::handle object) { instance_of(self, object); })
      .def("cleanup", cleanup, nb::arg("timeout") = nb::none())
      .def("close", close)
      .def("shrink", shrink, nb::arg("instances"))
      .def("resize", resize, nb::arg("max_instances"))
      .def("warm_up", warm_up)
      .def("leaks", leaks)
      .def("get_pool_stats", get_pool_stats);
}

}  // namespace remuda::python
