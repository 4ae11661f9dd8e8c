#include "models/instruction_sets.h"

#include "kernels/isa.h"

namespace remuda::models {

std::vector<std::string> available_instruction_sets() {
  std::vector<std::string> names;
  for (const kernels::Isa isa : kernels::available_isas()) names.emplace_back(kernels::to_string(isa));
  return names;
}

std::string active_instruction_set() { return std::string(kernels::to_string(kernels::active_isa())); }

}  // namespace remuda::models
