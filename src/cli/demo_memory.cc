#include "cli/demo_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/format.h"
#include "manager/inspection.h"

namespace remuda::cli {

std::vector<std::string> memory_lines(const ProcessSnapshot& snapshot) {
  std::vector<std::string> lines;
  for (const DeviceSnapshot& device : snapshot.devices) {
    MemoryBudgetStats budget;
    const auto found = std::ranges::find(snapshot.budgets, device.id, &MemoryBudgetStats::device);
    if (found != snapshot.budgets.end()) budget = *found;
    int64_t instances = 0;
    for (const PoolStats& pool : snapshot.pools) {
      const auto there = pool.by_device.find(device.id);
      if (there != pool.by_device.end()) instances += there->second;
    }
    if (device.id != kCpuDevice && budget.used == 0 && instances == 0) continue;
    lines.push_back(fmt::format("  {:<7} {:>3} instance{} weights {:>10}  workspaces {:>10}  of {}", device.id,
                                instances, instances == 1 ? ", " : "s,",
                                human_bytes(budget.weights + budget.mapped_weights), human_bytes(budget.workspaces),
                                human_bytes(budget.limit)));
  }
  return lines;
}

void print_memory() {
  for (const std::string& line : memory_lines(snapshot())) fmt::print("{}\n", line);
}

}  // namespace remuda::cli
