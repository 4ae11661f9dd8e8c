// remuda._native: the part of the Python package that is C++. Python code uses the package remuda, whose modules check
// arguments, document themselves, and call this one.
#include <nanobind/nanobind.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "manager/generation_check.h"
#include "manager/model_kind.h"
#include "python/arguments.h"
#include "python/errors.h"
#include "python/gil.h"
#include "python/instance.h"
#include "python/log_bridge.h"
#include "python/pool.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/snapshot.h"
#include "remuda/summarization_model_manager.h"
#include "remuda/version.h"

namespace remuda::python {
namespace {

nb::list gpu_memory() {
  std::vector<DeviceSnapshot> gpus;
  {
    const ReleasedGil released;  // The first look starts a driver.
    gpus = remuda::gpu_memory();
  }
  nb::list all;
  for (const DeviceSnapshot& gpu : gpus) {
    nb::dict values;
    values["device"] = gpu.id;
    values["name"] = gpu.name;
    values["total"] = gpu.memory_total;
    values["free"] = gpu.memory_available;
    values["allocated"] = gpu.memory_allocated;
    values["reserved"] = gpu.memory_reserved;
    values["problem"] = gpu.problem.empty() ? nb::object(nb::none()) : nb::object(nb::str(gpu.problem.c_str()));
    all.append(values);
  }
  return all;
}

MemoryCost cost_of(const std::string& model, Precision precision, DeviceKind device,
                   std::optional<int64_t> max_batch_tokens) {
  if (find_model_kind(model) == ModelKind::kSummarization) {
    return remuda::estimate_memory(inspect_summarization_model(model), precision, max_batch_tokens, device);
  }
  return remuda::estimate_memory(inspect_embedding_model(model), precision, max_batch_tokens, device);
}

nb::dict estimate_memory(const std::string& model, const std::string& precision, const std::string& device,
                         std::optional<int64_t> max_batch_tokens) {
  const DeviceKind kind = device == "cpu" ? DeviceKind::kCpu : DeviceKind::kGpu;
  const Precision wanted = precision_on(kind, parse_precision(precision, "precision"));
  MemoryCost cost;
  {
    const ReleasedGil released;
    cost = cost_of(model, wanted, kind, max_batch_tokens);
  }
  nb::dict values;
  values["weights"] = cost.shared_weights;
  values["workspace"] = cost.workspace;
  values["loading"] = cost.loading;
  values["document"] = cost.document;
  values["sequence"] = cost.sequence;
  return values;
}

}  // namespace
}  // namespace remuda::python

NB_MODULE(_native, module) {
  using namespace remuda::python;
  // Objects that are alive when the interpreter ends are the caller's, and no news to him; the tests ask.
  nb::set_leak_warnings(false);
  initialize_threads();
  install_log_bridge();
  register_errors();
  bind_instance(module);
  bind_pool(module);
  bind_object_pool(module);
  bind_embedding(module);
  bind_summarization(module);
  bind_tokenizer(module);
  module.def("get_settings", [] { return from_settings(remuda::get_settings()); });
  module.def("get_settings",
             [](const std::filesystem::path& toml) { return from_settings(remuda::get_settings(toml)); });
  module.def("check_settings", [](const nb::dict& values) { to_settings(values); });
  module.def("check_texts", [](nb::list texts) { check_texts(std::move(texts), "text"); });
  module.def("check_timeout", [](nb::handle timeout) { to_timeout(timeout); }, nb::arg("timeout").none());
  module.def("check_generation", [](const nb::dict& generation, int64_t max_positions) {
    check_generation(to_generation_options(generation), max_positions);
  });
  module.def("gpu_memory", gpu_memory);
  module.def("estimate_memory", estimate_memory, nb::arg("model"), nb::arg("precision"), nb::arg("device"),
             nb::arg("max_batch_tokens").none());
  module.def("set_log_level", set_log_level);
  module.def("set_leak_warnings", [](bool enabled) { nb::set_leak_warnings(enabled); });
  module.def("prepare_for_exit", prepare_for_exit);
  module.attr("__version__") = std::string(remuda::version());
  nb::module_::import_("atexit").attr("register")(module.attr("prepare_for_exit"));
}
