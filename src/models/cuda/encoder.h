// An encoder on a GPU: weights that any number of streams may compute with.
#pragma once

#include <cstdint>
#include <memory>

#include "device/cuda/memory.h"
#include "models/cuda_models.h"

namespace remuda::cuda {

struct Encoder {
  virtual ~Encoder() = default;

  // As Models::encode; the device must be current.
  virtual void encode(const Pool& pool, const Stream& stream, const HostBatch& batch, float* vectors) const = 0;

  int device = 0;
  int32_t dimension = 0;
};

}  // namespace remuda::cuda

namespace remuda::models::cuda {

using remuda::cuda::HostBatch;
using remuda::cuda::HostEncoder;

uint64_t encoder_bytes(const HostEncoder& host);
uint64_t workspace_bytes(const HostEncoder& host, const HostBatch& batch);

// With the pool's device current. Throws what the library's functions throw.
std::unique_ptr<remuda::cuda::Encoder> load_encoder(const HostEncoder& host, const remuda::cuda::Pool& pool,
                                                    const remuda::cuda::Stream& stream);

}  // namespace remuda::models::cuda
