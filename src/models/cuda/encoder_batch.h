// A batch on its way to a GPU: what the kernels read of it, and where the results between the layers lie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/cuda/geometry.h"
#include "models/cuda/layers.h"
#include "models/cuda_models.h"

namespace remuda::models::cuda {

// How large what depends on a batch is.
struct BatchSize {
  int64_t tokens;
  int64_t sequences;
  int64_t tiles;
};

// What goes to the GPU, one piece of memory.
struct BatchInputs {
  int32_t* ids;                         // [tokens]
  int32_t* position_ids;                // [tokens]
  int32_t* offsets;                     // [sequences + 1]
  int32_t* skipped;                     // [sequences]
  kernels::cuda::AttentionTile* tiles;  // [tiles]
};
inline BatchInputs lay_out_inputs(const BatchSize& size, Parts& parts) {
  BatchInputs inputs;
  inputs.ids = parts.take<int32_t>(size.tokens);
  inputs.position_ids = parts.take<int32_t>(size.tokens);
  inputs.offsets = parts.take<int32_t>(size.sequences + 1);
  inputs.skipped = parts.take<int32_t>(size.sequences);
  inputs.tiles = parts.take<kernels::cuda::AttentionTile>(size.tiles);
  return inputs;
}

// The same, as it is copied.
inline std::vector<std::byte> pack_inputs(const remuda::cuda::HostBatch& batch, const BatchSize& size,
                                          const std::vector<kernels::cuda::AttentionTile>& tiles) {
  Parts counted;
  lay_out_inputs(size, counted);
  std::vector<std::byte> bytes(counted.bytes());
  Parts parts(bytes.data());
  const BatchInputs to = lay_out_inputs(size, parts);
  std::copy_n(batch.ids, size.tokens, to.ids);
  std::copy_n(batch.position_ids, size.tokens, to.position_ids);
  std::transform(batch.offsets, batch.offsets + size.sequences + 1, to.offsets,
                 [](int64_t offset) { return static_cast<int32_t>(offset); });
  if (batch.skipped != nullptr) std::copy_n(batch.skipped, size.sequences, to.skipped);
  std::copy(tiles.begin(), tiles.end(), to.tiles);
  return bytes;
}

// Between the layers.
template <class Element>
struct BatchWorkspace {
  BatchInputs inputs;
  LayerRows<Element> rows;
  std::vector<float*>
      dense;  // What was pooled, [sequences, num_poolings * hidden_size], then each dense layer's output.
};
template <class Element>
BatchWorkspace<Element> lay_out_workspace(const remuda::cuda::HostEncoder& shape, const LayerShape& layers,
                                          const BatchSize& size, cudaStream_t stream, Parts& parts) {
  BatchWorkspace<Element> workspace = {};
  workspace.inputs = lay_out_inputs(size, parts);
  workspace.rows = lay_out_rows<Element>(layers, size.tokens, stream, parts);
  workspace.dense.push_back(parts.take<float>(size.sequences * shape.num_poolings * shape.hidden_size));
  for (int32_t i = 0; i < shape.num_dense; ++i) {
    workspace.dense.push_back(parts.take<float>(size.sequences * shape.dense[i].out_features));
  }
  return workspace;
}

}  // namespace remuda::models::cuda
