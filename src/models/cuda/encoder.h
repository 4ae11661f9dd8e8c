// An encoder on a GPU: weights that any number of streams may compute with.
#pragma once

#include <cstdint>
#include <memory>

#include "device/cuda/stream.h"
#include "models/cuda/arena.h"
#include "models/cuda_models.h"

namespace remuda::cuda {

struct Encoder {
  virtual ~Encoder() = default;

  // As Models has them; the device must be current.
  virtual uint64_t workspace_bytes(const HostBatch& batch) const = 0;
  virtual void encode(const Stream& stream, void* workspace, const HostBatch& batch, float* vectors) const = 0;

  int device = 0;
  int32_t dimension = 0;
};

}  // namespace remuda::cuda

namespace remuda::models::cuda {

using remuda::cuda::HostBatch;
using remuda::cuda::HostEncoder;

ModelBytes encoder_bytes(const HostEncoder& host);

// With the stream's device current. Throws what the library's functions throw.
std::unique_ptr<remuda::cuda::Encoder> load_encoder(const remuda::cuda::Stream& stream, const HostEncoder& host,
                                                    void* weights, void* loading);

}  // namespace remuda::models::cuda
