#include "models/gpu_sentence_encoder.h"

#include <utility>

#include "base/fail.h"
#include "device/memory_budget.h"
#include "models/gpu_encoder_weights.h"
#include "models/gpu_models.h"

namespace remuda::models {

GpuSentenceEncoder::GpuSentenceEncoder(const io::ModelDirectory& directory, const std::string& device,
                                       Precision precision)
    : models_(gpu_models()),
      config_(directory.encoder),
      pools_prompt_(gpu_chain(directory).pooling.include_prompt),
      model_(device, models_.unload_encoder) {
  const GpuEncoderWeights host(directory, precision);
  model_.load(host.host(), directory.path.string(), "loading an encoder", models_.encoder_bytes, models_.load_encoder);
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
  return std::make_unique<GpuStream>(gpu_backend(), model_.number());
}

void GpuSentenceEncoder::forward(const RaggedIds& batch, std::span<const int64_t> prompt_tokens,
                                 const EncoderOutput& out, ComputePool&) const {
  if (out.tokens.rows > 0) {
    fail(ErrorCode::kUnsupported,
         "the vectors of tokens: expected a model on the CPU, found one on a GPU; set device cpu");
  }
  check_invariant(out.sentences.stride == out.sentences.cols, "vectors from a GPU lie densely");
  std::unique_ptr<GpuStream> stream = take_stream();
  encode(batch, prompt_tokens, out.sentences, *stream);
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(stream));  // One that failed is not used again.
}

void GpuSentenceEncoder::encode(const RaggedIds& batch, std::span<const int64_t> prompt_tokens, MatrixView<float> out,
                                GpuStream& stream) const {
  const std::vector<int32_t> positions = position_ids(config_, batch);
  std::vector<int32_t> skipped;
  if (!pools_prompt_) skipped.assign(prompt_tokens.begin(), prompt_tokens.end());
  const remuda::cuda::HostBatch host = {.ids = batch.ids.data(),
                                        .position_ids = positions.data(),
                                        .offsets = batch.offsets.data(),
                                        .skipped = skipped.empty() ? nullptr : skipped.data(),
                                        .sequences = batch.sequences()};
  GpuArena::Block workspace = allocate(model_.ask_bytes("a batch", models_.workspace_bytes, &host), batch, stream);
  if (workspace.data() == nullptr) {
    encode_in_parts(batch, batch.offsets.back() / 2, [&](const RaggedIds& part, size_t first) {
      const int64_t sequences = part.sequences();
      encode(part, prompt_tokens.subspan(first, static_cast<size_t>(sequences)),
             out.slice_rows(static_cast<int64_t>(first), sequences), stream);
    });
    return;
  }
  model_.call("computing embeddings", models_.encode, stream.get(), workspace.data(), &host, out.data);
  give_back(workspace, stream);
}

// None where there is no room, and several sequences, which may be computed in parts without waiting for it.
GpuArena::Block GpuSentenceEncoder::allocate(uint64_t bytes, const RaggedIds& batch, GpuStream& stream) const {
  constexpr const char* kWhat = "computing embeddings";
  if (batch.sequences() == 1) return model_.arena().allocate(bytes, stream, kWhat);
  const GpuMemoryPatience patience(Deadline::Clock::duration(0));
  try {
    return model_.arena().allocate(bytes, stream, kWhat);
  } catch (const OutOfMemory&) {
    return {};
  }
}

}  // namespace remuda::models
