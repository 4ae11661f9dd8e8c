// The table of libremuda_cuda.so's models.
#include <memory>

#include "device/cuda/driver.h"
#include "models/cuda/encoder.h"

namespace remuda::cuda {
namespace {

Status encoder_bytes(const HostEncoder* host, uint64_t* bytes, Message* message) {
  return guarded(message, [&] { *bytes = models::cuda::encoder_bytes(*host); });
}

Status workspace_bytes(const HostEncoder* host, const HostBatch* batch, uint64_t* bytes, Message* message) {
  return guarded(message, [&] { *bytes = models::cuda::workspace_bytes(*host, *batch); });
}

Status load_encoder(Pool* pool, Stream* stream, const HostEncoder* host, Encoder** encoder, Message* message) {
  return guarded_on(pool->device, message,
                    [&] { *encoder = models::cuda::load_encoder(*host, *pool, *stream).release(); });
}

void unload_encoder(Encoder* encoder) {
  std::unique_ptr<Encoder> owned(encoder);
  Message ignored;
  guarded_on(encoder->device, &ignored, [&] { owned.reset(); });
}

int32_t dimension(const Encoder* encoder) { return encoder->dimension; }

Status encode(const Encoder* encoder, Pool* pool, Stream* stream, const HostBatch* batch, float* vectors,
              Message* message) {
  return guarded_on(encoder->device, message, [&] { encoder->encode(*pool, *stream, *batch, vectors); });
}

constexpr Models kModels = {
    .abi_version = kModelsAbiVersion,
    .reserved = 0,
    .encoder_bytes = encoder_bytes,
    .workspace_bytes = workspace_bytes,
    .load_encoder = load_encoder,
    .unload_encoder = unload_encoder,
    .dimension = dimension,
    .encode = encode,
};

}  // namespace
}  // namespace remuda::cuda

extern "C" __attribute__((visibility("default"))) const remuda::cuda::Models* remuda_cuda_models() {
  return &remuda::cuda::kModels;
}
