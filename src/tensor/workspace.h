// Memory for intermediate results. One arena serves the whole process: whoever computes takes a workspace and
// gives it back when done, so an idle instance holds none, and a workspace just used (warm in the caches) is
// the next one taken.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "tensor/tensor.h"

namespace remuda {

class WorkspaceArena;

// A block of memory on loan, handed out front to back. Move-only; must not outlive its arena.
class Workspace {
 public:
  Workspace(Workspace&& other) noexcept = default;
  Workspace& operator=(Workspace&&) = delete;
  ~Workspace();

  // The next `rows * cols` floats as a matrix, aligned to 64 bytes. Uninitialised.
  MatrixView<float> matrix(int64_t rows, int64_t cols);

  // What matrix(rows, cols) takes, for adding up a workspace's size.
  static size_t matrix_bytes(int64_t rows, int64_t cols);

 private:
  friend class WorkspaceArena;
  Workspace(WorkspaceArena* arena, AlignedBuffer buffer) : arena_(arena), buffer_(std::move(buffer)) {}

  WorkspaceArena* arena_;
  AlignedBuffer buffer_;
  size_t used_ = 0;
};

// Thread-safe. Keeps at most kMaxIdleBytes of returned memory; the rest goes back to the system at once.
class WorkspaceArena {
 public:
  static constexpr size_t kMaxIdleBytes = size_t{32} << 20;

  // Never destroyed.
  static WorkspaceArena& global();

  // At least `bytes`. Throws OutOfMemory.
  Workspace acquire(size_t bytes);

  // Gives idle memory back to the system.
  void trim();
  size_t idle_bytes() const;

 private:
  friend class Workspace;
  void give_back(AlignedBuffer buffer);

  mutable std::mutex mutex_;
  std::vector<AlignedBuffer> idle_;
  size_t idle_bytes_ = 0;
};

}  // namespace remuda
