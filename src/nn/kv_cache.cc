#include "nn/kv_cache.h"

#include <algorithm>
#include <utility>

#include "base/fail.h"

namespace remuda::nn {
namespace {

int64_t log_rows(const KvCacheShape& shape) { return shape.max_rows * shape.max_positions; }

size_t part_bytes(const KvCacheShape& shape) {
  return static_cast<size_t>(log_rows(shape) * shape.width) * kernels::size_of(shape.stored);
}

// Workspaces are handed out in floats.
int64_t log_floats(const KvCacheShape& shape) {
  return static_cast<int64_t>((static_cast<size_t>(2 * shape.layers) * part_bytes(shape) + sizeof(float) - 1) /
                              sizeof(float));
}

static_assert(sizeof(int32_t) == sizeof(float));

int32_t* take_tables(Workspace& memory, const KvCacheShape& shape) {
  return reinterpret_cast<int32_t*>(memory.matrix(1, log_rows(shape)).data);
}

}  // namespace

void KvTables::check_advance(std::span<const int32_t> parents) const {
  if (length_ == max_positions_) {
    fail(ErrorCode::kInvalidArgument, "decoder cache: it was made for {} positions, and all are taken", length_);
  }
  const auto count = static_cast<int64_t>(parents.size());
  if (count < 1 || count > max_rows_) {
    fail(ErrorCode::kInvalidArgument, "decoder cache: expected 1 to {} sequences, found {}", max_rows_, count);
  }
  const auto [first, last] =
      length_ == 0 ? std::pair<int64_t, int64_t>(-1, -1) : std::pair<int64_t, int64_t>(0, rows_ - 1);
  for (const int32_t parent : parents) {
    if (parent < first || parent > last) {
      fail(ErrorCode::kInvalidArgument, "decoder cache: parent of a sequence: expected {} to {}, found {}", first, last,
           parent);
    }
  }
}

void KvTables::advance(std::span<const int32_t> parents) {
  check_advance(parents);
  for (size_t i = 0; i < parents.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    int32_t* next = next_tables_ + row * max_positions_;
    if (length_ > 0) std::copy_n(table(parents[i]), length_, next);
    next[length_] = static_cast<int32_t>(length_ * max_rows_ + row);
  }
  std::swap(tables_, next_tables_);
  rows_ = static_cast<int64_t>(parents.size());
  ++length_;
}

size_t KvCache::bytes_for(const KvCacheShape& shape) {
  return Workspace::matrix_bytes(1, log_floats(shape)) + 2 * Workspace::matrix_bytes(1, log_rows(shape));
}

KvCache::KvCache(const KvCacheShape& shape, WorkspaceArena& arena)
    : shape_(shape),
      memory_(arena.acquire(bytes_for(shape))),
      log_(reinterpret_cast<std::byte*>(memory_.matrix(1, log_floats(shape)).data)),
      tables_(shape.max_rows, shape.max_positions, take_tables(memory_, shape), take_tables(memory_, shape)) {}

std::byte* KvCache::log(int64_t layer, bool values) const {
  return log_ + static_cast<size_t>(2 * layer + (values ? 1 : 0)) * part_bytes(shape_);
}

void KvCache::append(int64_t layer, MatrixView<const float> keys, MatrixView<const float> values) {
  const bool fits = keys.rows == rows() && values.rows == rows() && keys.cols == shape_.width &&
                    values.cols == shape_.width && length() > 0;
  check_invariant(fits, "keys and values to be cached have the cache's shape");
  const size_t row_bytes = static_cast<size_t>(shape_.width) * kernels::size_of(shape_.stored);
  const size_t offset = static_cast<size_t>(tables_.newest_log_row()) * row_bytes;
  for (int64_t row = 0; row < rows(); ++row) {
    const size_t at = offset + static_cast<size_t>(row) * row_bytes;
    kernels::store_as(shape_.stored, keys.row(row), shape_.width, log(layer, false) + at);
    kernels::store_as(shape_.stored, values.row(row), shape_.width, log(layer, true) + at);
  }
}

kernels::CachedSequence KvCache::sequence(int64_t layer, int64_t row) const {
  return {.keys = log(layer, false), .values = log(layer, true), .table = tables_.table(row), .length = length()};
}

}  // namespace remuda::nn
