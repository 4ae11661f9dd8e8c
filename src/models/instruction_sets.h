// The instruction sets that models can compute with, by name, for reports.
#pragma once

#include <string>
#include <vector>

namespace remuda::models {

// Those that this machine can run, in rising order.
std::vector<std::string> available_instruction_sets();

// The one in use. Throws Error(kInvalidArgument) when REMUDA_ISA asks for one that is not there.
std::string active_instruction_set();

}  // namespace remuda::models
