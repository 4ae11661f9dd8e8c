// The table of libremuda_cuda.so's models.
#include <memory>

#include "device/cuda/driver.h"
#include "models/cuda/encoder.h"

namespace remuda::cuda {
namespace {

Status encoder_bytes(const HostEncoder* host, uint64_t* weights, uint64_t* loading, Message* message) {
  return guarded(message, [&] {
    const models::cuda::ModelBytes bytes = models::cuda::encoder_bytes(*host);
    *weights = bytes.weights;
    *loading = bytes.loading;
  });
}

Status load_encoder(Stream* stream, const HostEncoder* host, void* weights, void* loading, Encoder** encoder,
                    Message* message) {
  return guarded_on(stream->device, message,
                    [&] { *encoder = models::cuda::load_encoder(*stream, *host, weights, loading).release(); });
}

// What it has beside its memory is the host's.
void unload_encoder(Encoder* encoder) { delete encoder; }

int32_t dimension(const Encoder* encoder) { return encoder->dimension; }

Status workspace_bytes(const Encoder* encoder, const HostBatch* batch, uint64_t* bytes, Message* message) {
  return guarded(message, [&] { *bytes = encoder->workspace_bytes(*batch); });
}

Status encode(const Encoder* encoder, Stream* stream, void* workspace, const HostBatch* batch, float* vectors,
              Message* message) {
  return guarded_on(encoder->device, message, [&] {
    if (stream->device != encoder->device) {
      throw StatusError(Status::kInvalidArgument, "encode: the stream is of another GPU than the encoder");
    }
    encoder->encode(*stream, workspace, *batch, vectors);
  });
}

constexpr Models kModels = {
    .abi_version = kModelsAbiVersion,
    .reserved = 0,
    .encoder_bytes = encoder_bytes,
    .load_encoder = load_encoder,
    .unload_encoder = unload_encoder,
    .dimension = dimension,
    .workspace_bytes = workspace_bytes,
    .encode = encode,
};

}  // namespace
}  // namespace remuda::cuda

extern "C" __attribute__((visibility("default"))) const remuda::cuda::Models* remuda_cuda_models() {
  return &remuda::cuda::kModels;
}
