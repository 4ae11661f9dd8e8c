// CUDA graphs of a decoder's steps. What a step is made of depends on the number of its rows and on how many tokens are
// ranked, not on what it computes: the second step of a kind is captured, and all later ones replay it, with one launch
// in place of hundreds.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "device/cuda/cuda_error.h"

namespace remuda::models::cuda {

// Belongs to one stream, and one thread at a time.
class StepGraphs {
 public:
  // Of the kinds that came last. Where documents come and go, there are as many kinds as numbers of rows.
  static constexpr size_t kMaxKinds = 64;

  explicit StepGraphs(cudaStream_t stream) : stream_(stream) {}
  ~StepGraphs() { clear(); }
  StepGraphs(const StepGraphs&) = delete;
  StepGraphs& operator=(const StepGraphs&) = delete;

  // Puts into the stream's order what launch() does, which must be the same launches with the same parameters for all
  // steps of a kind.
  template <class Launches>
  void run(int64_t rows, int64_t k, const Launches& launches) {
    Kind& kind = find(rows, k);
    const bool first = kind.used == 0;
    kind.used = ++time_;
    if (first) return launches();
    if (kind.graph == nullptr) {
      kind.graph = capture(launches);
    } else {
      ++replayed_;
    }
    remuda::cuda::check(cudaGraphLaunch(kind.graph, stream_), "cudaGraphLaunch");
  }

  // Where the addresses that were captured are no longer those of steps. None may be running.
  void clear() {
    for (const Kind& kind : kinds_) destroy(kind);
    kinds_.clear();
  }

  // Steps that were neither launched one by one nor captured.
  uint64_t replayed() const { return replayed_; }

 private:
  struct Kind {
    int64_t rows;
    int64_t k;
    uint64_t used;
    cudaGraphExec_t graph;
  };

  static void destroy(const Kind& kind) {
    if (kind.graph != nullptr) cudaGraphExecDestroy(kind.graph);
  }

  Kind& find(int64_t rows, int64_t k) {
    const auto found =
        std::find_if(kinds_.begin(), kinds_.end(), [&](const Kind& kind) { return kind.rows == rows && kind.k == k; });
    if (found != kinds_.end()) return *found;
    if (kinds_.size() == kMaxKinds) {
      const auto oldest =
          std::min_element(kinds_.begin(), kinds_.end(), [](const Kind& a, const Kind& b) { return a.used < b.used; });
      destroy(*oldest);
      kinds_.erase(oldest);
    }
    return kinds_.emplace_back(Kind{rows, k, 0, nullptr});
  }

  template <class Launches>
  cudaGraphExec_t capture(const Launches& launches) {
    // Other threads may do meanwhile what must not be captured.
    remuda::cuda::check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    cudaGraph_t graph = nullptr;
    try {
      launches();
    } catch (...) {
      cudaStreamEndCapture(stream_, &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      throw;
    }
    remuda::cuda::check(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
    cudaGraphExec_t made = nullptr;
    const cudaError_t code = cudaGraphInstantiate(&made, graph, 0);
    cudaGraphDestroy(graph);
    remuda::cuda::check(code, "cudaGraphInstantiate");
    return made;
  }

  cudaStream_t stream_;
  std::vector<Kind> kinds_;
  uint64_t time_ = 0;
  uint64_t replayed_ = 0;
};

}  // namespace remuda::models::cuda
