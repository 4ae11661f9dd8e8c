#include "cli/demo_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace remuda::cli {
namespace {

using ::testing::ElementsAre;

constexpr uint64_t kMiB = uint64_t{1} << 20;

MemoryBudgetStats budget(const char* device, uint64_t limit, uint64_t weights, uint64_t workspaces) {
  MemoryBudgetStats stats;
  stats.device = device;
  stats.limit = limit;
  stats.weights = weights;
  stats.workspaces = workspaces;
  stats.used = weights + workspaces;
  return stats;
}

TEST(DemoMemory, TheCpuAndTheGpusThatHaveSomething) {
  ProcessSnapshot found;
  for (const char* id : {"cpu", "cuda:0", "cuda:1", "cuda:12"}) found.devices.emplace_back().id = id;
  EXPECT_THAT(memory_lines(found),
              ElementsAre("  cpu       0 instances, weights        0 B  workspaces        0 B  of 0 B"));
  found.budgets = {budget("cpu", 4096 * kMiB, kMiB, 0), budget("cuda:1", 81919 * kMiB, 0, 0),
                   budget("cuda:12", 81919 * kMiB, 1000 * kMiB, 23 * kMiB)};
  found.budgets[0].mapped_weights = 2 * kMiB;
  found.pools.resize(2);
  found.pools[0].by_device = {{"cpu", 1}, {"cuda:12", 100}};
  found.pools[1].by_device = {{"cuda:12", 28}};
  const std::vector<std::string> lines = memory_lines(found);
  EXPECT_THAT(lines, ElementsAre("  cpu       1 instance,  weights    3.0 MiB  workspaces        0 B  of 4.0 GiB",
                                 "  cuda:12 128 instances, weights 1000.0 MiB  workspaces   23.0 MiB  of 80.0 GiB"));
  for (const std::string& line : lines) EXPECT_LE(line.size(), 80u);
}

}  // namespace
}  // namespace remuda::cli
