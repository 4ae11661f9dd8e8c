#include <cublasLt.h>
#include <dlfcn.h>

#include <array>
#include <cstring>
#include <iterator>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "device/cuda/cublas_lt.h"
#include "device/cuda/cuda_error.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/products.h"

namespace remuda::kernels::cuda {
namespace {

using remuda::cuda::check;
using remuda::cuda::Status;
using remuda::cuda::StatusError;

// What is used of the library, by its own names.
struct Library {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) get_heuristic;
  decltype(&cublasLtMatmulAlgoConfigGetAttribute) algo_get;
};

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) throw StatusError(Status::kFailed, std::string("cuBLASLt has no function ") + name);
}

Library open_library() {
  void* const opened = remuda::cuda::cublas_lt();
  Library library;
  find(opened, "cublasLtCreate", library.create);
  find(opened, "cublasLtGetStatusString", library.status_string);
  find(opened, "cublasLtMatmul", library.matmul);
  find(opened, "cublasLtMatmulDescCreate", library.desc_create);
  find(opened, "cublasLtMatmulDescDestroy", library.desc_destroy);
  find(opened, "cublasLtMatmulDescSetAttribute", library.desc_set);
  find(opened, "cublasLtMatrixLayoutCreate", library.layout_create);
  find(opened, "cublasLtMatrixLayoutDestroy", library.layout_destroy);
  find(opened, "cublasLtMatmulPreferenceCreate", library.preference_create);
  find(opened, "cublasLtMatmulPreferenceDestroy", library.preference_destroy);
  find(opened, "cublasLtMatmulPreferenceSetAttribute", library.preference_set);
  find(opened, "cublasLtMatmulAlgoGetHeuristic", library.get_heuristic);
  find(opened, "cublasLtMatmulAlgoConfigGetAttribute", library.algo_get);
  return library;
}

const Library& library() {
  static const Library opened = open_library();
  return opened;
}

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const Status code = status == CUBLAS_STATUS_ALLOC_FAILED ? Status::kOutOfMemory : Status::kFailed;
  throw StatusError(code, std::string(what) + ": " + library().status_string(status));
}

// One for a device, made when it is first asked for and kept: it is the library's, with what it keeps on the device.
cublasLtHandle_t handle_of_current_device() {
  constexpr int kMaxDevices = 64;
  static std::array<cublasLtHandle_t, kMaxDevices> handles = {};
  static std::mutex mutex;
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  if (device >= kMaxDevices) throw StatusError(Status::kFailed, "more than 64 GPUs");
  const std::lock_guard lock(mutex);
  if (handles[device] == nullptr) check(library().create(&handles[device]), "cublasLtCreate");
  return handles[device];
}

struct Destroy {
  void operator()(cublasLtMatmulDescOpaque_t* desc) const { library().desc_destroy(desc); }
  void operator()(cublasLtMatrixLayoutOpaque_t* layout) const { library().layout_destroy(layout); }
  void operator()(cublasLtMatmulPreferenceOpaque_t* preference) const { library().preference_destroy(preference); }
};
using Desc = std::unique_ptr<cublasLtMatmulDescOpaque_t, Destroy>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Destroy>;
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy>;

cudaDataType_t data_type(ElementType type) {
  return type == ElementType::kFloat32 ? CUDA_R_32F : type == ElementType::kFloat16 ? CUDA_R_16F : CUDA_R_16BF;
}

// The library's matrices are stored by columns: a matrix [rows, cols] of ours is one [cols, rows] of its.
Layout layout_of(ElementType type, int64_t rows, int64_t cols) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(
      library().layout_create(&layout, data_type(type), static_cast<uint64_t>(cols), static_cast<uint64_t>(rows), cols),
      "cublasLtMatrixLayoutCreate");
  return Layout(layout);
}

template <class Value>
void set(const Desc& desc, cublasLtMatmulDescAttributes_t attribute, const Value& value) {
  check(library().desc_set(desc.get(), attribute, &value, sizeof(value)), "cublasLtMatmulDescSetAttribute");
}
template <class Value>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const Value& value) {
  check(library().preference_set(preference.get(), attribute, &value, sizeof(value)),
        "cublasLtMatmulPreferenceSetAttribute");
}

