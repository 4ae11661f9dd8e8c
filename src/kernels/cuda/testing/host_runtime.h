// Streams of the processor's CUDA runtime: what is put into a stream is done at once, or, while the stream is being
// captured, each time its graph is launched.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

namespace remuda::kernels::cuda {

void on_stream(cudaStream_t stream, std::function<void()> work);

}  // namespace remuda::kernels::cuda
