// What a Hugging Face model directory says about itself, read and checked: config.json, modules.json with the
// modules' own configurations, prompts, sentence_bert_config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/module_config.h"
#include "io/transformer_options.h"
#include "remuda/precision.h"

namespace remuda::io {

// The buckets of MPNet's relative positions that are used, whatever a table has.
inline constexpr int64_t kRelativeBuckets = 32;

// An encoder's config.json. Field names are Hugging Face's BERT names; DistilBERT's (dim, n_heads, ...) are
// mapped.
struct EncoderConfig {
  std::string model_type;  // "bert", "distilbert", "mpnet", "roberta", "xlm-roberta", "camembert"
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t intermediate_size = 0;
  int64_t max_positions = 0;
  int64_t type_vocab_size = 0;  // 0: no token types.
  // Where positions follow it: a token that has no place in a text's numbering; -1 where there is none.
  int64_t pad_token_id = -1;
  // The position of a sequence's first token: pad_token_id + 1 in RoBERTa and its kin, 2 in MPNet; 0 otherwise.
  int64_t first_position = 0;
  int64_t relative_attention_num_buckets = 0;  // Rows of MPNet's table; 0 otherwise.
  double layer_norm_eps = 1e-12;
  std::string hidden_act = "gelu";  // A name that base/activations.h gives.
  bool output_hidden_states = false;
  bool is_causal_lm = false;  // Made to continue texts: its last token's vector stands for a text.

  // The longest sequence that has positions.
  int64_t max_sequence_length() const { return max_positions - first_position; }
};

struct EmbeddingPipeline {
  std::vector<ModuleConfig> modules;  // After the transformer, in order. At least one is a Pooling.
  int64_t width = 0;                  // Of the last module's vectors.
  int64_t dimension = 0;              // Of a text's vector: what truncate_dim leaves of them.
  int64_t max_seq_length = 0;
  bool do_lower_case = false;
  // "query" and "document" are always there, as in sentence-transformers.
  std::map<std::string, std::string> prompts;
  std::string default_prompt_name;    // Empty: none.
  std::string similarity = "cosine";  // "cosine", "dot", "euclidean" or "manhattan".
  TransformerOptions transformer;     // Holds the tokenizer's overrides.
};

struct ModelDirectory {
  std::filesystem::path path;         // Of the model.
  std::filesystem::path transformer;  // Where config.json and the weights are (modules.json may name a subdirectory).
  EncoderConfig encoder;
  EmbeddingPipeline pipeline;  // Without modules.json: mean pooling, as sentence-transformers does.
};

// The chain that most models have: a Pooling, Dense layers of the text's vector, and perhaps a Normalize.
struct PlainChain {
  PoolingConfig pooling;
  std::vector<DenseConfig> dense;
  bool normalize = false;
};
// nullopt: the pipeline is another, or its vectors are cut.
std::optional<PlainChain> plain_chain(const EmbeddingPipeline& pipeline);

// `overrides` are fields that outweigh the file's. Throws as read_model_directory does.
EncoderConfig read_encoder_config(const std::filesystem::path& config_json,
                                  const std::optional<JsonValue>& overrides = std::nullopt);

// Reads and checks everything but weights and tokenizer.
// Throws Error: kNotFound, kInvalidFile (file, field, expected, found), kUnsupported (which are known).
ModelDirectory read_model_directory(const std::filesystem::path& path);

}  // namespace remuda::io
