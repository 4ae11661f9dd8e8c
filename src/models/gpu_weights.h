// Parameters as the GPU's library takes them, and their memory there. What parameters point to is the checkpoint's, or
// the layer's.
#pragma once

#include "device/gpu_arena.h"
#include "device/gpu_stream.h"
#include "io/safetensors.h"
#include "models/cuda_models.h"
#include "models/encoder_weights.h"
#include "remuda/precision.h"

namespace remuda::models {

// kFp32, kBf16 or kFp16. Throws Error(kUnsupported).
remuda::cuda::NumberType gpu_number_type(Precision precision);
// Of a type that weights may have, as WeightReader and Checkpoint see to.
remuda::cuda::HostMatrix gpu_matrix(const TensorView& view);
remuda::cuda::HostEncoderLayer gpu_layer(const EncoderLayerTensors& layer);

// Releases a block of which nothing is in use any more: so there is nothing to wait for, and it is free for every other
// stream, too.
void give_back(GpuArena::Block& block, GpuStream& stream);

}  // namespace remuda::models
