// As much of the CUDA runtime as models need, over the processor's memory.
#include "kernels/cuda/testing/host_runtime.h"

#include <cstring>
#include <map>
#include <memory>
#include <utility>
#include <vector>

using Works = std::vector<std::function<void()>>;

struct CUgraph_st {
  Works works;
};
struct CUgraphExec_st {
  Works works;
};

namespace {

// Of the streams that are being captured. A thread captures its own streams, which nobody else uses meanwhile.
struct Capture {
  Works works;
  bool is_broken = false;
};
thread_local std::map<cudaStream_t, Capture> captures;

Capture* capture_of(cudaStream_t stream) {
  const auto found = captures.find(stream);
  return found == captures.end() ? nullptr : &found->second;
}

constexpr size_t kPinnedAlignment = 256;

}  // namespace

namespace remuda::kernels::cuda {

void on_stream(cudaStream_t stream, std::function<void()> work) {
  if (Capture* const capture = capture_of(stream)) {
    capture->works.push_back(std::move(work));
  } else {
    work();
  }
}

}  // namespace remuda::kernels::cuda

extern "C" {

const char* cudaGetErrorString(cudaError_t) { return "an error of the processor's CUDA runtime"; }
const char* cudaGetErrorName(cudaError_t) { return "error"; }
cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  remuda::kernels::cuda::on_stream(stream, [=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
// A stream that is being captured has nothing to wait for, and its graph is of no use any more.
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Capture* const capture = capture_of(stream);
  if (capture == nullptr) return cudaSuccess;
  capture->is_broken = true;
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  return captures.try_emplace(stream).second ? cudaSuccess : cudaErrorIllegalState;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  const auto found = captures.find(stream);
  if (found == captures.end()) return cudaErrorIllegalState;
  const Capture capture = std::move(found->second);
  captures.erase(found);
  if (capture.is_broken) return cudaErrorStreamCaptureInvalidated;
  *graph = new CUgraph_st{capture.works};
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  *made = new CUgraphExec_st{graph->works};
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  for (const std::function<void()>& work : graph->works) remuda::kernels::cuda::on_stream(stream, work);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  *memory = operator new(bytes, std::align_val_t(kPinnedAlignment));
  std::memset(*memory, 0xff, bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  operator delete(memory, std::align_val_t(kPinnedAlignment));
  return cudaSuccess;
}

}  // extern "C"
