// What models take, estimated from their shapes before anything is loaded.
#include "remuda/memory_cost.h"

#include <algorithm>

#include "models/bart_memory.h"
#include "models/workspace_plan.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

constexpr int64_t kFloat = sizeof(float);

// Of the vocabulary and what finds a text's tokens in it.
constexpr int64_t kTokenizerBytesByToken = 100;

// How a model's numbers are held on a device.
struct Held {
  Precision precision = Precision::kFp32;  // Never kAuto.
  DeviceKind device = DeviceKind::kCpu;

  bool on_gpu() const { return device == DeviceKind::kGpu; }
  // Of a matrix's element.
  int64_t element() const {
    switch (precision) {
      case Precision::kInt8:
        return 1;
      case Precision::kBf16:
      case Precision::kFp16:
        return 2;
      default:
        return kFloat;
    }
  }
  // Of an intermediate result's.
  int64_t passed() const { return on_gpu() ? element() : kFloat; }
};

// A layer's product, [out, in]; what packing it takes for a while is a part of the matrix as the checkpoint has it, and
// a copy.
struct Product {
  int64_t out = 0;
  int64_t in = 0;

  // With a bias in fp32. A CPU has matrices packed, a GPU as they are.
  int64_t bytes(Held held) const {
    const int64_t matrix =
        held.on_gpu() ? out * in * held.element() : models::packed_matrix_bytes(out, in, held.precision);
    return matrix + out * kFloat;
  }
  int64_t loading_bytes(Held held) const {
    return held.on_gpu() ? 0 : std::min(out * in * kFloat + bytes(held), models::packing_bytes());
  }
};

// Of a transformer's layer: a product for query, key and value and one for the output of each of `attentions`, and the
// two of the inner layer; a norm after each.
struct Layer {
  int64_t hidden = 0;
  int64_t inner = 0;
  int64_t attentions = 1;

  Product inner_product() const { return {inner, hidden}; }
  Product query_key_value() const { return {3 * hidden, hidden}; }
  int64_t bytes(Held held) const {
    const int64_t attention = query_key_value().bytes(held) + Product{hidden, hidden}.bytes(held);
    const int64_t norms = (attentions + 1) * 2 * hidden * kFloat;
    return attentions * attention + inner_product().bytes(held) + Product{hidden, inner}.bytes(held) + norms;
  }
  int64_t loading_bytes(Held held) const {
    return std::max(inner_product().loading_bytes(held), query_key_value().loading_bytes(held));
  }
};

// Of rows on their way through a layer: the hidden state, and scratch for query, key, value and context or for the
// inner layer; a CPU's products in reduced precisions have their inputs beside that, prepared. A GPU has what is added
// to the hidden state in a place of its own, and ids and positions there.
uint64_t encoding_bytes(int64_t rows, int64_t hidden, int64_t inner, Held held) {
  if (held.on_gpu()) {
    constexpr int64_t kIdAndPosition = 8;
    return static_cast<uint64_t>(rows * ((2 * hidden + std::max(4 * hidden, inner)) * held.element() + kIdAndPosition));
  }
  const int64_t passed = rows * (hidden + std::max(4 * hidden, inner)) * held.passed();
  return models::workspace_block(static_cast<uint64_t>(passed)) +
         models::workspace_block(models::prepared_rows_bytes(rows, std::max(hidden, inner), held.precision));
}

// What loading an encoder's weights takes on a GPU beside them: what they are converted in, or what its products are
// tried with, whichever is larger (models/cuda/encoder_weights.cc, kernels/cuda/cublas_lt_products.cc).
uint64_t gpu_loading_bytes(const Layer& layer, int64_t vocab_size, Held held) {
  constexpr int64_t kConvertedElements = int64_t{1} << 22;
  constexpr int64_t kTrialRows = 4087;
  const int64_t largest = std::max({vocab_size, layer.hidden, layer.inner}) * layer.hidden;
  const int64_t features = layer.hidden + std::max(3 * layer.hidden, layer.inner);
  return static_cast<uint64_t>(
      std::max(std::min(largest, kConvertedElements) * kFloat, kTrialRows * features * held.element()));
}

// The same of a decoder's logits, which are floats: their product is tried with fewer rows.
uint64_t gpu_step_trial_bytes(const Product& logits, Held held) {
  constexpr int64_t kTrialRows = 335;
  return static_cast<uint64_t>(kTrialRows * (logits.in * held.element() + logits.out * kFloat));
}

// A document that fills the window, decoded as the checkpoint says.
struct DefaultDocument {
  int64_t window;
  models::DecodeLimits limits;

  explicit DefaultDocument(const SummarizationModelInfo& info) : window(info.window) {
    constexpr int64_t kDefaultTokens = 21;  // What transformers generates where nobody says how much.
    const GenerationOptions& options = info.generation;
    // The last token is not fed to the decoder again. Files may ask for more than there are positions and tokens.
    const int64_t positions =
        options.max_new_tokens.value_or(std::max<int64_t>(1, options.max_length.value_or(kDefaultTokens)) - 1);
    limits.max_positions = std::clamp<int64_t>(positions, 1, info.max_positions);
    const int64_t rows = std::max(options.num_beams.value_or(1), options.num_return_sequences.value_or(1));
    limits.max_rows = std::clamp<int64_t>(rows, 1, info.vocab_size);
  }

  // As SummarizeOptions::max_batch_tokens counts them.
  int64_t tokens() const { return window + limits.max_rows * limits.max_positions; }
};

