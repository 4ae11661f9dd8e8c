// Sentence embeddings from Hugging Face model directories.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "remuda/memory_cost.h"
#include "remuda/model_manager.h"

namespace remuda {

struct EmbeddingModel;  // Tokenizer and weights: immutable, shared by all instances and managers of one
                        // model.

// A lease's content: the shared model and this instance's metadata. One thread may use an instance at a time.
class EmbeddingInstance : public ModelInstance {
 public:
  EmbeddingInstance(ModelMetadata metadata, std::shared_ptr<const EmbeddingModel> model);
  const EmbeddingModel& model() const { return *model_; }

 private:
  std::shared_ptr<const EmbeddingModel> model_;
};

struct EmbedOptions {
  // Put before every text. One of the model's named prompts, or, where `prompt` is set, this text itself. The
  // model's default prompt is used when neither is given. "query" and "document" are empty where the model has none.
  std::optional<std::string> prompt_name = std::nullopt;
  std::optional<std::string> prompt = std::nullopt;
  // Tokens a text is cut at, special tokens included; none: the model's own max_seq_length.
  std::optional<int64_t> max_length = std::nullopt;
  // Tokens computed at once, other calls' included; a longer text is computed alone. Bounds the workspace, never
  // changes a result. None: default_max_batch_tokens() of the device; on a GPU instances that are in use share them,
  // and where it has no memory for that it is done in parts.
  std::optional<int64_t> max_batch_tokens = std::nullopt;
  // What a CPU's caches hold; what keeps a GPU busy.
  static constexpr int64_t default_max_batch_tokens(DeviceKind device) {
    return device == DeviceKind::kGpu ? 8192 : 512;
  }
  // Whether the vectors of the tokens are wanted, too; on a CPU alone.
  bool token_vectors = false;
  // How long to wait for an instance, or for a place in a batch of other calls; not for a call with an instance.
  std::optional<std::chrono::nanoseconds> timeout = std::nullopt;
  // Looked at between batches, and every few milliseconds while the call waits, on the calling thread; true ends the
  // call with Error(kCancelled).
  std::function<bool()> cancelled = nullptr;
  // The same from any thread: request_stop() wakes a call that waits, which costs nothing meanwhile.
  std::stop_token stop = {};
  // Among calls that wait; not for a call with an instance.
  Priority priority = Priority::kNormal;
};

// Row i of `values` belongs to text i.
struct Embeddings {
  int64_t dimension = 0;
  std::vector<float> values;         // [texts, dimension], row-major.
  std::vector<int64_t> tokens;       // Tokens that each text has, special tokens included.
  std::vector<int64_t> used_tokens;  // How many of them were used.
  int64_t invalid_sequences = 0;     // Malformed UTF-8 sequences in all texts, read as U+FFFD.
  // Where EmbedOptions::token_vectors asked for them: a text's vectors of its used tokens, special tokens and prompt
  // included, as the last module leaves them; [used_tokens, token_dimension], row-major.
  std::vector<std::vector<float>> token_values;
  int64_t token_dimension = 0;

  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
  std::span<const float> row(int64_t i) const {
    return std::span(values).subspan(static_cast<size_t>(i * dimension), static_cast<size_t>(dimension));
  }
  bool truncated(int64_t i) const { return used_tokens[i] < tokens[i]; }
};

// What a model is and costs, known from its files.
struct EmbeddingModelInfo {
  std::string name;  // As asked for.
  std::string directory;
  std::string architecture;  // config.json's model_type: "bert", "xlm-roberta", ...
  int64_t dimension = 0;
  int64_t max_seq_length = 0;  // Where texts are cut by default.
  int64_t max_positions = 0;   // Rows of the position table.
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t vocab_size = 0;
  int64_t parameters = 0;
  uint64_t file_bytes = 0;
  std::vector<std::string> files;
  std::vector<std::string> modules;  // "transformer", "pooling(mean)", "normalize"
  std::vector<std::string> prompts;  // Names; "query" and "document" are always among them.
  std::string similarity;            // How vectors are compared: "cosine", "dot", "euclidean" or "manhattan".
  std::map<std::string, std::string> prompt_texts;
  std::string default_prompt_name;  // Empty: none.
  int64_t longest_text = 0;         // The most tokens that a text can be cut at.
};

// The same text gives the same bytes: alone, in any batch, in any order, on any instance, with any number of
// threads.
class EmbeddingModelManager : public AbstractModelManager<EmbeddingInstance> {
 public:
  // Resolves settings.embedding_model and reads its configuration; weights are loaded with the first
  // instance. Throws Error: kNotFound, kInvalidFile, kUnsupported, kInvalidArgument.
  explicit EmbeddingModelManager(const Settings& settings = get_settings());
  ~EmbeddingModelManager() override;

  std::string model_name() const override;
  std::string model_type() const override;  // "embedding"
  std::string get_device() const override;
  // On get_device(); never kAuto. Throws as that does.
  Precision precision() const;

  const EmbeddingModelInfo& info() const;
  int64_t dimension() const { return info().dimension; }

  // On a leased instance, joined with nobody.
  std::vector<float> embed_text(std::string_view text, EmbeddingInstance& instance,
                                const EmbedOptions& options = {}) const;
  Embeddings embed_texts(std::span<const std::string> texts, EmbeddingInstance& instance,
                         const EmbedOptions& options = {}) const;

  // Without an instance the call leases one and computes on the calling thread. Under load calls of different threads
  // are computed together: the highest priority first, within one first come, first served; a call with more texts than
  // a batch holds waits behind the others again after each of its batches. What happens to one (an error, cancellation)
  // concerns no other. Throws Error(kInvalidArgument) for options that the model can't follow, TimeoutError,
  // PoolClosed, Error(kCancelled), and whatever making an instance throws.
  std::vector<float> embed_text(std::string_view text, const EmbedOptions& options = {});
  Embeddings embed_texts(std::span<const std::string> texts, const EmbedOptions& options = {});

  // The same without waiting, joined as those calls are. The future gets the result or what the call would have thrown;
  // PoolClosed once the manager is closed or destroyed. options.cancelled is called on a thread of the manager's, which
  // it must not hold up; so is what makes a future ready.
  std::future<Embeddings> submit(std::vector<std::string> texts, EmbedOptions options = {});

  // Final, as AbstractModelManager says; calls that wait to be computed get PoolClosed.
  void close() override;

 private:
  struct Impl;

  std::unique_ptr<EmbeddingInstance> make_instance() override;

  std::unique_ptr<Impl> impl_;
};

// Reads a model's files without loading its weights. Throws as the manager's constructor does.
EmbeddingModelInfo inspect_embedding_model(const std::string& name);

// At what the device makes of a precision (precision_on()), for calls with such a max_batch_tokens.
MemoryCost estimate_memory(const EmbeddingModelInfo& info, Precision precision,
                           std::optional<int64_t> max_batch_tokens = std::nullopt,
                           DeviceKind device = DeviceKind::kCpu);

}  // namespace remuda
