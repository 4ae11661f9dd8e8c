#include "python/instance.h"

#include <fmt/format.h>
#include <nanobind/stl/string.h>

#include "python/errors.h"

namespace remuda::python {
namespace {

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

double since_epoch(std::chrono::system_clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

int traverse_slot(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return nb::inst_ready(self) ? nb::inst_ptr<InstanceObject>(self)->traverse(visit, arg) : 0;
}

int clear_slot(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<InstanceObject>(self)->clear();
  return 0;
}

const PyType_Slot kSlots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_slot)},
                              {Py_tp_clear, reinterpret_cast<void*>(clear_slot)},
                              {0, nullptr}};

nb::object model_of(const InstanceObject& self) {
  const nb::object& model = self.loaded().model;
  if (model.is_valid()) return model;
  raise(PyExc_AttributeError,
        "model: this is a native model, which is used through its manager: manager.embed_text(text, instance), "
        "manager.summarize_text(text, instance)");
}

nb::object tokenizer_of(const InstanceObject& self) {
  const nb::object& tokenizer = self.loaded().tokenizer;
  if (tokenizer.is_valid()) return tokenizer;
  raise(PyExc_AttributeError, "tokenizer: this is a native model, whose tokenizer works inside its manager");
}

}  // namespace

InstanceObject::InstanceObject(Origin origin, AnyLease lease, Loaded loaded)
    : origin_(std::move(origin)),
      lease_(std::move(lease)),
      loaded_(std::move(loaded)),
      id_(lease_->get()->metadata().id) {}

InstanceObject::~InstanceObject() {
  if (!is_leased()) return;
  const nb::error_scope pending;  // This may be the way of an exception.
  const std::string text = describe();
  try {
    give_back(/*discard=*/false);
  } catch (nb::python_error& error) {
    error.discard_as_unraisable(Py_None);  // A destructor can't raise it.
  }
  if (PyErr_WarnFormat(PyExc_ResourceWarning, 1, "%s was never released; use `with manager.acquire() as instance:`",
                       text.c_str()) != 0) {
    PyErr_WriteUnraisable(Py_None);  // Warnings are errors here, and a destructor can't raise one.
  }
}

ModelInstance& InstanceObject::instance() const {
  if (!is_leased()) raise(PyExc_ValueError, describe() + "; acquire another one");
  if (generation_ != fork_generation()) {
    raise(PyExc_ValueError,
          fmt::format("instance {} was leased before this process was forked, and is its parent's; acquire one here",
                      id_));
  }
  return *lease_->get();
}

const Loaded& InstanceObject::loaded() const {
  instance();
  return loaded_;
}

void InstanceObject::release(bool discard) {
  if (!is_leased()) raise(PyExc_ValueError, describe() + " already; release an instance once");
  if (users_ > 0) {
    raise(PyExc_RuntimeError,
          fmt::format("instance {} is computing on another thread; release it when that is done", id_));
  }
  give_back(discard);
}

void InstanceObject::leave() {
  if (is_leased()) release(/*discard=*/false);
}

// With the GIL, which is cheaper than to give it up: what the pool does under its lock takes a microsecond and touches
// no Python. Unloading a Python object needs the GIL anyway.
void InstanceObject::give_back(bool discard) {
  CallbackErrors errors;
  AnyLease lease = std::move(*lease_);
  lease_.reset();
  loaded_ = {};
  if (generation_ != fork_generation()) {
    // The parent's. Its pool's mutex may have been copied while it was locked.
    new AnyLease(std::move(lease));
    return;
  }
  if (discard) {
    lease.discard();
  } else {
    lease.release();
  }
  errors.raise();
}

std::string InstanceObject::describe() const {
  if (!is_leased()) return fmt::format("instance {} was released", id_);
  return fmt::format("instance {} of {}", id_, lease_->get()->metadata().model_name);
}

int InstanceObject::traverse(visitproc visit, void* arg) const {
  Py_VISIT(origin_.pool.ptr());
  Py_VISIT(origin_.manager.ptr());
  Py_VISIT(loaded_.model.ptr());
  Py_VISIT(loaded_.tokenizer.ptr());
  return 0;
}

