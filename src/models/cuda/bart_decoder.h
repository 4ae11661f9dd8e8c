// The steps of a stream.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "models/cuda/bart.h"
#include "models/cuda/bart_step.h"
#include "models/cuda/step_graphs.h"

namespace remuda::models::cuda {

// The host's memory that a GPU copies from and to by itself.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  ~PinnedMemory() { cudaFreeHost(data_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  void resize(uint64_t bytes) {
    cudaFreeHost(std::exchange(data_, nullptr));
    remuda::cuda::check(cudaMallocHost(&data_, bytes), "cudaMallocHost");
  }
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

// `Model` has what a step is made of: host(), decoder_shape(), tile_queries() and launch_step(workspace, rows, k).
template <class Element, class Model>
class TypedBartDecoder : public remuda::cuda::BartDecoder {
 public:
  TypedBartDecoder(const Model& model, const remuda::cuda::Stream& stream)
      : model_(model), stream_(stream.stream), graphs_(stream.stream) {
    device = stream.device;
  }

  void set_workspace(void* workspace, const HostStepRoom& room) override {
    check_room(model_.host(), room);
    check_memory(workspace, "workspace");
    rows_ = 0;
    room_ = {};
    graphs_.clear();
    Parts counted;
    lay_out_inputs(model_.host(), room, counted);
    results_at_ = counted.bytes();
    counted.take<int32_t>(2 * room.rows * room.k);
    pinned_.resize(counted.bytes());
    Parts on_host(pinned_.data());
    packed_ = lay_out_inputs(model_.host(), room, on_host);
    Parts parts(workspace);
    at_ = lay_out_step<Element>(model_.host(), model_.decoder_shape(), room, stream_, parts);
    room_ = room;
  }

  void step(const HostStep& step) override {
    rows_ = 0;
    const int64_t rows = StepCheck(model_.host(), room_, step).rows();
    const StepPacker<Element> packer(model_.host(), step, rows, model_.tile_queries(), packed_);
    // The inputs begin the workspace, and the used numbers end them.
    const auto* const end = reinterpret_cast<const std::byte*>(packed_.numbers + packer.numbers());
    copy_to_device(at_.inputs.tokens, pinned_.data(),
                   static_cast<uint64_t>(end - static_cast<const std::byte*>(pinned_.data())), stream_);
    at_.rows.rows = rows;
    graphs_.run(rows, step.k, [&] { model_.launch_step(at_, rows, step.k); });
    const size_t results = static_cast<size_t>(rows * step.k);
    auto* const on_host = reinterpret_cast<int32_t*>(static_cast<std::byte*>(pinned_.data()) + results_at_);
    if (results > 0) copy_to_host(on_host, at_.results, 2 * results * sizeof(int32_t), stream_);
    remuda::cuda::check(cudaStreamSynchronize(stream_), "step");
    if (results > 0) {
      std::memcpy(step.scores, on_host, results * sizeof(float));
      std::copy_n(on_host + results, results, step.best);
    }
    rows_ = rows;
  }

  void fetch_logits(const int32_t* rows, int64_t count, float* logits) override {
    check_ids(rows, count, static_cast<int32_t>(rows_), "logits: expected rows of the step before");
    const int64_t vocabulary = model_.host().vocab_size;
    for (int64_t i = 0; i < count; ++i) {
      copy_to_host(logits + i * vocabulary, at_.logits + rows[i] * logits_columns(model_.host()),
                   static_cast<uint64_t>(vocabulary) * sizeof(float), stream_);
    }
    remuda::cuda::check(cudaStreamSynchronize(stream_), "logits");
  }

  uint64_t replayed_steps() const override { return graphs_.replayed(); }

 private:
  const Model& model_;
  cudaStream_t stream_;
  StepGraphs graphs_;
  HostStepRoom room_ = {};
  PinnedMemory pinned_;  // As the inputs lie on the GPU; then the results.
  StepInputs packed_ = {};
  uint64_t results_at_ = 0;
  StepWorkspace<Element> at_ = {};
  int64_t rows_ = 0;  // Of the step before, whose logits are there.
};

}  // namespace remuda::models::cuda