io::BartConfig configuration_of(const SummarizationModelInfo& info) {
  io::BartConfig config;
  config.vocab_size = info.vocab_size;
  config.d_model = info.hidden_size;
  config.encoder_layers = info.encoder_layers;
  config.decoder_layers = info.decoder_layers;
  config.encoder_attention_heads = info.encoder_heads;
  config.decoder_attention_heads = info.decoder_heads;
  config.encoder_ffn_dim = info.encoder_intermediate_size;
  config.decoder_ffn_dim = info.decoder_intermediate_size;
  config.max_position_embeddings = info.max_positions;
  return config;
}

// Of an element of the checkpoint.
double file_element_bytes(uint64_t file_bytes, int64_t parameters) {
  return parameters > 0 ? static_cast<double>(file_bytes) / static_cast<double>(parameters) : kFloat;
}

// Tables of the vocabulary that a BART on a GPU has: one where the output layer and both sides' embeddings are tied. On
// a CPU that is the output layer, and rows of the others are read where the file is mapped.
int64_t vocabulary_tables(const SummarizationModelInfo& info, const Layer& encoder, const Layer& decoder) {
  constexpr int64_t kMost = 3;
  const Held as_numbers{Precision::kFp32, DeviceKind::kGpu};
  const int64_t layers =
      info.encoder_layers * encoder.bytes(as_numbers) + info.decoder_layers * decoder.bytes(as_numbers);
  const int64_t rest = info.parameters - layers / kFloat - 2 * info.max_positions * info.hidden_size;
  return std::clamp<int64_t>(rest / std::max<int64_t>(info.vocab_size * info.hidden_size, 1), 1, kMost);
}

}  // namespace

MemoryCost estimate_memory(const EmbeddingModelInfo& info, Precision precision, std::optional<int64_t> max_batch_tokens,
                           DeviceKind device) {
  const Held held{precision_on(device, precision), device};
  const Layer layer{info.hidden_size, info.intermediate_size};
  // A CPU reads rows of the table where the file is mapped.
  const double number =
      held.on_gpu() ? static_cast<double>(held.element()) : file_element_bytes(info.file_bytes, info.parameters);
  const double table = static_cast<double>(info.vocab_size * info.hidden_size) * number;
  const int64_t tokenizer = held.on_gpu() ? 0 : info.vocab_size * kTokenizerBytesByToken;
  MemoryCost cost;
  cost.shared_weights = static_cast<uint64_t>(info.num_layers * layer.bytes(held) +
                                              info.max_positions * info.hidden_size * kFloat + tokenizer) +
                        static_cast<uint64_t>(table);
  const int64_t tokens = max_batch_tokens.value_or(EmbedOptions::default_max_batch_tokens(device));
  cost.workspace =
      encoding_bytes(std::max(tokens, info.max_seq_length), info.hidden_size, info.intermediate_size, held);
  cost.loading = held.on_gpu() ? gpu_loading_bytes(layer, info.vocab_size, held)
                               : static_cast<uint64_t>(layer.loading_bytes(held));
  return cost;
}

MemoryCost estimate_memory(const SummarizationModelInfo& info, Precision precision,
                           std::optional<int64_t> max_batch_tokens, DeviceKind device) {
  const Held held{precision_on(device, precision), device};
  const int64_t hidden = info.hidden_size;
  const Layer encoder{hidden, info.encoder_intermediate_size};
  const Layer decoder{hidden, info.decoder_intermediate_size, 2};
  const Product output{info.vocab_size, hidden};
  const int64_t tables = held.on_gpu() ? vocabulary_tables(info, encoder, decoder) : 1;
  const int64_t tokenizer = held.on_gpu() ? 0 : info.vocab_size * kTokenizerBytesByToken;
  MemoryCost cost;
  cost.shared_weights =
      static_cast<uint64_t>(info.encoder_layers * encoder.bytes(held) + info.decoder_layers * decoder.bytes(held) +
                            tables * output.bytes(held) + 2 * info.max_positions * hidden * kFloat + tokenizer);
  const DefaultDocument document(info);
  const models::BartMemory memory(configuration_of(info), held.precision, device);
  cost.sequence = memory.cache({.max_rows = 1, .max_positions = document.limits.max_positions});
  const uint64_t kept = models::workspace_block(memory.cross_attention(document.window)) +
                        models::workspace_block(memory.cache(document.limits));
  const int64_t rows = document.limits.max_rows;
  cost.document = held.on_gpu() ? kept + memory.step(rows) + memory.logits(rows)
                                : kept + std::max(memory.encode_blocks(document.window), memory.step_blocks(rows));
  // Documents are encoded side by side up to a number of tokens, then decoded together.
  const int64_t tokens = max_batch_tokens.value_or(SummarizeOptions::default_max_batch_tokens(device));
  const int64_t documents = tokens == 0 ? 0 : std::max<int64_t>(1, tokens / document.tokens());
  const int64_t encoded = std::max(info.window, std::min(documents * info.window, memory.encode_tokens()));
  const int64_t all_rows = documents * rows;
  if (held.on_gpu()) {
    // A pool, which has room for a step where documents were encoded.
    cost.workspace = static_cast<uint64_t>(documents) * kept +
                     std::max<uint64_t>(memory.encode(encoded), memory.step(all_rows) + memory.logits(all_rows));
    cost.loading = std::max(gpu_loading_bytes(encoder, info.vocab_size, held), gpu_step_trial_bytes(output, held));
    return cost;
  }
  cost.workspace =
      static_cast<uint64_t>(documents) * kept +
      models::workspaces_in_turn({memory.encode(encoded), memory.prepared_encode(encoded)},
                                 {memory.logits(all_rows), memory.step(all_rows), memory.prepared_step(all_rows)});
  cost.loading = static_cast<uint64_t>(
      std::max({encoder.loading_bytes(held), decoder.loading_bytes(held), output.loading_bytes(held)}));
  return cost;
}

}  // namespace remuda
