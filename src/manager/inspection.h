// What this machine is and what remuda makes of it, for people: `remuda devices`, `inspect` and `bench`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/devices.h"
#include "remuda/precision.h"

namespace remuda {

struct MachineReport {
  std::vector<Device> devices;
  std::string gpu_problem;                    // Why there are no GPUs among them; empty: there are.
  std::vector<std::string> instruction_sets;  // Those that the CPU has kernels for, in rising order.
  std::string active_instruction_set;
  std::string auto_device;    // What an automatic choice takes here.
  uint64_t memory_limit = 0;  // Bytes of main memory that all models may take, with the settings that the process has.
  Precision auto_precision = Precision::kFp32;
};

// Throws Error(kInvalidArgument) when REMUDA_ISA names an instruction set that is not there.
MachineReport describe_machine();

}  // namespace remuda
