// BART in libremuda_cuda.so: a third table of functions, beside device/cuda_backend.h and models/cuda_models.h, under
// the same rules. Only plain data crosses. No function takes memory of a GPU by itself: what it needs is said by a
// function that ends with _bytes, and handed in, at a multiple of kMemoryAlignment. What the driver has for CUDA
// graphs, some kilobytes each, is its own.
//
// Whoever changes anything here raises kBartAbiVersion: a library of another version is not used.
#pragma once

#include <cstdint>

#include "models/cuda_models.h"

namespace remuda::cuda {

inline constexpr uint32_t kBartAbiVersion = 2;
inline constexpr const char* kBartSymbol = "remuda_cuda_bart";  // Of BartModelsFunction.

// The most tokens that a step ranks of a row.
inline constexpr int32_t kMaxRanked = 512;

// As HostEncoderLayer, and attention to the document between attention and the inner layer.
struct HostBartDecoderLayer {
  HostEncoderLayer own;
  HostMatrix cross_query, cross_key, cross_value, cross_output;                           // [d_model, d_model] each
  const float *cross_query_bias, *cross_key_bias, *cross_value_bias, *cross_output_bias;  // [d_model] each
  const float *cross_gamma, *cross_beta;                                                  // [d_model] each
};

// Of the encoder, or of the decoder.
struct HostBartSide {
  int32_t num_layers;
  int32_t num_heads;   // A divisor of d_model that leaves up to 256, of the decoder up to 128.
  int32_t inner_size;  // A multiple of 8.
  int32_t reserved;
  HostMatrix words;                               // [vocab_size, d_model]
  const float* positions;                         // [max_positions, d_model]
  const float *embedding_gamma, *embedding_beta;  // [d_model] each
};

struct HostBart {
  int32_t vocab_size;     // Up to 300,000.
  int32_t d_model;        // A multiple of 8, up to 4,096.
  int32_t max_positions;  // Of either side.
  float layer_norm_epsilon;
  float embedding_scale;
  ActivationKind activation;
  NumberType computed_as;  // What weights, caches and what lies between layers are rounded to. Logits are floats.
  int32_t reserved;
  HostBartSide encoder, decoder;
  const HostEncoderLayer* encoder_layers;      // [encoder.num_layers]
  const HostBartDecoderLayer* decoder_layers;  // [decoder.num_layers]
  HostMatrix output;                           // [vocab_size, d_model]. Those of one `data` are kept once.
  const float* output_bias;                    // [vocab_size], or null
};

// Documents laid end to end, in the host's memory.
struct HostDocuments {
  const int32_t* ids;      // [offsets[documents]]
  const int64_t* offsets;  // [documents + 1], from 0, rising strictly
  int64_t documents;       // At least one.
};

// How far a document will be decoded.
struct HostLimits {
  int64_t max_rows;       // Sequences at once.
  int64_t max_positions;  // Tokens of each, the start token included; no more than the model's.
};

// What a decoder's workspace has room for. Rows, k and rule tokens of a step may be fewer.
struct HostStepRoom {
  int64_t rows;         // At least one.
  int64_t k;            // Tokens that are ranked of a row; 0 to kMaxRanked.
  int64_t rule_tokens;  // Penalized and forbidden tokens of all rows together.
};

// The sequences of a document in a step: rows that follow each other, all at one position.
struct HostStepDocument {
  void* memory;  // The document's.
  int64_t encoder_tokens;
  HostLimits limits;
  int32_t rows;    // 1 to limits.max_rows
  int32_t length;  // Positions, this one included: 1 to limits.max_positions.
  // [rows][table_stride], of which `length` entries count: the rows of the document's log that the sequence consists
  // of, as nn::KvTables has them; the last one is its own, (length - 1) * max_rows + row.
  const int32_t* tables;
  int64_t table_stride;
};

// What a row's ranking is changed by: kernels/cuda/ranking_body.h says how. All fields zero but the penalty: nothing.
struct HostRowRules {
  const int32_t* penalized;  // Each token once.
  const int32_t* forbidden;
  int32_t num_penalized;
  int32_t num_forbidden;
  float penalty;  // More than 0.
  int32_t rules_come_first;
};

struct HostStep {
  const HostStepDocument* documents;
  int64_t num_documents;
  const int32_t* tokens;      // [rows], all documents' one behind the other
  const HostRowRules* rules;  // [rows], or null where k is 0
  int64_t k;                  // 0: nothing is ranked. 1 to kMaxRanked, and no more than the vocabulary.
  float* scores;              // [rows, k], in the host's memory
  int32_t* best;              // [rows, k], tokens
};

struct Bart;         // Weights on one GPU. Immutable: any number of threads may use it, each with a stream of its own.
struct BartDecoder;  // What the steps of one stream keep: the host's memory that copies go through, and CUDA graphs.

struct BartModels {
  uint32_t abi_version;  // First in every version.
  uint32_t reserved;

