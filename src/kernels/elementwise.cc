#include "kernels/elementwise.h"

#include <algorithm>
#include <string_view>

#include "base/fail.h"
#include "kernels/rowwise_dispatch.h"
#include "kernels/scalar_activations.h"

namespace remuda::kernels {
namespace {

// Elements in a range: a microsecond of work, several times what handing it over costs.
constexpr int64_t kElementsPerRange = 8 * 1024;

int64_t rows_per_range(int64_t cols) { return std::max<int64_t>(1, kElementsPerRange / std::max<int64_t>(cols, 1)); }

TableType table_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return TableType::kF32;
    case DType::kF16:
      return TableType::kF16;
    case DType::kBF16:
      return TableType::kBF16;
    default:
      break;
  }
  fail(ErrorCode::kUnsupported, "gather_rows: expected a table of F32, F16 or BF16, found {}", to_string(dtype));
}

// A linear pass over the ids costs nothing next to the rows that they name, and a bad one would read anywhere.
void check_ids(std::span<const int32_t> ids, int64_t rows, int64_t table_rows, std::string_view what) {
  if (static_cast<int64_t>(ids.size()) != rows) {
    fail(ErrorCode::kInvalidArgument, "gather_rows: expected {} {} ids, one a row, found {}", rows, what, ids.size());
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= table_rows) {
      fail(ErrorCode::kInvalidArgument, "gather_rows: {} id {} is {}, expected 0 to {}", what, i, ids[i],
           table_rows - 1);
    }
  }
}

void check_same_shape(bool same, const char* what) {
  if (!same) fail(ErrorCode::kInvalidArgument, "{}: the shapes of the operands differ", what);
}

}  // namespace

void layer_norm(MatrixView<const float> x, const float* gamma, const float* beta, float epsilon, MatrixView<float> y,
                ComputePool& pool, Isa isa) {
  check_same_shape(x.rows == y.rows && x.cols == y.cols, "layer_norm");
  const RowwiseKernels& kernels = rowwise_kernels(isa);
  pool.parallel_for(x.rows, rows_per_range(x.cols), [&](int64_t begin, int64_t end) {
    kernels.layer_norm({.x = x.row(begin),
                        .x_stride = x.stride,
                        .y = y.row(begin),
                        .y_stride = y.stride,
                        .rows = end - begin,
                        .cols = x.cols,
                        .gamma = gamma,
                        .beta = beta,
                        .epsilon = epsilon});
  });
}

void gather_rows(const EmbeddingTable& embeddings, std::span<const int32_t> ids, std::span<const AddedRows> added,
                 MatrixView<float> y, ComputePool& pool, Isa isa) {
  const TensorView& table = embeddings.table;
  const TableType type = table_type(table.dtype);
  check_same_shape(table.shape.size() == 2 && table.shape[1] == y.cols, "gather_rows");
  check_ids(ids, y.rows, table.shape[0], "table");
  for (const AddedRows& rows : added) {
    check_same_shape(rows.table.cols == y.cols, "gather_rows");
    check_ids(rows.ids, y.rows, rows.table.rows, "added");
  }
  const RowwiseKernels& kernels = rowwise_kernels(isa);
  const int64_t row_bytes = y.cols * static_cast<int64_t>(size_of(table.dtype));
  pool.parallel_for(y.rows, rows_per_range(y.cols), [&](int64_t begin, int64_t end) {
    GatheredRows rows{.table = table.data,
                      .table_stride_bytes = row_bytes,
                      .type = type,
                      .ids = ids.data() + begin,
                      .y = y.row(begin),
                      .y_stride = y.stride,
                      .rows = end - begin,
                      .cols = y.cols,
                      .scale = embeddings.scale,
                      .add = false};
    kernels.gather(rows);
    for (const AddedRows& more : added) {
      rows.table = more.table.data;
      rows.table_stride_bytes = more.table.stride * static_cast<int64_t>(sizeof(float));
      rows.type = TableType::kF32;
      rows.ids = more.ids.data() + begin;
      rows.add = true;
      kernels.gather(rows);
    }
  });
}

void activate(Activation activation, float* x, int64_t n, Isa isa) {
  const RowwiseKernels& kernels = rowwise_kernels(isa);
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kGelu:
      return kernels.gelu(x, n);
    case Activation::kGeluTanh:
      return kernels.gelu_tanh(x, n);
    case Activation::kRelu:
      return kernels.relu(x, n);
    case Activation::kTanh:
      return kernels.tanh(x, n);
  }
}

std::optional<Activation> fused_activation(ActivationFunction function) {
  switch (function) {
    case ActivationFunction::kIdentity:
      return Activation::kNone;
    case ActivationFunction::kGelu:
      return Activation::kGelu;
    case ActivationFunction::kGeluTanh:
      return Activation::kGeluTanh;
    case ActivationFunction::kRelu:
      return Activation::kRelu;
    case ActivationFunction::kTanh:
      return Activation::kTanh;
    default:
      return std::nullopt;
  }
}

void apply(ActivationFunction function, float* x, int64_t n, Isa isa) {
  if (const auto fused = fused_activation(function)) return activate(*fused, x, n, isa);
  const RowwiseKernels& kernels = rowwise_kernels(isa);
  switch (function) {
    case ActivationFunction::kSilu:
      return kernels.gated_sigmoid(x, n, 1.0f);
    case ActivationFunction::kQuickGelu:
      return kernels.gated_sigmoid(x, n, 1.702f);
    case ActivationFunction::kSigmoid:
      return kernels.sigmoid(x, n);
    case ActivationFunction::kMish:
      return kernels.mish(x, n);
    case ActivationFunction::kClippedGelu:
      kernels.gelu(x, n);
      return apply_scalar(ActivationFunction::kClippedGelu, x, n);
    default:
      return apply_scalar(function, x, n);
  }
}

void apply(ActivationFunction function, MatrixView<float> y, ComputePool& pool, Isa isa) {
  if (function == ActivationFunction::kIdentity) return;
  pool.parallel_for(y.rows, rows_per_range(y.cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) apply(function, y.row(row), y.cols, isa);
  });
}

}  // namespace remuda::kernels
