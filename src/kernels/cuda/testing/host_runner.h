// Runs the GPU's kernels on the processor, for kernel_cases.h. The choice of a kernel is as in rowwise.cu and
// attention.cu.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "kernels/cuda/decode_body.h"
#include "kernels/cuda/plain_attention_body.h"
#include "kernels/cuda/pooling_body.h"
#include "kernels/cuda/ranking_body.h"
#include "kernels/cuda/rowwise_body.h"
#include "kernels/cuda/testing/host_thread.h"

namespace remuda::kernels::cuda {

class HostRunner {
 public:
  explicit HostRunner(HostSchedule schedule = {}) : schedule_(schedule) {}

  // Memory of exactly this size, aligned as a GPU's is, until the runner ends.
  template <class T>
  T* upload(const std::vector<T>& values) {
    const size_t bytes = values.size() * sizeof(T);
    memory_.emplace_back(static_cast<std::byte*>(operator new(bytes, kAlignment)));
    std::memcpy(memory_.back().get(), values.data(), bytes);
    return reinterpret_cast<T*>(memory_.back().get());
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
  int attention_tile_queries(int64_t head_dim) {
    return on_tensor_cores<Element>(head_dim) ? kTileQueries : kPlainQueries;
  }
  template <class Element>
  void attention(const AttentionParams<Element>& p) {
    if constexpr (sizeof(Element) == 2) {
      if (on_tensor_cores<Element>(p.head_dim)) {
        const Launch launch = launch_of_attention(p.num_tiles, p.num_heads, p.head_dim);
        if (padded_head_dim(p.head_dim) == 32) return attention<AttentionBlockBody<Element, 32, HostThread>>(launch, p);
        if (padded_head_dim(p.head_dim) == 64) return attention<AttentionBlockBody<Element, 64, HostThread>>(launch, p);
        return attention<AttentionBlockBody<Element, 128, HostThread>>(launch, p);
      }
    }
    const Launch launch = launch_of_plain_attention(p.num_tiles, p.num_heads, p.head_dim);
    if (p.head_dim <= 2 * kWarpSize) return attention<PlainAttentionBody<Element, 2, HostThread>>(launch, p);
    attention<PlainAttentionBody<Element, 8, HostThread>>(launch, p);
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
  static constexpr std::align_val_t kAlignment{256};

  struct Free {
    void operator()(std::byte* memory) const { operator delete(memory, kAlignment); }
  };

  template <class Element>
  static bool on_tensor_cores(int64_t head_dim) {
    return sizeof(Element) == 2 && attends_on_tensor_cores(head_dim);
  }
  template <class Body, class Params>
  void attention(const Launch& launch, const Params& p) {
    run_on_host(launch, schedule_, [&](HostThread& thread) { Body(thread, p).run(); });
  }
  template <class Use>
  static void with_steps(int columns, Use use) {
    if (columns <= columns_of_steps(4)) return use(std::integral_constant<int, 4>());
    if (columns <= columns_of_steps(8)) return use(std::integral_constant<int, 8>());
    use(std::integral_constant<int, kMaxRowSteps>());
  }

  HostSchedule schedule_;
  std::vector<std::unique_ptr<std::byte, Free>> memory_;
};

}  // namespace remuda::kernels::cuda
