#include "manager/inspection.h"

#include "manager/shared_model.h"
#include "models/instruction_sets.h"

namespace remuda {

MachineReport describe_machine() {
  MachineReport report;
  report.devices = current_devices();
  report.gpu_problem = gpu_problem();
  report.instruction_sets = models::available_instruction_sets();
  report.active_instruction_set = models::active_instruction_set();
  report.auto_device = report.devices.front().id;
  const MemoryBudget::Limit limit = memory_limit(get_settings());
  MemoryBudget::cpu().attainable();  // Looks at the device.
  report.memory_limit = MemoryBudget::cpu().stats().limit;
  return report;
}

}  // namespace remuda