void InstanceObject::clear() {
  try {
    if (is_leased()) give_back(/*discard=*/false);
  } catch (nb::python_error& error) {
    error.discard_as_unraisable(Py_None);  // The collector has no caller.
  }
  origin_ = {};
  loaded_ = {};
}

void bind_instance(nb::module_& module) {
  const auto metadata = [](auto read) { return [read](const InstanceObject& self) { return read(self.metadata()); }; };
  nb::class_<InstanceObject>(
      module, "ModelInstance", nb::type_slots(kSlots), nb::is_weak_referenceable(), nb::is_generic(),
      "An instance on lease from a pool: a model, its tokenizer, and what is known about them.\n\n"
      "A context manager: the end of a `with` block returns it to its pool. One thread may use an\n"
      "instance at a time. After its release every use of it raises ValueError.")
      .def("__enter__",
           [](nb::handle_t<InstanceObject> self) {
             nb::inst_ptr<InstanceObject>(self)->instance();
             return nb::borrow(self);
           })
      .def(
          "__exit__", [](InstanceObject& self, nb::handle, nb::handle, nb::handle) { self.leave(); },
          nb::arg("type").none(), nb::arg("value").none(), nb::arg("traceback").none())
      .def(
          "release", [](InstanceObject& self) { self.release(/*discard=*/false); },
          "Return the instance to its pool now. Raises ValueError when it was released already.")
      .def(
          "discard", [](InstanceObject& self) { self.release(/*discard=*/true); },
          "Return the instance to be destroyed, not pooled: one whose use failed and may have damaged it.")
      .def("__repr__", [](const InstanceObject& self) { return "<remuda.ModelInstance: " + self.describe() + ">"; })
      .def_prop_ro("_pool", [](const InstanceObject& self) { return self.pool(); })
      .def_prop_ro("is_leased", &InstanceObject::is_leased, "Whether the instance was not released yet.")
      .def_prop_ro("model", model_of, "What the manager's `_load_model` returned.")
      .def_prop_ro("tokenizer", tokenizer_of, "What the manager's `_load_tokenizer` returned.")
      .def_prop_ro("id", metadata([](const ModelMetadata& m) { return m.id; }), "A number, unique in the process.")
      .def_prop_ro("model_name", metadata([](const ModelMetadata& m) { return m.model_name; }), "The model's name.")
      .def_prop_ro("model_type", metadata([](const ModelMetadata& m) { return m.model_type; }),
                   "The kind of model, for example \"embedding\".")
      .def_prop_ro("device", metadata([](const ModelMetadata& m) { return m.device; }),
                   "Where the instance computes, for example \"cpu\".")
      .def_prop_ro(
          "precision", metadata([](const ModelMetadata& m) { return std::string(to_string(m.precision)); }),
          "The number format of its weights: \"fp32\", \"bf16\", \"int8\", \"fp16\", or \"auto\" where nobody said.")
      .def_prop_ro("created", metadata([](const ModelMetadata& m) { return since_epoch(m.created); }),
                   "When it was made, in seconds since the epoch.")
      .def_prop_ro("last_used", metadata([](const ModelMetadata& m) { return since_epoch(m.last_used); }),
                   "When this lease began, in seconds since the epoch.")
      .def_prop_ro("use_count", metadata([](const ModelMetadata& m) { return m.use_count; }),
                   "How often it was leased, this time included.")
      .def_prop_ro("shared_bytes", metadata([](const ModelMetadata& m) { return m.shared_bytes; }),
                   "Bytes of weights that other instances use, too.")
      .def_prop_ro("private_bytes", metadata([](const ModelMetadata& m) { return m.private_bytes; }),
                   "Bytes that are this instance's own.")
      .def_prop_ro("load_time", metadata([](const ModelMetadata& m) { return seconds(m.load_time); }),
                   "Seconds that making it took.");
}

}  // namespace remuda::python
