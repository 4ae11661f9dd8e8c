// What a model takes of this machine's devices, as `remuda inspect --json` names it.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

#include "manager/model_costs.h"

namespace remuda::python {

namespace nb = nanobind;

// `figures(cost)`: a dict of the memory that a precision takes.
template <typename Info, typename Figures>
nb::dict costs_of(const Info& info, Figures figures) {
  const auto precisions = [&](const Device& device) {
    nb::dict values;
    for (const PrecisionCost& cost : precision_costs(info, device)) {
      nb::dict of_one = figures(cost.memory);
      of_one["instances_that_fit"] = cost.instances;
      values[nb::cast(std::string(to_string(cost.precision)))] = of_one;
    }
    return values;
  };
  nb::dict values;
  nb::list gpus;
  for (const Device& device : devices_for_models()) {
    nb::dict of_device;
    of_device["device"] = device.id;
    of_device["memory_limit"] = device.memory_available;
    of_device["precisions"] = precisions(device);
    if (device.kind == DeviceKind::kGpu) {
      of_device["name"] = device.name;
      gpus.append(of_device);
    } else {
      values = of_device;
    }
  }
  values["gpus"] = gpus;
  return values;
}

}  // namespace remuda::python
