// Models of another version, of which nothing but the number may be read.
#include "models/cuda_models.h"

extern "C" const remuda::cuda::Models* remuda_cuda_models() {
  static const uint32_t version = remuda::cuda::kModelsAbiVersion + 1;
  return reinterpret_cast<const remuda::cuda::Models*>(&version);
}
