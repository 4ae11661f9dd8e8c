#include "tensor/workspace.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/fail.h"

namespace remuda {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kGranule = size_t{2} << 20;

// Kernels read a dozen rows side by side. With rows this far apart, or a multiple of it, they would share so few of the
// sets of a first-level cache that they drive each other out, so each gets a cache line more.
constexpr int64_t kConflictingBytes = 1024;

int64_t row_stride(int64_t rows, int64_t cols) {
  constexpr auto kFloat = static_cast<int64_t>(sizeof(float));
  const bool conflicts = rows > 1 && cols > 0 && cols * kFloat % kConflictingBytes == 0;
  return conflicts ? cols + static_cast<int64_t>(kAlignment) / kFloat : cols;
}

}  // namespace

Workspace::~Workspace() {
  if (block_.size() > 0) arena_->give_back(std::move(block_));
}

size_t Workspace::matrix_bytes(int64_t rows, int64_t cols) {
  const size_t bytes = static_cast<size_t>(rows) * static_cast<size_t>(row_stride(rows, cols)) * sizeof(float);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

MatrixView<float> Workspace::matrix(int64_t rows, int64_t cols) {
  const size_t bytes = matrix_bytes(rows, cols);
  check_invariant(bytes <= block_.size() - used_, "a workspace is as large as its matrices");
  auto* data = reinterpret_cast<float*>(block_.buffer.data() + used_);
  used_ += bytes;
  return {data, rows, cols, row_stride(rows, cols)};
}

size_t WorkspaceArena::block_bytes(size_t bytes) {
  const bool steps = bytes >= kGranule && bytes <= SIZE_MAX - kGranule;
  return steps ? (bytes + kGranule - 1) / kGranule * kGranule : bytes;
}

WorkspaceArena& WorkspaceArena::global() {
  static auto* const arena = [] {
    auto* const made = new WorkspaceArena(MemoryBudget::cpu());
    MemoryBudget::cpu().add_cache([made] { made->trim(); });
    return made;
  }();
  return *arena;
}

// Large enough, or the one that makes way for it; empty: there is none.
WorkspaceBlock WorkspaceArena::take_idle(size_t bytes) {
  const std::lock_guard lock(mutex_);
  auto chosen = choose(idle_, bytes, &WorkspaceBlock::size);
  size_t more = 0;
  if (const size_t expected = block_bytes(bytes); chosen != idle_.end() && chosen->size() > expected) {
    more = chosen->size() - expected;
    if (budget_ != nullptr && !budget_->claim_more(more)) {  // It goes, where others need it.
      more = 0;
      chosen = choose(idle_, bytes, &WorkspaceBlock::size, expected);
    }
  }
  if (chosen == idle_.end()) return {};
  WorkspaceBlock block = std::move(*chosen);
  block.more_claimed = more;
  idle_.erase(chosen);
  idle_bytes_ -= block.size();
  return block;
}

Workspace WorkspaceArena::acquire(size_t bytes) {
  if (WorkspaceBlock idle = take_idle(bytes); idle.size() > 0 && idle.size() >= bytes) {
    return Workspace(this, std::move(idle));
  }
  WorkspaceBlock block;
  const size_t size = block_bytes(bytes);
  if (budget_ != nullptr) {
    block.reservation = budget_->reserve({.bytes = size, .what = "a computation", .claimed = true});
  }
  block.buffer = AlignedBuffer(size);
  return Workspace(this, std::move(block));
}

void WorkspaceArena::give_back(WorkspaceBlock block) {
  if (block.more_claimed > 0 && budget_ != nullptr) budget_->unclaim(block.more_claimed);
  block.more_claimed = 0;
  if (budget_ != nullptr && budget_->is_over_limit()) return;
  const std::lock_guard lock(mutex_);
  if (idle_bytes_ + block.size() > kMaxIdleBytes) return;
  idle_bytes_ += block.size();
  idle_.push_back(std::move(block));
}

void WorkspaceArena::trim() {
  std::vector<WorkspaceBlock> freed;
  const std::lock_guard lock(mutex_);
  freed.swap(idle_);
  idle_bytes_ = 0;
}

size_t WorkspaceArena::idle_bytes() const {
  const std::lock_guard lock(mutex_);
  return idle_bytes_;
}

}  // namespace remuda
