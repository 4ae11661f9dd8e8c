// Runs the GPU's kernels on the processor, for kernel_cases.h.
#pragma once

#include <cstring>
#include <vector>

#include "kernels/cuda/attention_choice.h"
#include "kernels/cuda/decode_body.h"
#include "kernels/cuda/pooling_body.h"
#include "kernels/cuda/ranking_body.h"
#include "kernels/cuda/rowwise_body.h"
#include "kernels/cuda/testing/device_memory.h"
#include "kernels/cuda/testing/host_thread.h"

namespace remuda::kernels::cuda {

class HostRunner {
 public:
  explicit HostRunner(HostSchedule schedule = {}) : schedule_(schedule) {}

  // Memory of exactly this size, until the runner ends.
  template <class T>
  T* upload(const std::vector<T>& values) {
    const size_t bytes = values.size() * sizeof(T);
    void* const memory = memory_.emplace_back(bytes).data();
    std::memcpy(memory, values.data(), bytes);
    return static_cast<T*>(memory);
  }
  template <class T>
  std::vector<T> download(const T* from, size_t count) {
    return {from, from + count};
  }

  template <class Element>
  void embed(const EmbedParams<Element>& p) {
    with_steps(p.columns, [&](auto steps) {
      run_on_host(launch_of_rows(p.rows), schedule_,
                  [&](HostThread& thread) { embed_body<decltype(steps)::value>(thread, p); });
    });
  }
  template <class Element>
  void layer_norm(const LayerNormParams<Element>& p) {
    with_steps(p.columns, [&](auto steps) {
      run_on_host(launch_of_rows(p.rows), schedule_,
                  [&](HostThread& thread) { layer_norm_body<decltype(steps)::value>(thread, p); });
    });
  }
  template <class Element>
  void activate(const ActivateParams<Element>& p) {
    run_on_host(launch_of_vectors(p.rows * (p.columns / activate_vector<Element>)), schedule_,
                [&](HostThread& thread) { activate_body(thread, p); });
  }
  template <class Element>
  void pool(const PoolParams<Element>& p) {
    run_on_host(launch_of_pool(p.sequences, p.columns), schedule_, [&](HostThread& thread) { pool_body(thread, p); });
  }
  void normalize(const NormalizeParams& p) {
    run_on_host(launch_of_rows(p.rows), schedule_, [&](HostThread& thread) { normalize_body(thread, p); });
  }
  template <class From, class To>
  void convert(const ConvertParams<From, To>& p) {
    run_on_host(launch_of_vectors(p.count), schedule_, [&](HostThread& thread) { convert_body(thread, p); });
  }

  template <class Element>
  void attention(const AttentionParams<Element>& p) {
    with_attention_kind(p, [&](auto kind, const Launch& launch) {
      using Body = typename decltype(kind)::template Body<HostThread>;
      run_on_host(launch, schedule_, [&](HostThread& thread) { Body(thread, p).run(); });
    });
  }
  template <class Element>
  void cached_attention(const CachedAttentionParams<Element>& p) {
    run_on_host(launch_of_cached_attention(p.count, p.num_heads), schedule_,
                [&](HostThread& thread) { CachedAttentionBody<Element, HostThread>(thread, p).run(); });
  }
  void rank(const RankingParams& p) {
    run_on_host(launch_of_ranking(p.rows, p.vocabulary), schedule_,
                [&](HostThread& thread) { RankingBody<HostThread>(thread, p).run(); });
  }

 private:
  HostSchedule schedule_;
  std::vector<remuda::cuda::DeviceMemory> memory_;
};

}  // namespace remuda::kernels::cuda
