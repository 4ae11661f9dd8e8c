#include "kernels/linear.h"

#include <algorithm>
#include <cstring>

#include "base/fail.h"
#include "kernels/cpu/linear.h"
#include "tensor/workspace.h"

namespace remuda::kernels {
namespace {

// The sums of int8 products must fit in int32: 127 * 128 * kMaxInputs < 2^31.
constexpr int64_t kMaxInputs = int64_t{1} << 17;

// Rows that share one pass over the weights: their x stays in the second-level cache, and each panel, once in the
// first, is used by all of them.
constexpr int64_t kBlockRows = 96;

// Below this many multiplications a second thread takes longer to wake than to help.
constexpr int64_t kMinTaskProducts = 64 * 1024;

// A panel up to this size is fetched while the one before it is used: the second-level cache has room for both.
constexpr int64_t kMaxFetchedBytes = 384 * 1024;

constexpr size_t kPanelAlignment = 64;

// Rows that one task prepares (quantizes).
constexpr int64_t kPreparedRowsPerTask = 16;

const LinearKernelSet& kernel_set(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::kAvx512) return kLinearAvx512;
  if (isa == Isa::kAvx2) return kLinearAvx2;
#endif
  check_invariant(isa == Isa::kGeneric, "an instruction set that this build has");
  return kLinearGeneric;
}

const LinearKernels& kernels_for(Isa isa, Precision precision) {
#if defined(__x86_64__)
  if (precision == Precision::kInt8 && isa >= Isa::kAvx512Vnni) return kInt8Avx512Vnni;
  if (precision == Precision::kBf16 && isa >= Isa::kAvx512Bf16) return kBf16Avx512Bf16;
#endif
  const LinearKernelSet& set = kernel_set(isa);
  switch (precision) {
    case Precision::kFp32:
      return set.fp32;
    case Precision::kBf16:
      return set.bf16;
    case Precision::kInt8:
      return set.int8;
    default:
      break;
  }
  fail(ErrorCode::kUnsupported, "precision: expected fp32, bf16 or int8 on a CPU, found {}", to_string(precision));
}

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How a product is cut into tasks: blocks of rows times blocks of panels.
struct Plan {
  int64_t block_rows;
  int64_t row_blocks;
  int64_t block_panels;
  int64_t panel_blocks;

  Plan(int64_t rows, int64_t panels, int64_t panel_products, int64_t tile_rows, int64_t threads) {
    // Each block of rows streams through all the weights, so there are as few as can be, of whole tiles.
    block_rows = divide_up(divide_up(rows, divide_up(rows, kBlockRows)), tile_rows) * tile_rows;
    row_blocks = divide_up(rows, block_rows);
    // The last block of rows may be a small one, and the threads should end together all the same.
    const int64_t tasks = (row_blocks == 1 ? 2 : 4) * threads;
    const int64_t worthwhile = std::max<int64_t>(1, rows * panels * panel_products / kMinTaskProducts);
    block_panels = divide_up(panels, std::min({divide_up(tasks, row_blocks), panels, worthwhile}));
    // Nine tasks on two threads take as long as ten: smaller blocks where they come out even.
    for (int64_t fewer = block_panels - 1; fewer > 0 && divide_up(panels, fewer) <= worthwhile; --fewer) {
      if (panels_in_turn(panels, fewer, threads) < panels_in_turn(panels, block_panels, threads)) block_panels = fewer;
    }
    panel_blocks = divide_up(panels, block_panels);
  }

 private:
  // How many panels the busiest thread has to do.
  int64_t panels_in_turn(int64_t panels, int64_t in_block, int64_t threads) const {
    return divide_up(row_blocks * divide_up(panels, in_block), threads) * in_block;
  }
};

// One call of linear().
class Product {
 public:
  Product(MatrixView<const float> x, const PackedWeights& weights, const Epilogue& epilogue, MatrixView<float> y)
      : x_(x),
        weights_(weights),
        kernels_(kernels_for(weights.isa(), weights.precision())),
        epilogue_(epilogue),
        y_(y),
        panel_bytes_(kernels_.panel_bytes(weights.in_features())) {}

  void run(ComputePool& pool) {
    const int64_t panels = divide_up(weights_.out_features(), kernels_.panel_outputs);
    const Plan plan(x_.rows, panels, kernels_.panel_outputs * x_.cols, kernels_.tile_rows, pool.threads());
    if (kernels_.prepared_row_bytes == nullptr) {
      return multiply(plan, panels, reinterpret_cast<const std::byte*>(x_.data),
                      x_.stride * static_cast<int64_t>(sizeof(float)), pool);
    }
    const int64_t row_bytes = kernels_.prepared_row_bytes(x_.cols);
    const int64_t cols = row_bytes / static_cast<int64_t>(sizeof(float));
    Workspace workspace =
        WorkspaceArena::global().acquire(prepared_bytes(weights_.precision(), x_.rows, x_.cols, weights_.isa()));
    const MatrixView<float> prepared = workspace.matrix(x_.rows, cols);
    const int64_t stride_bytes = prepared.stride * static_cast<int64_t>(sizeof(float));
    pool.parallel_for(x_.rows, kPreparedRowsPerTask, [&](int64_t begin, int64_t end) {
      kernels_.prepare_rows({.x = x_.row(begin),
                             .x_stride = x_.stride,
                             .rows = end - begin,
                             .in_features = x_.cols,
                             .out = reinterpret_cast<std::byte*>(prepared.row(begin)),
                             .out_stride_bytes = stride_bytes});
    });
    multiply(plan, panels, reinterpret_cast<const std::byte*>(prepared.data), stride_bytes, pool);
  }

