#include "models/workspace_plan.h"

#include <algorithm>
#include <numeric>

#include "kernels/linear.h"
#include "tensor/workspace.h"

namespace remuda::models {

uint64_t workspace_block(uint64_t bytes) { return WorkspaceArena::block_bytes(bytes); }

int64_t packing_bytes() { return 2 * kernels::WeightPacking::kPartBytes; }

int64_t packed_matrix_bytes(int64_t out_features, int64_t in_features, Precision precision) {
  return static_cast<int64_t>(kernels::PackedWeights::packed_bytes(out_features, in_features, precision));
}

uint64_t prepared_rows_bytes(int64_t rows, int64_t in_features, Precision precision) {
  return kernels::prepared_bytes(precision, rows, in_features);
}

uint64_t workspaces_in_turn(std::vector<uint64_t> first, std::initializer_list<uint64_t> then) {
  for (uint64_t& bytes : first) bytes = workspace_block(bytes);
  uint64_t sum = std::accumulate(first.begin(), first.end(), uint64_t{0});
  const uint64_t at_first = sum;
  for (const uint64_t wanted : then) {
    if (wanted == 0) continue;
    const uint64_t bytes = workspace_block(wanted);
    const auto chosen = WorkspaceArena::choose(first, wanted, [](uint64_t size) { return size; });
    if (chosen == first.end() || *chosen < wanted) sum += bytes;
    if (chosen == first.end()) continue;
    if (*chosen < wanted) sum -= *chosen;
    first.erase(chosen);
  }
  return std::max(at_first, sum);
}

}  // namespace remuda::models
