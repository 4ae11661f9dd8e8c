// What a Python caller holds: an instance of a pool, for as long as its lease lasts.
#pragma once

#include <nanobind/nanobind.h>

#include <optional>
#include <string>
#include <utility>

#include "python/gil.h"
#include "remuda/model_manager.h"

namespace remuda::python {

// A lease of any pool.
class AnyLease : public LeaseBase {
 public:
  explicit AnyLease(LeaseBase&& lease) : LeaseBase(std::move(lease)) {}
  ModelInstance* get() const { return instance(); }
};

// A Python object in a pool: what its loader made, kept by the pool that the interpreter's garbage collector can look
// into. Comes and goes with the pool's instance, on whatever thread that happens.
struct Loaded {
  nb::object model;
  nb::object tokenizer;
};

// Where an instance is from; a lease keeps both alive.
struct Origin {
  nb::object pool;     // The PoolObject.
  nb::object manager;  // The Python object that loads and unloads what is in the pool, if there is one.
};

// Bound as remuda.ModelInstance. All members are used with the GIL held, so they need no lock; the work that is done on
// the instance without it is counted in `users`.
class InstanceObject {
 public:
  InstanceObject(Origin origin, AnyLease lease, Loaded loaded);
  ~InstanceObject();  // Returns what was never released, with a ResourceWarning.
  InstanceObject(const InstanceObject&) = delete;
  InstanceObject& operator=(const InstanceObject&) = delete;

  bool is_leased() const { return lease_.has_value(); }
  const nb::object& pool() const { return origin_.pool; }
  // Raises ValueError where it was released, or was leased before a fork.
  ModelInstance& instance() const;
  const ModelMetadata& metadata() const { return instance().metadata(); }
  const Loaded& loaded() const;

  // Raises ValueError where it was released already, RuntimeError while a thread computes on it.
  void release(bool discard);
  // At the end of a with block, where it may have been released inside.
  void leave();
  // By who acquired it and has shown it to nobody.
  void return_own() { give_back(/*discard=*/false); }

  // Work on the instance, without the GIL.
  template <typename Work>
  auto use(Work&& work) {
    struct User {
      explicit User(int& count) : count_(count) { ++count_; }
      ~User() { --count_; }
      int& count_;
    };
    const User user(users_);
    return without_gil(std::forward<Work>(work));
  }

  std::string describe() const;

  // For the garbage collector.
  int traverse(visitproc visit, void* arg) const;
  void clear();

 private:
  void give_back(bool discard);

  Origin origin_;
  std::optional<AnyLease> lease_;  // Nothing when released.
  Loaded loaded_;
  const uint64_t id_;
  const int generation_ = fork_generation();
  int users_ = 0;
};

void bind_instance(nb::module_& module);

}  // namespace remuda::python
