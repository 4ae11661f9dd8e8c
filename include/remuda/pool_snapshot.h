// All pools of this process at a glance.
#pragma once

#include <vector>

#include "remuda/pool_stats.h"

namespace remuda {

// The statistics of every pool that is not closed, managers' too, in the order in which they were made. Each is
// consistent in itself; they are taken one after another. Thread-safe.
std::vector<PoolStats> snapshot_pools();

}  // namespace remuda
