#include "manager/inspection.h"

#include "models/instruction_sets.h"

namespace remuda {

MachineReport describe_machine() {
  MachineReport report;
  report.devices = list_devices();
  report.instruction_sets = models::available_instruction_sets();
  report.active_instruction_set = models::active_instruction_set();
  report.auto_device = report.devices.front().id;
  return report;
}

}  // namespace remuda
