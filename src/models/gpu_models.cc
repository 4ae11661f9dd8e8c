#include "models/gpu_models.h"

#include "base/fail.h"

namespace remuda::models {

const remuda::cuda::Models& models_of(const GpuBackend& backend) {
  if (backend.table == nullptr) fail(ErrorCode::kUnsupported, "GPUs can't be used: {}", backend.problem);
  const auto models =
      reinterpret_cast<remuda::cuda::ModelsFunction>(find_in_gpu_backend(backend, remuda::cuda::kModelsSymbol));
  if (models == nullptr) {
    fail(ErrorCode::kUnsupported, "{} has no models for GPUs: there is no {} in it", backend.file.string(),
         remuda::cuda::kModelsSymbol);
  }
  const remuda::cuda::Models& table = *models();
  if (table.abi_version != remuda::cuda::kModelsAbiVersion) {
    fail(ErrorCode::kUnsupported, "{} is of another remuda: its models are of version {}, and this needs {}",
         backend.file.string(), table.abi_version, remuda::cuda::kModelsAbiVersion);
  }
  return table;
}

const remuda::cuda::Models& gpu_models() {
  static const remuda::cuda::Models& models = models_of(gpu_backend());
  return models;
}

}  // namespace remuda::models
