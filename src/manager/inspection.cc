#include "manager/inspection.h"

#include "kernels/isa.h"

namespace remuda {

MachineReport describe_machine() {
  MachineReport report;
  report.devices = list_devices();
  for (const kernels::Isa isa : kernels::available_isas())
    report.instruction_sets.emplace_back(kernels::to_string(isa));
  report.active_instruction_set = kernels::to_string(kernels::active_isa());
  report.auto_device = report.devices.front().id;
  return report;
}

}  // namespace remuda
