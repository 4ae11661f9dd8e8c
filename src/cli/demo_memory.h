#pragma once

#include <string>
#include <vector>

#include "remuda/snapshot.h"

namespace remuda::cli {

// Who has the memory: a line of at most 80 characters for the CPU and for every GPU that has something of remuda's.
std::vector<std::string> memory_lines(const ProcessSnapshot& snapshot);

// The same of this moment, printed.
void print_memory();

}  // namespace remuda::cli
