// Parameters as the GPU's library takes them, and a model in its memory there. What parameters point to is the
// checkpoint's, or the layer's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/fail.h"
#include "device/gpu_arena.h"
#include "device/gpu_devices.h"
#include "device/gpu_stream.h"
#include "io/checkpoint.h"
#include "models/cuda_models.h"
#include "models/encoder_weights.h"
#include "remuda/precision.h"

namespace remuda::models {

// kFp32, kBf16, kFp16 or kTf32. Throws Error(kUnsupported).
remuda::cuda::NumberType gpu_number_type(Precision precision);
// Of a type that weights may have, as WeightReader and Checkpoint see to.
remuda::cuda::HostMatrix gpu_matrix(const TensorView& view);
remuda::cuda::HostEncoderLayer gpu_layer(const EncoderLayerTensors& layer);

// Releases a block of which nothing is in use any more: so there is nothing to wait for, and it is free for every other
// stream, too.
void give_back(GpuArena::Block& block, GpuStream& stream);

// A model in a GPU's memory: its weights, and what the library computes with, `Handle`. Thread-safe once it is loaded;
// outlives whoever computes with it.
template <class Handle>
class ModelOnGpu {
 public:
  // On a GPU, by its id. Throws Error(kUnsupported) where there is none, and as GpuStream does.
  ModelOnGpu(const std::string& device, void (*unload)(Handle* handle))
      : arena_(GpuArena::of(device)),
        loading_(gpu_backend(), gpu_number(device).value_or(-1)),
        handle_(nullptr, unload) {}
  ~ModelOnGpu() {
    handle_.reset();
    give_back(weights_, loading_);
  }
  ModelOnGpu(const ModelOnGpu&) = delete;
  ModelOnGpu& operator=(const ModelOnGpu&) = delete;

  // Once, by the two functions of the library's table that are for it, into memory that the caller has reserved in the
  // GPU's budget. `file` and `what`, as "loading a BART", are for messages. Throws Error(kUnsupported) for a shape that
  // there are no kernels for; OutOfMemory; and as GpuStream does.
  template <class Host>
  void load(const Host& host, const std::string& file, const char* what,
            remuda::cuda::Status (*bytes_of)(const Host*, uint64_t* weights, uint64_t* loading, remuda::cuda::Message*),
            remuda::cuda::Status (*load_into)(remuda::cuda::Stream*, const Host*, void* weights, void* loading,
                                              Handle**, remuda::cuda::Message*)) {
    uint64_t weights = 0, loading = 0;
    remuda::cuda::Message message = {};
    if (bytes_of(&host, &weights, &loading, &message) != remuda::cuda::Status::kOk) {
      fail(ErrorCode::kUnsupported, "{}: there are no kernels for this model on GPUs: {}", file, message.text);
    }
    weights_ = arena_.allocate_reserved(weights, loading_);
    {
      const GpuArena::Block trial = arena_.allocate_reserved(loading, loading_);
      Handle* loaded = nullptr;
      call_gpu(number(), what, load_into, loading_.get(), &host, weights_.data(), trial.data(), &loaded);
      handle_.reset(loaded);
    }
    // What it took goes back to the driver, so that others see that it is free.
    loading_.synchronize();
    arena_.trim();
  }

  // Calls a function of the table whose first argument is the model, as call_gpu() does.
  template <typename Function, typename... Args>
  void call(const char* what, Function function, Args... args) const {
    call_gpu(number(), what, function, handle_.get(), args...);
  }
  // One whose last argument are bytes: those.
  template <typename Function, typename... Args>
  uint64_t ask_bytes(const char* what, Function function, Args... args) const {
    uint64_t bytes = 0;
    call(what, function, args..., &bytes);
    return bytes;
  }

  const Handle* get() const { return handle_.get(); }
  // Memory of the GPU that the weights take.
  size_t bytes() const { return weights_.bytes(); }
  int number() const { return loading_.number(); }  // The GPU's.
  GpuArena& arena() const { return arena_; }

 private:
  GpuArena& arena_;
  GpuStream loading_;  // Outlives the weights.
  GpuArena::Block weights_;
  std::unique_ptr<Handle, void (*)(Handle*)> handle_;
};

}  // namespace remuda::models
