// The models of libremuda_cuda.so.
#pragma once

#include "device/gpu_backend.h"
#include "models/cuda_models.h"

namespace remuda::models {

// A backend's. Throws Error(kUnsupported) where there is no backend, where it has no models, or has those of another
// version.
const remuda::cuda::Models& models_of(const GpuBackend& backend);

// Those of gpu_backend(); looked up once.
const remuda::cuda::Models& gpu_models();

}  // namespace remuda::models
