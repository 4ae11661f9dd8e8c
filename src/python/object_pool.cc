// A pool of Python objects, made and looked after by Python functions.
//
// The objects are kept in a map of ObjectStore, not in the pool's instances, so that the interpreter's garbage
// collector can look at all of them: a model may refer to its manager, and the two go together. The map is used with
// the GIL only; instances hold a key of it.
#include <fmt/format.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <atomic>
#include <unordered_map>

#include "manager/managed_pool.h"
#include "manager/residency.h"
#include "manager/shared_model.h"
#include "python/errors.h"
#include "python/pool.h"
#include "remuda/error.h"

namespace remuda::python {
namespace {

struct Functions {
  nb::object load;    // () -> (model, tokenizer, private bytes)
  nb::object unload;  // (model, tokenizer), or None
  nb::object check;   // (model, tokenizer) -> bool, or None
  nb::object owner;   // () -> the manager, or None where it is gone; or None
};

class ObjectStore {
 public:
  explicit ObjectStore(Functions functions) : functions_(std::move(functions)) {}

  // All with the GIL.
  const Functions& functions() const { return functions_; }
  uint64_t add(Loaded loaded) {
    loaded_.emplace(++last_key_, std::move(loaded));
    return last_key_;
  }
  Loaded get(uint64_t key) const {
    const auto found = loaded_.find(key);
    return found == loaded_.end() ? Loaded{nb::none(), nb::none()} : found->second;  // Cleared by the collector.
  }
  void remove(uint64_t key);

  int traverse(visitproc visit, void* arg) const {
    Py_VISIT(functions_.load.ptr());
    Py_VISIT(functions_.unload.ptr());
    Py_VISIT(functions_.check.ptr());
    Py_VISIT(functions_.owner.ptr());
    for (const auto& [key, loaded] : loaded_) {
      Py_VISIT(loaded.model.ptr());
      Py_VISIT(loaded.tokenizer.ptr());
    }
    return 0;
  }
  void clear() {
    const Functions functions = std::exchange(functions_, {});
    const auto loaded = std::exchange(loaded_, {});
  }

 private:
  Functions functions_;
  std::unordered_map<uint64_t, Loaded> loaded_;
  uint64_t last_key_ = 0;
};

void ObjectStore::remove(uint64_t key) {
  const auto found = loaded_.find(key);
  if (found == loaded_.end()) return;
  const Loaded loaded = std::move(found->second);
  loaded_.erase(found);
  if (!functions_.unload.is_valid() || functions_.unload.is_none()) return;
  const nb::error_scope pending;
  try {
    functions_.unload(loaded.model, loaded.tokenizer);
  } catch (nb::python_error& error) {
    // A failure has nobody to be raised to: the caller has just returned, or is another one than who used it.
    if (!CallbackErrors::keep(error)) error.discard_as_unraisable(functions_.unload);
  }
}

// Goes on whatever thread lets go of it last.
std::shared_ptr<ObjectStore> make_store(Functions functions) {
  return {new ObjectStore(std::move(functions)), [](ObjectStore* store) {
            if (!interpreter_is_there()) return;
            const nb::gil_scoped_acquire gil;
            delete store;
          }};
}

class ObjectInstance : public ModelInstance {
 public:
  ObjectInstance(ModelMetadata metadata, std::shared_ptr<ObjectStore> store, uint64_t key)
      : ModelInstance(std::move(metadata)), store_(std::move(store)), key_(key) {}

  ~ObjectInstance() override {
    if (!interpreter_is_there()) {
      new std::shared_ptr<ObjectStore>(std::move(store_));  // The objects go with the process.
      return;
    }
    {
      const nb::gil_scoped_acquire gil;
      store_->remove(key_);
      store_.reset();
    }
    if (residency_ != nullptr) residency_->end();
  }

  uint64_t key() const { return key_; }

  // From here on it is counted in main memory's budget, and goes when others need the room and the pool is idle.
  void count(std::shared_ptr<Residency> residency, const std::shared_ptr<ManagedPool>& pool) {
    residency_ = std::move(residency);
    Residency::begin(residency_, metadata().private_bytes, /*mapped=*/0, metadata().load_time);
    residency_->add_user(pool);
  }