  // Bytes of the GPU's memory that load_bart() takes: `weights` for as long as the BART lives, and `loading` until it
  // returns, in which weights are converted and products tried.
  Status (*bart_bytes)(const HostBart* host, uint64_t* weights, uint64_t* loading, Message* message);
  // Copies the weights there and chooses the algorithms of products; nothing of `host` is kept. Returns when all is
  // done.
  Status (*load_bart)(Stream* stream, const HostBart* host, void* weights, void* loading, Bart** bart,
                      Message* message);
  void (*unload_bart)(Bart* bart);  // When no stream works with it any more. Its memory is the caller's again.

  // Bytes of a document's memory: keys and values of its own tokens, and of those that are decoded.
  Status (*document_bytes)(const Bart* bart, int64_t encoder_tokens, const HostLimits* limits, uint64_t* bytes,
                           Message* message);
  // Bytes that encode() takes for documents of so many tokens together until it returns.
  Status (*encode_bytes)(const Bart* bart, int64_t tokens, uint64_t* bytes, Message* message);
  // Bytes of a decoder's workspace.
  Status (*step_bytes)(const Bart* bart, const HostStepRoom* room, uint64_t* bytes, Message* message);

  // memories: [documents], a document's memory each. A document's are the same bytes in any batch. Returns when it is
  // done. kInvalidArgument where an id or a length is out of range; then nothing was done.
  Status (*encode)(const Bart* bart, Stream* stream, void* workspace, const HostDocuments* documents,
                   void* const* memories, Message* message);

  // Bart and stream must outlive it; nobody else may use the stream while a function of the decoder runs.
  Status (*make_decoder)(const Bart* bart, Stream* stream, BartDecoder** decoder, Message* message);
  void (*destroy_decoder)(BartDecoder* decoder);
  // The workspace for the steps to come, step_bytes(room); what is kept for the one before is dropped. It must stay
  // until another one is set or the decoder is destroyed.
  Status (*set_workspace)(BartDecoder* decoder, void* workspace, const HostStepRoom* room, Message* message);
  // Computes the logits of each row's next token and ranks them. Returns when it is done. A row's are the same bytes
  // whatever else is in the step. kInvalidArgument where something is out of range or there is no room for it; then
  // nothing was done.
  Status (*step)(BartDecoder* decoder, const HostStep* step, Message* message);
  // Of the step before: logits of `count` rows of it, [count, vocab_size], in the host's memory. Rules have not changed
  // them.
  Status (*fetch_logits)(BartDecoder* decoder, const int32_t* rows, int64_t count, float* logits, Message* message);
  // How many steps were computed by replaying a CUDA graph, for people and tests.
  uint64_t (*replayed_steps)(const BartDecoder* decoder);
};

// Never null; the table lives as long as the library is loaded.
using BartModelsFunction = const BartModels* (*)();

}  // namespace remuda::cuda