 private:
  void multiply(const Plan& plan, int64_t panels, const std::byte* x, int64_t x_stride_bytes, ComputePool& pool) const {
    pool.parallel_for(plan.row_blocks * plan.panel_blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        // A block of panels is used by all rows while the caches have it.
        const int64_t row = task % plan.row_blocks * plan.block_rows;
        const int64_t rows = std::min(plan.block_rows, x_.rows - row);
        const int64_t first = task / plan.row_blocks * plan.block_panels;
        const int64_t last = std::min(first + plan.block_panels, panels);
        for (int64_t panel = first; panel < last; ++panel) {
          multiply_panel(x, x_stride_bytes, row, rows, panel, panel + 1 < last && panel_bytes_ <= kMaxFetchedBytes);
        }
      }
    });
  }

  void multiply_panel(const std::byte* x, int64_t x_stride_bytes, int64_t row, int64_t rows, int64_t panel,
                      bool fetch_next) const {
    const int64_t output = panel * kernels_.panel_outputs;
    const MatrixView<const float>& residual = epilogue_.residual;
    kernels_.multiply_panel({
        .x = x + row * x_stride_bytes,
        .x_stride_bytes = x_stride_bytes,
        .panel = weights_.data() + panel * panel_bytes_,
        .next = fetch_next ? weights_.data() + (panel + 1) * panel_bytes_ : nullptr,
        .in_features = weights_.in_features(),
        .rows = rows,
        .outputs = std::min(kernels_.panel_outputs, weights_.out_features() - output),
        .y = y_.row(row) + output,
        .y_stride = y_.stride,
        .bias = epilogue_.bias == nullptr ? nullptr : epilogue_.bias + output,
        .activation = epilogue_.activation,
        .residual = residual.data == nullptr ? nullptr : residual.row(row) + output,
        .residual_stride = residual.stride,
    });
  }

  const MatrixView<const float> x_;
  const PackedWeights& weights_;
  const LinearKernels& kernels_;
  const Epilogue& epilogue_;
  const MatrixView<float> y_;
  const int64_t panel_bytes_;
};

void check_matrices(const std::vector<TensorView>& matrices) {
  for (const TensorView& matrix : matrices) {
    if (matrix.shape.size() == 2 && matrix.shape[1] == matrices.front().shape[1]) continue;
    fail(ErrorCode::kInvalidArgument, "weights: expected matrices of as many inputs each, found {} beside {}",
         remuda::to_string(matrix.shape), remuda::to_string(matrices.front().shape));
  }
  check_invariant(!matrices.empty(), "there are weights to pack");
  if (matrices.front().shape[1] > kMaxInputs) {
    fail(ErrorCode::kUnsupported, "weights: expected at most {} inputs, found {}", kMaxInputs,
         matrices.front().shape[1]);
  }
}

int64_t count_rows(const std::vector<TensorView>& matrices) {
  int64_t rows = 0;
  for (const TensorView& matrix : matrices) rows += matrix.shape[0];
  return rows;
}

// Copies row `row` of the matrices, stacked, to floats; a row beyond the last is zeros.
void copy_row(const std::vector<TensorView>& matrices, int64_t row, float* out) {
  const int64_t cols = matrices.front().shape[1];
  for (const TensorView& matrix : matrices) {
    if (row < matrix.shape[0]) return to_float(matrix, row * cols, cols, out);
    row -= matrix.shape[0];
  }
  std::fill_n(out, cols, 0.0f);
}

// The rows [begin, end) of the matrices, stacked.
std::vector<TensorView> rows_of(const std::vector<TensorView>& matrices, int64_t begin, int64_t end) {
  std::vector<TensorView> found;
  for (const TensorView& matrix : matrices) {
    const int64_t first = std::clamp<int64_t>(begin, 0, matrix.shape[0]);
    const int64_t last = std::clamp<int64_t>(end, 0, matrix.shape[0]);
    if (first < last) {
      TensorView rows = matrix;
      rows.shape[0] = last - first;
      rows.data += first * matrix.shape[1] * static_cast<int64_t>(size_of(matrix.dtype));
      found.push_back(std::move(rows));
    }
    begin -= matrix.shape[0];
    end -= matrix.shape[0];
  }
  return found;
}

}  // namespace

