// Memory for intermediate results. One arena serves the whole process: whoever computes takes a workspace and
// gives it back when done, so an idle instance holds none, and a workspace just used (warm in the caches) is
// the next one taken.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "device/memory_budget.h"
#include "tensor/tensor.h"

namespace remuda {

class WorkspaceArena;

// Memory, and that it is counted.
struct WorkspaceBlock {
  size_t size() const { return buffer.size(); }

  Reservation reservation;
  AlignedBuffer buffer;
  size_t more_claimed = 0;  // Bytes beyond what was asked for, claimed beside the computation's claim.
};

// A block of memory on loan, handed out front to back. Move-only; must not outlive its arena.
class Workspace {
 public:
  Workspace(Workspace&& other) noexcept = default;
  Workspace& operator=(Workspace&&) = delete;
  ~Workspace();

  // The next matrix of floats, aligned to 64 bytes. Uninitialised. Rows may be further apart than `cols`; a single one
  // is `cols` floats.
  MatrixView<float> matrix(int64_t rows, int64_t cols);

  // What matrix(rows, cols) takes, for adding up a workspace's size.
  static size_t matrix_bytes(int64_t rows, int64_t cols);

 private:
  friend class WorkspaceArena;
  Workspace(WorkspaceArena* arena, WorkspaceBlock block) : arena_(arena), block_(std::move(block)) {}

  WorkspaceArena* arena_;
  WorkspaceBlock block_;
  size_t used_ = 0;
};

// Thread-safe. Keeps at most kMaxIdleBytes of returned memory; the rest goes back to the system at once.
class WorkspaceArena {
 public:
  static constexpr size_t kMaxIdleBytes = size_t{32} << 20;

  // What is taken for a workspace of `bytes`: large ones in steps, so that requests of nearly the same size find each
  // other's.
  static size_t block_bytes(size_t bytes);

  // Which of the idle blocks serves for `bytes`: the smallest that is large enough, but none that would lie unused but
  // for a quarter, since who needs all of it would make another. If there is none, the largest of the smaller ones,
  // which makes way for one that is large enough; if there is none of these either, the end. None has more than `most`.
  template <typename Blocks, typename Size>
  static auto choose(Blocks& idle, size_t bytes, Size size_of, size_t most = SIZE_MAX) {
    const auto rank = [bytes, most](size_t size) {
      if (size / 4 > bytes || size > most) return std::pair(2, size_t{0});
      return size >= bytes ? std::pair(0, size) : std::pair(1, ~size);
    };
    const auto by_rank = [&](const auto& block) { return rank(std::invoke(size_of, block)); };
    const auto best = std::ranges::min_element(idle, {}, by_rank);
    return best == idle.end() || by_rank(*best).first == 2 ? idle.end() : best;
  }

  // Of main memory's budget, which gets what is idle back when it is full. Never destroyed.
  static WorkspaceArena& global();

  WorkspaceArena() = default;  // Of no budget.
  explicit WorkspaceArena(MemoryBudget& budget) : budget_(&budget) {}

  // At least `bytes`, block_bytes(bytes) of which the computation has claimed (MemoryClaim): so it never waits. What
  // wasn't claimed is counted all the same. Where memory is short, idle blocks go before the limit is exceeded.
  Workspace acquire(size_t bytes);

  // Gives idle memory back to the system.
  void trim();
  size_t idle_bytes() const;

 private:
  friend class Workspace;
  WorkspaceBlock take_idle(size_t bytes);
  void give_back(WorkspaceBlock block);

  MemoryBudget* const budget_ = nullptr;
  mutable std::mutex mutex_;
  std::vector<WorkspaceBlock> idle_;
  size_t idle_bytes_ = 0;
};

}  // namespace remuda
