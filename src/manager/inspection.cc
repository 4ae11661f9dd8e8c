#include "manager/inspection.h"

#include <algorithm>

#include "manager/shared_model.h"
#include "models/instruction_sets.h"

namespace remuda {

MachineReport describe_machine() {
  MachineReport report;
  report.devices = current_devices();
  report.gpu_problem = gpu_problem();
  report.instruction_sets = models::available_instruction_sets();
  report.active_instruction_set = models::active_instruction_set();
  const Settings settings = get_settings();
  report.auto_device = next_place(PlacementRequest(), report.devices)->device;  // Of no cost, so that there is one.
  report.auto_precision = precision_on(kind_of(report.auto_device), Precision::kAuto, settings.gpu_use_fp16);
  const MemoryBudget::Limit limit = memory_limit(settings);
  MemoryBudget::cpu().attainable();  // Looks at the device.
  report.memory_limit = MemoryBudget::cpu().stats().limit;
  return report;
}

uint64_t memory_limit_on(const Device& device) {
  if (!device.problem.empty()) return 0;
  MemoryBudget& budget = MemoryBudget::of(device.id);
  budget.attainable();  // Looks at the device.
  return std::min(device.memory_available, budget.stats().limit);
}

}  // namespace remuda
