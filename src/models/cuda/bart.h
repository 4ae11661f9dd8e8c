// A BART on a GPU: weights that any number of streams may compute with, and the decoders that do.
#pragma once

#include <cstdint>
#include <memory>

#include "device/cuda/stream.h"
#include "models/cuda/arena.h"
#include "models/cuda_bart.h"

namespace remuda::cuda {

// As BartModels has the functions; the device must be current.
struct BartDecoder {
  virtual ~BartDecoder() = default;

  virtual void set_workspace(void* workspace, const HostStepRoom& room) = 0;
  virtual void step(const HostStep& step) = 0;
  virtual void fetch_logits(const int32_t* rows, int64_t count, float* logits) = 0;
  virtual uint64_t replayed_steps() const = 0;

  int device = 0;
};

struct Bart {
  virtual ~Bart() = default;

  virtual uint64_t document_bytes(int64_t encoder_tokens, const HostLimits& limits) const = 0;
  virtual uint64_t encode_bytes(int64_t tokens) const = 0;
  virtual uint64_t step_bytes(const HostStepRoom& room) const = 0;
  virtual void encode(const Stream& stream, void* workspace, const HostDocuments& documents,
                      void* const* memories) const = 0;
  virtual std::unique_ptr<BartDecoder> make_decoder(const Stream& stream) const = 0;

  int device = 0;
};

}  // namespace remuda::cuda

namespace remuda::models::cuda {

using remuda::cuda::HostBart;

ModelBytes bart_bytes(const HostBart& host);

// With the stream's device current. Throws what the library's functions throw.
std::unique_ptr<remuda::cuda::Bart> load_bart(const remuda::cuda::Stream& stream, const HostBart& host, void* weights,
                                              void* loading);

}  // namespace remuda::models::cuda
