#include "models/gpu_models.h"

#include "base/fail.h"

namespace remuda::models {

namespace {

// `what`: of which kind its models are.
template <typename Function>
auto& table_of(const GpuBackend& backend, const char* symbol, uint32_t version, const char* what) {
  if (backend.table == nullptr) fail(ErrorCode::kUnsupported, "GPUs can't be used: {}", backend.problem);
  const auto function = reinterpret_cast<Function>(find_in_gpu_backend(backend, symbol));
  if (function == nullptr) {
    fail(ErrorCode::kUnsupported, "{} has no {} for GPUs: there is no {} in it", backend.file.string(), what, symbol);
  }
  auto& table = *function();
  if (table.abi_version != version) {
    fail(ErrorCode::kUnsupported, "{} is of another remuda: its {} are of version {}, and this needs {}",
         backend.file.string(), what, table.abi_version, version);
  }
  return table;
}

}  // namespace

const remuda::cuda::Models& models_of(const GpuBackend& backend) {
  using remuda::cuda::ModelsFunction;
  return table_of<ModelsFunction>(backend, remuda::cuda::kModelsSymbol, remuda::cuda::kModelsAbiVersion, "models");
}

const remuda::cuda::BartModels& bart_models_of(const GpuBackend& backend) {
  using remuda::cuda::BartModelsFunction;
  return table_of<BartModelsFunction>(backend, remuda::cuda::kBartSymbol, remuda::cuda::kBartAbiVersion, "BART models");
}

const remuda::cuda::Models& gpu_models() {
  static const remuda::cuda::Models& models = models_of(gpu_backend());
  return models;
}

const remuda::cuda::BartModels& gpu_bart_models() {
  static const remuda::cuda::BartModels& models = bart_models_of(gpu_backend());
  return models;
}

}  // namespace remuda::models