 private:
  std::shared_ptr<ObjectStore> store_;
  const uint64_t key_;
  std::shared_ptr<Residency> residency_;  // Null where nobody says what the object takes.
};

// The description of the model, fixed when the pool is made.
struct ObjectKind {
  std::string model_name;
  std::string model_type;
  std::string device;
  // What an object takes, as far as it is known before there is one; nothing where objects aren't counted.
  std::optional<uint64_t> memory_bytes;
};

std::unique_ptr<ObjectInstance> call_loader(const std::shared_ptr<ObjectStore>& store, const ObjectKind& kind) {
  if (!interpreter_is_there()) throw PoolClosed(fmt::format("{}: the interpreter ends", kind.model_name));
  const nb::gil_scoped_acquire gil;
  const auto start = std::chrono::steady_clock::now();
  const nb::object function = store->functions().load;
  if (!function.is_valid()) throw PoolClosed(fmt::format("{}: its manager is gone", kind.model_name));
  const auto made = nb::cast<nb::tuple>(function());
  ModelMetadata metadata;
  metadata.model_name = kind.model_name;
  metadata.model_type = kind.model_type;
  metadata.device = kind.device;
  metadata.private_bytes = nb::cast<uint64_t>(made[2]);
  metadata.load_time = std::chrono::steady_clock::now() - start;
  const uint64_t key = store->add({nb::borrow(made[0]), nb::borrow(made[1])});
  return std::make_unique<ObjectInstance>(std::move(metadata), store, key);
}

// Room is made, or waited for, before the loader is called, and without the GIL: others may need it to give room back.
std::unique_ptr<ObjectInstance> load(const std::shared_ptr<ObjectStore>& store, const ObjectKind& kind,
                                     const std::shared_ptr<ManagedPool>& pool) {
  std::shared_ptr<Residency> residency;
  if (kind.memory_bytes) {
    WeightRequest request{.key = {}, .what = kind.model_name};
    request.cost.shared_weights = *kind.memory_bytes;
    residency = std::make_shared<Residency>(request);
  }
  std::unique_ptr<ObjectInstance> instance = call_loader(store, kind);
  if (residency != nullptr) instance->count(std::move(residency), pool);
  return instance;
}

// What raises is not healthy; the pool logs why, or the caller who returned it gets it.
bool is_healthy(const std::shared_ptr<ObjectStore>& store, ModelInstance& instance) {
  if (!interpreter_is_there()) return true;
  const nb::gil_scoped_acquire gil;
  const nb::object check = store->functions().check;
  if (!check.is_valid() || check.is_none()) return true;
  const Loaded loaded = store->get(static_cast<ObjectInstance&>(instance).key());
  try {
    return nb::cast<bool>(nb::bool_(check(loaded.model, loaded.tokenizer)));
  } catch (nb::python_error& error) {
    if (!CallbackErrors::keep(error)) throw;
    return false;
  }
}

class ObjectPool : public PoolObject {
 public:
  ObjectPool(Functions functions, ObjectKind kind, PoolOptions options, Settings settings)
      : store_(make_store(std::move(functions))),
        kind_(std::move(kind)),
        options_(std::move(options)),
        settings_(std::move(settings)),
        limit_(without_gil([this] { return memory_limit(settings_); })) {
    make();
  }

  // The pool's housekeeping thread may be in here, on its way to the GIL, and so may be who wants memory back; to close
  // the pool, and to end its registration, is to wait for them.
  ~ObjectPool() override {
    without_gil([this] {
      pool_->close();
      view_->store(nullptr);
      registration_.reset();
      pool_.reset();
    });
  }

  LeaseBase acquire(const AcquireOptions& options) override { return pool_->acquire(options); }
  std::optional<LeaseBase> try_acquire() override { return pool_->try_acquire(); }
  bool cleanup(Timeout timeout) override { return pool_->cleanup(timeout); }
  void close() override { pool_->close(); }
  PoolStats get_pool_stats() override { return pool_->get_pool_stats(); }
  std::vector<LeakReport> leaks() override { return pool_->leaks(); }
  int64_t shrink(int64_t instances) override { return pool_->shrink(instances); }
  void resize(int64_t max_instances) override { pool_->resize(max_instances); }
  void warm_up() override { pool_->warm_up(); }

  Loaded loaded(const ModelInstance& instance) const override {
    return store_->get(static_cast<const ObjectInstance&>(instance).key());
  }

  nb::object owner() const override {
    const nb::object& function = store_->functions().owner;
    return function.is_valid() && !function.is_none() ? function() : nb::object();
  }

  // The parent's objects stay where they are, without being unloaded: they may stand for what is the parent's.
  void start_anew() override {
    view_->store(nullptr);
    registration_.release();
    new std::shared_ptr<Pool>(std::move(pool_));
    auto* const abandoned = new std::shared_ptr<ObjectStore>(std::move(store_));
    store_ = make_store((*abandoned)->functions());
    make();
  }