PackedWeights::PackedWeights(const std::vector<TensorView>& matrices, Precision precision, Isa isa)
    : precision_(precision), isa_(isa) {
  check_matrices(matrices);
  out_features_ = count_rows(matrices);
  in_features_ = matrices.front().shape[1];
}

PackedWeights::PackedWeights(const std::vector<TensorView>& matrices, Precision precision, ComputePool& pool, Isa isa)
    : PackedWeights(matrices, precision, isa) {
  WeightPacking packing(matrices, precision, pool, isa);
  buffer_ = AlignedBuffer(packing.bytes());
  packed_ = {buffer_.data(), buffer_.size()};
  while (packing.next_bytes() > 0) packing.pack_next(buffer_.data() + packing.offset());
}

PackedWeights::PackedWeights(const std::vector<TensorView>& matrices, Precision precision, AlignedBuffer packed,
                             Isa isa)
    : PackedWeights(matrices, precision, isa) {
  check_invariant(packed.size() == packed_bytes(matrices, precision, isa), "packed weights have their matrices' size");
  buffer_ = std::move(packed);
  packed_ = {buffer_.data(), buffer_.size()};
}

WeightPacking::WeightPacking(std::vector<TensorView> matrices, Precision precision, ComputePool& pool, Isa isa)
    : matrices_(std::move(matrices)), precision_(precision), isa_(isa), pool_(pool) {
  check_matrices(matrices_);
  const LinearKernels& kernels = kernels_for(isa, precision);
  const int64_t cols = matrices_.front().shape[1];
  panels_ = divide_up(count_rows(matrices_), kernels.panel_outputs);
  panel_bytes_ = kernels.panel_bytes(cols);
  const int64_t read = kernels.panel_outputs * cols * static_cast<int64_t>(size_of(matrices_.front().dtype));
  part_panels_ = std::max<int64_t>({kPartBytes / std::max<int64_t>({panel_bytes_, read, 1}), pool.threads(), 1});
  part_panels_ = std::min(part_panels_, panels_);
  if (panel_bytes_ == 0) first_panel_ = panels_;
}

std::vector<TensorView> WeightPacking::pack_next(std::byte* out) {
  const LinearKernels& kernels = kernels_for(isa_, precision_);
  const int64_t cols = matrices_.front().shape[1];
  const int64_t first = first_panel_;
  const int64_t count = next_panels();
  pool_.parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    const AlignedBuffer rows(static_cast<size_t>(kernels.panel_outputs * cols) * sizeof(float));
    for (int64_t panel = begin; panel < end; ++panel) {
      for (int64_t n = 0; n < kernels.panel_outputs; ++n) {
        copy_row(matrices_, (first + panel) * kernels.panel_outputs + n, rows.as<float>() + n * cols);
      }
      std::byte* packed = out + panel * panel_bytes_;
      // Where a panel is filled up to a cache line, what memory held before has no business in a file.
      std::memset(packed + panel_bytes_ - kPanelAlignment, 0, kPanelAlignment);
      kernels.pack_panel(rows.as<float>(), cols, packed);
    }
  });
  first_panel_ += count;
  return rows_of(matrices_, first * kernels.panel_outputs, (first + count) * kernels.panel_outputs);
}

PackedWeights::PackedWeights(const std::vector<TensorView>& matrices, Precision precision,
                             std::span<const std::byte> packed, Isa isa)
    : PackedWeights(matrices, precision, isa) {
  check_invariant(packed.size() == packed_bytes(matrices, precision, isa), "packed weights have their matrices' size");
  check_invariant(reinterpret_cast<uintptr_t>(packed.data()) % kPanelAlignment == 0, "packed weights are aligned");
  packed_ = packed;
}

size_t PackedWeights::packed_bytes(const std::vector<TensorView>& matrices, Precision precision, Isa isa) {
  check_matrices(matrices);
  return packed_bytes(count_rows(matrices), matrices.front().shape[1], precision, isa);
}

size_t PackedWeights::packed_bytes(int64_t out_features, int64_t in_features, Precision precision, Isa isa) {
  const LinearKernels& kernels = kernels_for(isa, precision);
  return static_cast<size_t>(divide_up(out_features, kernels.panel_outputs) * kernels.panel_bytes(in_features));
}

size_t prepared_bytes(Precision precision, int64_t rows, int64_t in_features, Isa isa) {
  const LinearKernels& kernels = kernels_for(isa, precision);
  if (kernels.prepared_row_bytes == nullptr || rows == 0) return 0;
  const int64_t floats = kernels.prepared_row_bytes(in_features) / static_cast<int64_t>(sizeof(float));
  return Workspace::matrix_bytes(rows, floats);
}

void linear(MatrixView<const float> x, const PackedWeights& weights, const Epilogue& epilogue, MatrixView<float> y,
            ComputePool& pool) {
  const bool fits = x.cols == weights.in_features() && y.cols == weights.out_features() && x.rows == y.rows;
  check_invariant(fits, "a product's operands have fitting shapes");
  if (x.rows == 0) return;
  Product(x, weights, epilogue, y).run(pool);
}

}  // namespace remuda::kernels
