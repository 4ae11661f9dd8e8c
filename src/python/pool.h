// The pools that Python sees, whatever is in them.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "python/arguments.h"
#include "python/gil.h"
#include "python/instance.h"
#include "remuda/model_manager.h"

namespace remuda::python {

// Bound as remuda._native.Pool. The virtual functions are called without the GIL, by several threads at once, unless
// they say otherwise.
class PoolObject {
 public:
  virtual ~PoolObject() = default;

  virtual LeaseBase acquire(const AcquireOptions& options) = 0;
  virtual std::optional<LeaseBase> try_acquire() = 0;
  virtual bool cleanup(Timeout timeout) = 0;
  virtual void close() = 0;
  virtual PoolStats get_pool_stats() = 0;
  virtual std::vector<LeakReport> leaks() = 0;
  virtual int64_t shrink(int64_t instances) = 0;
  virtual void resize(int64_t max_instances) = 0;
  virtual void warm_up() = 0;

  // With the GIL. What a Python loader made of this instance; nothing for a native model.
  virtual Loaded loaded(const ModelInstance& /*instance*/) const { return {}; }
  // With the GIL. What leases keep alive besides the pool.
  virtual nb::object owner() const { return {}; }
  // With the GIL, before anything else after a fork: the pool that was copied with its threads missing is left alone,
  // and one without instances takes its place.
  virtual void start_anew() = 0;

  // With the GIL; every bound function begins with it.
  void check_process() {
    if (generation_ == fork_generation()) return;
    generation_ = fork_generation();
    start_anew();
  }

 private:
  int generation_ = fork_generation();
};

// What a manager in C++ is to Python. Manager is constructed from settings alone.
template <typename Manager>
class ManagerPool : public PoolObject {
 public:
  // Both may give memory back, or wait for who does: without the GIL, which a Python object's destructor takes.
  explicit ManagerPool(Settings settings)
      : settings_(std::move(settings)),
        manager_(without_gil([this] { return std::make_unique<Manager>(settings_); })) {}
  ~ManagerPool() override {
    without_gil([this] { manager_.reset(); });
  }

  Manager& manager() { return *manager_; }

  LeaseBase acquire(const AcquireOptions& options) override { return manager_->acquire(options); }
  std::optional<LeaseBase> try_acquire() override { return manager_->try_acquire(); }
  bool cleanup(Timeout timeout) override { return manager_->cleanup(timeout); }
  void close() override { manager_->close(); }
  PoolStats get_pool_stats() override { return manager_->get_pool_stats(); }
  std::vector<LeakReport> leaks() override { return manager_->leaks(); }
  int64_t shrink(int64_t instances) override { return manager_->shrink(instances); }
  void resize(int64_t max_instances) override { manager_->resize(max_instances); }
  void warm_up() override { manager_->warm_up(); }

  void start_anew() override {
    manager_.release();  // Not destroyed: its mutexes may be locked for ever.
    manager_ = std::make_unique<Manager>(settings_);
  }

 private:
  const Settings settings_;
  std::unique_ptr<Manager> manager_;
};

// A leased instance for Python; waits without the GIL.
nb::object acquire(nb::handle pool, AcquireOptions options, const CancelToken* token);

// The instance that `object` holds, if it is on lease from this pool; raises TypeError and ValueError.
InstanceObject& instance_of(nb::handle pool, nb::handle object);

// The instance that a call was given, which can't be released meanwhile, or none. Comes and goes with the GIL.
class GivenInstance {
 public:
  // Raises as instance_of().
  GivenInstance(nb::handle pool, nb::handle object)
      : object_(object.is_none() ? nullptr : &instance_of(pool, object)),
        instance_(object_ == nullptr ? nullptr : &object_->instance()) {
    if (object_ != nullptr) object_->begin_use();
  }
  ~GivenInstance() {
    if (object_ != nullptr) object_->end_use();
  }
  GivenInstance(const GivenInstance&) = delete;
  GivenInstance& operator=(const GivenInstance&) = delete;

  ModelInstance* get() const { return instance_; }

 private:
  InstanceObject* const object_;
  ModelInstance* const instance_;
};

// A pointer to what a Python argument holds, null for None.
const CancelToken* to_token(nb::handle token);

void bind_pool(nb::module_& module);
void bind_object_pool(nb::module_& module);
void bind_embedding(nb::module_& module);
void bind_summarization(nb::module_& module);
void bind_tokenizer(nb::module_& module);

}  // namespace remuda::python