  int traverse(visitproc visit, void* arg) const { return store_->traverse(visit, arg); }
  void clear() {
    without_gil([this] { pool_->close(); });
    store_->clear();
  }

 private:
  using Pool = ModelPool<ObjectInstance>;
  using View = std::atomic<std::shared_ptr<Pool>>;

  void make() {
    PoolOptions options = options_;
    const bool is_checked = !store_->functions().check.is_none();
    if (is_checked) options.is_healthy = [store = store_](ModelInstance& i) { return is_healthy(store, i); };
    view_ = std::make_shared<View>();
    registration_ = std::make_unique<PoolRegistration>(settings_, control(view_));
    pool_ = std::make_shared<Pool>(std::move(options), [store = store_, kind = kind_, pool = registration_->pool()] {
      return load(store, kind, pool);
    });
    view_->store(pool_);
  }

  // What the process sees of the pool; nothing before it is made, and after a fork. An object's end may be that of its
  // manager, so whoever looks keeps the pool.
  static PoolControl control(const std::shared_ptr<View>& view) {
    using Time = std::chrono::steady_clock::time_point;
    PoolControl control;
    control.stats = [view] {
      const std::shared_ptr<Pool> pool = view->load();
      return pool != nullptr ? pool->get_pool_stats() : PoolStats();
    };
    control.least_recent_use = [view]() -> std::optional<Time> {
      const std::shared_ptr<Pool> pool = view->load();
      return pool != nullptr ? pool->least_recent_use() : std::nullopt;
    };
    control.evict_idle = [view](Time not_used_since) {
      const std::shared_ptr<Pool> pool = view->load();
      return pool != nullptr && pool->evict_idle(not_used_since);
    };
    control.cleanup = [view] {
      if (const std::shared_ptr<Pool> pool = view->load()) pool->cleanup();
    };
    return control;
  }

  std::shared_ptr<ObjectStore> store_;
  const ObjectKind kind_;
  const PoolOptions options_;
  const Settings settings_;
  const MemoryBudget::Limit limit_;
  std::shared_ptr<View> view_;
  std::unique_ptr<PoolRegistration> registration_;
  std::shared_ptr<Pool> pool_;
};

int traverse_slot(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return nb::inst_ready(self) ? nb::inst_ptr<ObjectPool>(self)->traverse(visit, arg) : 0;
}

int clear_slot(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<ObjectPool>(self)->clear();
  return 0;
}

const PyType_Slot kSlots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_slot)},
                              {Py_tp_clear, reinterpret_cast<void*>(clear_slot)},
                              {0, nullptr}};

// Of `limits`, what is None is not limited; see ModelPool of the Python package for all.
PoolOptions read_options(const std::string& name, int64_t max_instances, bool enabled, const nb::dict& limits) {
  PoolOptions options;
  options.name = name;
  options.max_instances = max_instances;
  options.enabled = enabled;
  const auto time = [&limits](const char* key) { return to_timeout(limits[key], key); };
  const auto count = [&limits](const char* key) { return to_count(limits[key], key); };
  options.leak_threshold = time("leak_threshold").value_or(std::chrono::nanoseconds::max());
  options.idle_ttl = time("idle_ttl");
  options.max_lifetime = time("max_lifetime");
  options.max_uses = count("max_uses");
  options.min_idle = count("min_idle").value_or(0);
  options.max_waiting = count("max_waiting");
  return options;
}

void construct(ObjectPool* self, nb::object load, nb::object unload, nb::object check, nb::object owner,
               const std::string& name, const std::string& model_type, const std::string& device, int64_t max_instances,
               bool enabled, const nb::dict& limits, std::optional<uint64_t> memory_bytes,
               const std::optional<nb::dict>& settings) {
  new (self) ObjectPool({std::move(load), std::move(unload), std::move(check), std::move(owner)},
                        {name, model_type, device, memory_bytes}, read_options(name, max_instances, enabled, limits),
                        settings ? to_settings(*settings) : Settings());
}

}  // namespace

void bind_object_pool(nb::module_& module) {
  nb::class_<ObjectPool, PoolObject>(module, "ObjectPool", nb::type_slots(kSlots), "A pool of Python objects.")
      .def("__init__", construct, nb::arg("load"), nb::arg("unload").none(), nb::arg("check").none(),
           nb::arg("owner").none(), nb::arg("name"), nb::arg("model_type"), nb::arg("device"), nb::arg("max_instances"),
           nb::arg("enabled"), nb::arg("limits"), nb::arg("memory_bytes") = nb::none(),
           nb::arg("settings") = nb::none());
}

}  // namespace remuda::python
