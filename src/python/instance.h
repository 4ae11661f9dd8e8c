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

// Bound as remuda.ModelInstance. All members are used with the GIL held, so they need no lock; calls that compute on
// the instance without it are counted.
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
  // For calls that compute on it: while there is one, it can't be released.
  void begin_use() { ++users_; }
  void end_use() { --users_; }

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
