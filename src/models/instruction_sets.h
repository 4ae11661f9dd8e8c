// The instruction sets that models can compute with, by name, for reports and for files of packed weights.
#pragma once

#include <string>
#include <vector>

namespace remuda::models {

// Those that this machine can run, in rising order.
std::vector<std::string> available_instruction_sets();

// The one in use. Throws Error(kInvalidArgument) when REMUDA_ISA asks for one that is not there.
std::string active_instruction_set();

// What the packed weights of the one in use look like: those of another layout are of no use to it.
std::string active_packed_layout();

}  // namespace remuda::models
