// What a Hugging Face model directory says about itself, read and checked: config.json, modules.json with the
// modules' own configurations, prompts, sentence_bert_config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "remuda/precision.h"

namespace remuda::io {

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
  int64_t pad_token_id = 0;
  // The position of a sequence's first token: pad_token_id + 1 in MPNet and in RoBERTa and its kin; 0 otherwise.
  int64_t first_position = 0;
  int64_t relative_attention_num_buckets = 0;  // MPNet; 0 otherwise.
  double layer_norm_eps = 1e-12;
  std::string hidden_act = "gelu";  // "gelu", "gelu_new" (and its aliases, mapped to it), "relu"

  // The longest sequence that has positions.
  int64_t max_sequence_length() const { return max_positions - first_position; }
};

enum class PoolingMode { kCls, kMax, kMean, kMeanSqrtLen, kWeightedMean, kLastToken };

// A module after the transformer, in the order of modules.json.
struct PoolingConfig {
  std::vector<PoolingMode> modes;  // Concatenated, in this order (sentence-transformers' order).
  bool include_prompt = true;
};
struct DenseConfig {
  int64_t in_features = 0;
  int64_t out_features = 0;
  bool bias = true;
  std::string activation;           // "identity", "tanh", "relu", "gelu"
  std::filesystem::path directory;  // Where its weights are.
};

// What sentence_bert_config.json says.
struct TransformerOptions {
  int64_t max_seq_length = 0;  // 0: nothing.
  bool do_lower_case = false;
};

struct EmbeddingPipeline {
  PoolingConfig pooling;
  std::vector<DenseConfig> dense;
  bool normalize = false;
  int64_t max_seq_length = 0;
  bool do_lower_case = false;
  std::map<std::string, std::string> prompts;
  std::string default_prompt_name;  // Empty: none.
};

struct ModelDirectory {
  std::filesystem::path path;         // Of the model.
  std::filesystem::path transformer;  // Where config.json and the weights are (modules.json may name a subdirectory).
  EncoderConfig encoder;
  EmbeddingPipeline pipeline;  // Without modules.json: mean pooling, as sentence-transformers does.
};

// From sentence_bert_config.json, or as older models call it, beside an encoder; without one the defaults. Throws
// Error(kInvalidFile).
TransformerOptions read_transformer_options(const std::filesystem::path& directory);

// The tokens of a text at most, as tokenizer_config.json's model_max_length has it; 0: it says nothing. Throws
// Error(kInvalidFile).
int64_t read_tokenizer_max_length(const std::filesystem::path& directory);

// Throws as read_model_directory does.
EncoderConfig read_encoder_config(const std::filesystem::path& config_json);

// Reads and checks everything but weights and tokenizer.
// Throws Error: kNotFound, kInvalidFile (file, field, expected, found), kUnsupported (which are known).
ModelDirectory read_model_directory(const std::filesystem::path& path);

}  // namespace remuda::io
