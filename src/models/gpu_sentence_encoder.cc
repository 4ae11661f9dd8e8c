#include "models/gpu_sentence_encoder.h"

#include <utility>

#include "base/fail.h"
#include "device/gpu_devices.h"
#include "models/gpu_encoder_weights.h"
#include "models/gpu_models.h"
#include "models/gpu_weights.h"

namespace remuda::models {

GpuSentenceEncoder::GpuSentenceEncoder(const io::ModelDirectory& directory, const std::string& device,
                                       Precision precision)
    : models_(gpu_models()),
      config_(directory.encoder),
      pools_prompt_(directory.pipeline.pooling.include_prompt),
      number_(gpu_number(device).value_or(-1)),
      arena_(GpuArena::of(device)),
      loading_(gpu_backend(), number_),
      encoder_(nullptr, models_.unload_encoder) {
  load(directory, precision);
}

void GpuSentenceEncoder::load(const io::ModelDirectory& directory, Precision precision) {
  const GpuEncoderWeights host(directory, precision);
  uint64_t weights = 0, loading = 0;
  remuda::cuda::Message message = {};
  if (models_.encoder_bytes(&host.host(), &weights, &loading, &message) != remuda::cuda::Status::kOk) {
    fail(ErrorCode::kUnsupported, "{}: there are no kernels for this model on GPUs: {}", directory.path.string(),
         message.text);
  }
  weights_ = arena_.allocate_reserved(weights, loading_);
  {
    const GpuArena::Block trial = arena_.allocate_reserved(loading, loading_);
    remuda::cuda::Encoder* loaded = nullptr;
    call_gpu(number_, "loading an encoder", models_.load_encoder, loading_.get(), &host.host(), weights_.data(),
             trial.data(), &loaded);
    encoder_.reset(loaded);
  }
  // What it took goes back to the driver, so that others see that it is free.
  loading_.synchronize();
  arena_.trim();
}

GpuSentenceEncoder::~GpuSentenceEncoder() {
  encoder_.reset();
  give_back(weights_, loading_);
}

std::unique_ptr<GpuStream> GpuSentenceEncoder::take_stream() const {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<GpuStream> stream = std::move(idle_.back());
      idle_.pop_back();
      return stream;
    }
  }
  return std::make_unique<GpuStream>(gpu_backend(), number_);
}

void GpuSentenceEncoder::forward(const RaggedIds& batch, std::span<const int64_t> prompt_tokens, MatrixView<float> out,
                                 ComputePool&) const {
  check_invariant(out.stride == out.cols, "vectors from a GPU lie densely");
  const std::vector<int32_t> positions = position_ids(config_, batch);
  std::vector<int32_t> skipped;
  if (!pools_prompt_) skipped.assign(prompt_tokens.begin(), prompt_tokens.end());
  const remuda::cuda::HostBatch host = {.ids = batch.ids.data(),
                                        .position_ids = positions.data(),
                                        .offsets = batch.offsets.data(),
                                        .skipped = skipped.empty() ? nullptr : skipped.data(),
                                        .sequences = batch.sequences()};
  uint64_t bytes = 0;
  call_gpu(number_, "a batch", models_.workspace_bytes, encoder_.get(), &host, &bytes);
  std::unique_ptr<GpuStream> stream = take_stream();
  {
    const GpuArena::Block workspace = arena_.allocate(bytes, *stream, "computing embeddings");
    call_gpu(number_, "computing embeddings", models_.encode, encoder_.get(), stream->get(), workspace.data(), &host,
             out.data);
  }
  stream->synchronize();  // There is nothing left to wait for: so the workspace is free for every other stream, too.
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(stream));  // One that failed is not used again.
}

}  // namespace remuda::models
