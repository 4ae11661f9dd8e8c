// The table of libremuda_cuda.so's BART.
#include <memory>

#include "device/cuda/driver.h"
#include "models/cuda/bart.h"

namespace remuda::cuda {
namespace {

void check_stream(const Bart& bart, const Stream& stream) {
  if (stream.device == bart.device) return;
  throw StatusError(Status::kInvalidArgument, "BART: the stream is of another GPU than the weights");
}

Status bart_bytes(const HostBart* host, uint64_t* weights, uint64_t* loading, Message* message) {
  return guarded(message, [&] {
    const models::cuda::ModelBytes bytes = models::cuda::bart_bytes(*host);
    *weights = bytes.weights;
    *loading = bytes.loading;
  });
}

Status load_bart(Stream* stream, const HostBart* host, void* weights, void* loading, Bart** bart, Message* message) {
  return guarded_on(stream->device, message,
                    [&] { *bart = models::cuda::load_bart(*stream, *host, weights, loading).release(); });
}

// What it has beside its memory is the host's.
void unload_bart(Bart* bart) { delete bart; }

Status document_bytes(const Bart* bart, int64_t encoder_tokens, const HostLimits* limits, uint64_t* bytes,
                      Message* message) {
  return guarded(message, [&] { *bytes = bart->document_bytes(encoder_tokens, *limits); });
}

Status encode_bytes(const Bart* bart, int64_t tokens, uint64_t* bytes, Message* message) {
  return guarded(message, [&] { *bytes = bart->encode_bytes(tokens); });
}

Status step_bytes(const Bart* bart, const HostStepRoom* room, uint64_t* bytes, Message* message) {
  return guarded(message, [&] { *bytes = bart->step_bytes(*room); });
}

Status encode(const Bart* bart, Stream* stream, void* workspace, const HostDocuments* documents, void* const* memories,
              Message* message) {
  return guarded_on(bart->device, message, [&] {
    check_stream(*bart, *stream);
    bart->encode(*stream, workspace, *documents, memories);
  });
}

Status make_decoder(const Bart* bart, Stream* stream, BartDecoder** decoder, Message* message) {
  return guarded_on(bart->device, message, [&] {
    check_stream(*bart, *stream);
    *decoder = bart->make_decoder(*stream).release();
  });
}

void destroy_decoder(BartDecoder* decoder) {
  std::unique_ptr<BartDecoder> owned(decoder);
  // Graphs and the memory that copies go through are the driver's.
  Message ignored;
  guarded_on(decoder->device, &ignored, [&] { owned.reset(); });
}

Status set_workspace(BartDecoder* decoder, void* workspace, const HostStepRoom* room, Message* message) {
  return guarded_on(decoder->device, message, [&] { decoder->set_workspace(workspace, *room); });
}

Status step(BartDecoder* decoder, const HostStep* step, Message* message) {
  return guarded_on(decoder->device, message, [&] { decoder->step(*step); });
}

Status fetch_logits(BartDecoder* decoder, const int32_t* rows, int64_t count, float* logits, Message* message) {
  return guarded_on(decoder->device, message, [&] { decoder->fetch_logits(rows, count, logits); });
}

uint64_t replayed_steps(const BartDecoder* decoder) { return decoder->replayed_steps(); }

constexpr BartModels kBartModels = {
    .abi_version = kBartAbiVersion,
    .reserved = 0,
    .bart_bytes = bart_bytes,
    .load_bart = load_bart,
    .unload_bart = unload_bart,
    .document_bytes = document_bytes,
    .encode_bytes = encode_bytes,
    .step_bytes = step_bytes,
    .encode = encode,
    .make_decoder = make_decoder,
    .destroy_decoder = destroy_decoder,
    .set_workspace = set_workspace,
    .step = step,
    .fetch_logits = fetch_logits,
    .replayed_steps = replayed_steps,
};

}  // namespace
}  // namespace remuda::cuda

extern "C" __attribute__((visibility("default"))) const remuda::cuda::BartModels* remuda_cuda_bart() {
  return &remuda::cuda::kBartModels;
}
