#include "models/instruction_sets.h"

#include <fmt/format.h>

#include "kernels/isa.h"
#include "kernels/linear.h"

namespace remuda::models {

std::vector<std::string> available_instruction_sets() {
  std::vector<std::string> names;
  for (const kernels::Isa isa : kernels::available_isas()) names.emplace_back(kernels::to_string(isa));
  return names;
}

std::string active_instruction_set() { return std::string(kernels::to_string(kernels::active_isa())); }

std::string active_packed_layout() {
  return fmt::format("{}, version {}", active_instruction_set(), kernels::kPackedLayoutVersion);
}

}  // namespace remuda::models
