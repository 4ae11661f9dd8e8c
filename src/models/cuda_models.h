// The models of libremuda_cuda.so: a second table of functions beside device/cuda_backend.h, under the same rules. Only
// plain data crosses, so that a program in any language can use it.
//
// Models take none of the GPU's memory by themselves. What a function needs a `*_bytes` function says, and the caller
// hands it in, at an address that is a multiple of kMemoryAlignment, on the stream's GPU; so all of it is counted where
// he counts it.
//
// Whoever changes anything here raises kModelsAbiVersion: a library of another version is not used.
#pragma once

#include <cstdint>

#include "device/cuda_backend.h"

namespace remuda::cuda {

inline constexpr uint32_t kModelsAbiVersion = 3;
inline constexpr const char* kModelsSymbol = "remuda_cuda_models";  // Of ModelsFunction.

// kTf32: floats, which products round to TF32 before they multiply them; for `computed_as` alone.
enum class NumberType : int32_t { kFloat32 = 0, kFloat16 = 1, kBFloat16 = 2, kTf32 = 3 };

// As kernels::Activation and nn::Pooling, in the same order.
enum class ActivationKind : int32_t { kNone = 0, kGelu = 1, kGeluTanh = 2, kRelu = 3, kTanh = 4 };
enum class PoolingKind : int32_t {
  kCls = 0,
  kMax = 1,
  kMean = 2,
  kMeanSqrtLen = 3,
  kWeightedMean = 4,
  kLastToken = 5,
};

// [out_features, in_features] in the host's memory, dense, at any address.
struct HostMatrix {
  const void* data;
  NumberType type;
  int32_t reserved;
};

// Vectors are floats in the host's memory.
struct HostEncoderLayer {
  HostMatrix query, key, value, attention_output;                           // [hidden_size, hidden_size] each
  const float *query_bias, *key_bias, *value_bias, *attention_output_bias;  // [hidden_size] each
  const float *attention_gamma, *attention_beta;                            // [hidden_size] each
  HostMatrix intermediate;                                                  // [intermediate_size, hidden_size]
  HostMatrix output;                                                        // [hidden_size, intermediate_size]
  const float* intermediate_bias;                                           // [intermediate_size]
  const float *output_bias, *output_gamma, *output_beta;                    // [hidden_size] each
};

struct HostDense {
  HostMatrix weight;  // [out_features, in_features]
  const float* bias;  // [out_features], or null
  int32_t in_features;
  int32_t out_features;
  ActivationKind activation;
  int32_t reserved;
};

// A sentence-transformers chain: transformer, poolings side by side, dense layers, normalisation.
struct HostEncoder {
  int32_t vocab_size;
  int32_t hidden_size;        // A multiple of 8, up to 4,096.
  int32_t num_layers;         //
  int32_t num_heads;          // A divisor of hidden_size that leaves up to 256.
  int32_t intermediate_size;  // A multiple of 8.
  int32_t max_positions;
  float layer_norm_epsilon;
  ActivationKind activation;
  NumberType computed_as;  // What weights and what lies between layers are rounded to. Dense layers are in float.
  int32_t num_poolings;    // At least one.
  int32_t num_dense;
  int32_t normalizes;  // 0 or 1.

  HostMatrix words;                               // [vocab_size, hidden_size]
  const float* positions;                         // [max_positions, hidden_size], token type 0 added
  const float *embedding_gamma, *embedding_beta;  // [hidden_size] each
  const float* relative_bias;                     // [num_heads, 2 * max_positions - 1], or null
  const HostEncoderLayer* layers;                 // [num_layers]
  const PoolingKind* poolings;                    // [num_poolings]
  const HostDense* dense;                         // [num_dense]
};

// Sequences laid end to end, in the host's memory.
struct HostBatch {
  const int32_t* ids;           // [offsets[sequences]]
  const int32_t* position_ids;  // [offsets[sequences]]
  const int64_t* offsets;       // [sequences + 1], from 0, rising strictly
  const int32_t* skipped;       // [sequences]: tokens of a prompt that is not pooled; or null
  int64_t sequences;            // At least one.
};

struct Encoder;  // Weights on one GPU. Immutable: any number of threads may use it, each with a stream of its own.

struct Models {
  uint32_t abi_version;  // First in every version.
  uint32_t reserved;

  // Bytes of the GPU's memory that load_encoder() takes: `weights` for as long as the encoder lives, and `loading`
  // until it returns, in which weights are converted and products tried.
  Status (*encoder_bytes)(const HostEncoder* host, uint64_t* weights, uint64_t* loading, Message* message);
  // Copies the weights there and chooses the algorithms of products; nothing of `host` is kept. Returns when all is
  // done.
  Status (*load_encoder)(Stream* stream, const HostEncoder* host, void* weights, void* loading, Encoder** encoder,
                         Message* message);
  void (*unload_encoder)(Encoder* encoder);  // When no stream works with it any more. Its memory is the caller's again.
  // Floats of a vector.
  int32_t (*dimension)(const Encoder* encoder);

  // Bytes that encode() takes for this batch until it returns, of which no more than offsets and sequences are looked
  // at.
  Status (*workspace_bytes)(const Encoder* encoder, const HostBatch* batch, uint64_t* bytes, Message* message);
  // vectors: [sequences, dimension] in the host's memory, written when it returns. A text's vector is the same bytes in
  // any batch and on any stream. Both are kInvalidArgument where an id, a position or a length is out of range.
  Status (*encode)(const Encoder* encoder, Stream* stream, void* workspace, const HostBatch* batch, float* vectors,
                   Message* message);
};

// Never null; the table lives as long as the library is loaded.
using ModelsFunction = const Models* (*)();

}  // namespace remuda::cuda