// y^T = W x^T, as the library sees it: W transposed from how it lies, x not.
Desc desc_of(const ProductShape& shape, const void* bias) {
  cublasLtMatmulDesc_t made = nullptr;
  const cublasComputeType_t compute = shape.uses_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  check(library().desc_create(&made, compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
  Desc desc(made);
  set(desc, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  if (!shape.has_bias) return desc;
  set(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  set(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  return desc;
}

// How many rows an algorithm is chosen for: a batch of some size, or a step. It does for others too.
int64_t planned_rows(const ProductShape& shape) { return shape.has_few_rows ? 32 : 4096; }
constexpr int kMaxAlgorithms = 16;

// The library's choices, best first.
std::vector<cublasLtMatmulAlgo_t> algorithms_for(const ProductShape& shape, const Desc& desc) {
  cublasLtMatmulPreference_t made = nullptr;
  check(library().preference_create(&made), "cublasLtMatmulPreferenceCreate");
  const Preference preference(made);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{0});
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
  const Layout w = layout_of(shape.type, shape.out_features, shape.in_features);
  const Layout x = layout_of(shape.type, planned_rows(shape), shape.in_features);
  const Layout y = layout_of(output_type(shape), planned_rows(shape), shape.out_features);
  std::array<cublasLtMatmulHeuristicResult_t, kMaxAlgorithms> results;
  int found = 0;
  check(library().get_heuristic(handle_of_current_device(), desc.get(), w.get(), x.get(), y.get(), y.get(),
                                preference.get(), kMaxAlgorithms, results.data(), &found),
        "cublasLtMatmulAlgoGetHeuristic");
  std::vector<cublasLtMatmulAlgo_t> algorithms;
  for (int i = 0; i < found; ++i) {
    if (results[i].state != CUBLAS_STATUS_SUCCESS) continue;
    int32_t splits = 1;  // Of one that doesn't say; what it does is tried.
    library().algo_get(&results[i].algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits, sizeof(splits), nullptr);
    if (splits <= 1) algorithms.push_back(results[i].algo);
  }
  return algorithms;
}

void write_element(ElementType type, float value, std::byte* to) {
  const uint16_t half = type == ElementType::kFloat16 ? float_to_f16(value) : float_to_bf16(value);
  if (type == ElementType::kFloat32) std::memcpy(to, &value, sizeof(value));
  if (type != ElementType::kFloat32) std::memcpy(to, &half, sizeof(half));
}

// The numbers of rows that are tried, before the most.
constexpr int64_t kNumbersOfRows[] = {kTrialRows, 1, 2, 16, 33};

std::vector<std::byte> trial_rows(const ProductShape& shape) {
  const size_t bytes = element_bytes(shape.type);
  std::vector<std::byte> rows(static_cast<size_t>(kTrialRows * shape.in_features) * bytes);
  std::minstd_rand random(1);
  for (size_t i = 0; i < rows.size(); i += bytes) {
    write_element(shape.type, static_cast<float>(random() % 4096) / 2048.0f - 1.0f, rows.data() + i);
  }
  return rows;
}

}  // namespace

struct Product::Plan {
  ProductShape shape;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};
  Layout weights;
  Desc unbiased;  // Where there is no bias, whose address is part of a description.

  cublasStatus_t try_multiply(const void* x, const void* w, const void* bias, void* y, int64_t rows,
                              cudaStream_t stream) const {
    const float one = 1.0f;
    const float zero = 0.0f;
    const Desc biased = shape.has_bias ? desc_of(shape, bias) : nullptr;
    const Layout x_layout = layout_of(shape.type, rows, shape.in_features);
    const Layout y_layout = layout_of(output_type(shape), rows, shape.out_features);
    return library().matmul(handle, (shape.has_bias ? biased : unbiased).get(), &one, w, weights.get(), x,
                            x_layout.get(), &zero, y, y_layout.get(), y, y_layout.get(), &algorithm, nullptr, 0,
                            stream);
  }

  // Whether rows give the same bytes among any number of others, and at any place.
  bool keeps_rows_apart(const void* w, const void* bias, void* trial, cudaStream_t stream) const {
    const std::vector<std::byte> rows = trial_rows(shape);
    const size_t out_row = output_row_bytes(shape);
    const int64_t most = most_trial_rows(shape);
    std::byte* const x = static_cast<std::byte*>(trial);
    std::byte* const y = x + trial_input_bytes(shape);
    for (int64_t copy = 0; copy < most / kTrialRows; ++copy) {
      check(cudaMemcpyAsync(x + static_cast<size_t>(copy) * rows.size(), rows.data(), rows.size(),
                            cudaMemcpyHostToDevice, stream),
            "cudaMemcpyAsync");
    }
    std::vector<std::byte> expected;
    std::vector<int64_t> numbers(std::begin(kNumbersOfRows), std::end(kNumbersOfRows));
    numbers.push_back(most);
    for (const int64_t number : numbers) {
      std::vector<std::byte> found(out_row * static_cast<size_t>(number));
      if (try_multiply(x, w, bias, y, number, stream) != CUBLAS_STATUS_SUCCESS) return false;
      check(cudaMemcpyAsync(found.data(), y, found.size(), cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
      check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
      if (expected.empty()) expected = found;
      for (int64_t row = 0; row < number; ++row) {
        if (std::memcmp(found.data() + static_cast<size_t>(row) * out_row,
                        expected.data() + static_cast<size_t>(row % kTrialRows) * out_row, out_row) != 0) {
          return false;
        }
      }
    }
    return true;
  }
};

Product::Product(const ProductShape& shape, const void* weights, const void* bias, void* trial, cudaStream_t stream)
    : plan_(std::make_unique<Plan>()) {
  plan_->shape = shape;
  plan_->handle = handle_of_current_device();
  plan_->weights = layout_of(shape.type, shape.out_features, shape.in_features);
  if (!shape.has_bias) plan_->unbiased = desc_of(shape, nullptr);
  for (const cublasLtMatmulAlgo_t& algorithm : algorithms_for(shape, desc_of(shape, bias))) {
    plan_->algorithm = algorithm;
    if (plan_->keeps_rows_apart(weights, bias, trial, stream)) return;
  }
  throw StatusError(Status::kFailed, "cuBLASLt has no algorithm for weights [" + std::to_string(shape.out_features) +
                                         ", " + std::to_string(shape.in_features) +
                                         "] that gives a row the same bytes in every batch");
}

Product::~Product() = default;
Product::Product(Product&&) noexcept = default;
Product& Product::operator=(Product&&) noexcept = default;

const ProductShape& Product::shape() const { return plan_->shape; }

void Product::multiply(const void* x, const void* weights, const void* bias, void* y, int64_t rows,
                       cudaStream_t stream) const {
  check(plan_->try_multiply(x, weights, bias, y, rows, stream), "cublasLtMatmul");
}

}  // namespace remuda::kernels::cuda
