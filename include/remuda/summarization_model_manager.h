// Abstractive summaries from Hugging Face BART directories.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "remuda/generation_options.h"
#include "remuda/memory_cost.h"
#include "remuda/model_manager.h"

namespace remuda {

struct SummarizationModel;  // Tokenizer, weights and generation defaults: immutable, shared by all instances.

// A lease's content: the shared model and this instance's metadata. One thread may use an instance at a time.
class SummarizationInstance : public ModelInstance {
 public:
  SummarizationInstance(ModelMetadata metadata, std::shared_ptr<const SummarizationModel> model);
  const SummarizationModel& model() const { return *model_; }

 private:
  std::shared_ptr<const SummarizationModel> model_;
};

struct SummarizeOptions {
  // What is unset is as the checkpoint says, else as transformers' `generate` has it.
  GenerationOptions generation = {};
  // Tokens a document is cut at, special tokens included; none: the model's window.
  std::optional<int64_t> max_input_tokens = std::nullopt;
  // Bounds the documents that are decoded at once, other calls' included: the sum of their tokens and of the positions
  // of their caches. A document beyond it is decoded alone. Changes no result. None: default_max_batch_tokens() of the
  // device that they are decoded on, and on a GPU no more than an instance's share of its memory holds.
  std::optional<int64_t> max_batch_tokens = std::nullopt;
  // A CPU gains nothing by more; on a GPU a step takes about as long as the weights take to be read, for a few
  // documents as for many.
  static constexpr int64_t default_max_batch_tokens(DeviceKind device) {
    return device == DeviceKind::kGpu ? 65536 : 8192;
  }
  // For the whole call: waiting for an instance, where it leases one, and generating.
  std::optional<std::chrono::nanoseconds> timeout = std::nullopt;
  // Looked at before every step, and every few milliseconds while the call waits, on the calling thread; true ends the
  // call.
  std::function<bool()> cancelled = nullptr;
  // The same from any thread: request_stop() wakes a call that waits, which costs nothing meanwhile.
  std::stop_token stop = {};
  // What a call returns that runs out of time or is cancelled. False: TimeoutError or Error(kCancelled); true: the
  // summaries as far as they are, empty where nothing was begun, with `complete` false where one is not.
  bool partial = false;
  // Given the text of document i as it is settled, in order, on the calling thread: what is given together is the
  // document's summary. Greedy search and sampling settle every token as it is chosen, beam search what all beams
  // share. Of a document that is decoded again, because a GPU failed it, nothing is given twice; where the new summary
  // is not what was given and more, the call ends with the GPU's error.
  std::function<void(int64_t document, std::string_view text)> on_text = nullptr;
  // Among calls that wait; not for a call with an instance.
  Priority priority = Priority::kNormal;
};

// What a search found.
struct GeneratedText {
  std::string text;      // Without special tokens.
  TokenIds ids;          // As `generate` returns them: start token first, end token last, no padding.
  double score = 0;      // Beams: transformers' sequences_scores; else the sum of the log-probabilities.
  bool complete = true;  // False where the call ended before it did.
};

struct Summary {
  GeneratedText best;
  std::vector<GeneratedText> others;  // The rest of num_return_sequences.
  int64_t input_tokens = 0;           // That the document has, special tokens included.
  int64_t used_tokens = 0;            // How many of them the model read.
  int64_t invalid_sequences = 0;      // Malformed UTF-8 in the document, read as U+FFFD.

  bool truncated() const { return used_tokens < input_tokens; }
  int64_t output_tokens() const { return static_cast<int64_t>(best.ids.size()); }
};

struct LongOptions {
  // Tokens of a part at most, special tokens included; none: max_input_tokens of SummarizeOptions.
  std::optional<int64_t> part_tokens = std::nullopt;
  // Tokens of the end of a part that the next one reads again, at most; whole sentences, so it may be less.
  std::optional<int64_t> overlap_tokens = std::nullopt;  // None: a sixteenth of a part.
};

// A piece of a long document, as bytes [begin, end) of its text.
struct DocumentPart {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t tokens = 0;  // Special tokens included.
  std::string summary;
};

struct LongSummary {
  Summary summary;  // input_tokens are the whole text's, in one piece; never truncated.
  // Coverage: in order; together they cover every byte of the text. One where the document fits the window.
  std::vector<DocumentPart> parts;
  // How often summaries were summarised again: 0 where there was one part.
  int64_t merges = 0;
  // Whether one search wrote the summary. False where merging made no progress, since summaries were as long as what
  // they were of: then the summary is all parts' summaries, one after the other.
  bool merged = true;
};

// What a model is, known from its files.
struct SummarizationModelInfo {
  std::string name;  // As asked for.
  std::string directory;
  std::string architecture;  // "bart"
  int64_t window = 0;        // Tokens of a document at most.
  int64_t max_positions = 0;
  int64_t encoder_layers = 0;
  int64_t decoder_layers = 0;
  int64_t encoder_heads = 0;
  int64_t decoder_heads = 0;
  int64_t hidden_size = 0;
  int64_t encoder_intermediate_size = 0;
  int64_t decoder_intermediate_size = 0;
  int64_t vocab_size = 0;
  int64_t parameters = 0;
  uint64_t file_bytes = 0;
  std::vector<std::string> files;
  GenerationOptions generation;  // The checkpoint's defaults.
};

// A document gives the same ids whatever is decoded beside it, on any instance, with any number of threads; in fp32
// those that transformers' `generate` gives.
class SummarizationModelManager : public AbstractModelManager<SummarizationInstance> {
 public:
  // Resolves settings.summarization_model and reads its configuration; weights are loaded with the first instance.
  // Throws Error: kNotFound, kInvalidFile, kUnsupported, kInvalidArgument.
  explicit SummarizationModelManager(const Settings& settings = get_settings());
  ~SummarizationModelManager() override;

  std::string model_name() const override;
  std::string model_type() const override;  // "summarization"
  std::string get_device() const override;
  // On get_device(); never kAuto. Throws as that does.
  Precision precision() const;
  const SummarizationModelInfo& info() const;

  // With an instance: on that one. Without: the call leases one and computes on the calling thread, or its documents
  // join those that another call decodes; calls that wait join the highest priority first, within one a document of
  // each in turn. What happens to one call (an error, cancellation, a callback that throws) concerns no other.
  // Documents of a call are decoded together. An empty document, or one of white space alone, has an empty summary,
  // whatever a model would make up for it. Throws Error(kInvalidArgument) for options that contradict each other or the
  // model, and for a document with a token that the model has no row for, before anything is computed; the same, naming
  // the document, where the model's logits are no numbers; OutOfMemory with the figures where one document alone would
  // not fit the memory limit; TimeoutError, PoolClosed, Error(kCancelled).
  std::vector<Summary> summarize(std::span<const std::string> texts, SummarizationInstance& instance,
                                 const SummarizeOptions& options = {}) const;
  std::vector<Summary> summarize(std::span<const std::string> texts, const SummarizeOptions& options = {});

  // The same without waiting, joined as calls without an instance are. The future gets the result or what the call
  // would have thrown; PoolClosed once the manager is closed or destroyed. options.cancelled and options.on_text are
  // called on a thread of the manager's, which they must not hold up; so is what makes a future ready.
  std::future<std::vector<Summary>> submit(std::vector<std::string> texts, SummarizeOptions options = {});

  // Texts alone.
  std::string summarize_text(std::string_view text, SummarizationInstance& instance,
                             const SummarizeOptions& options = {}) const;
  std::string summarize_text(std::string_view text, const SummarizeOptions& options = {});
  std::vector<std::string> summarize_texts(std::span<const std::string> texts, const SummarizeOptions& options = {});

  // A document of any length: split at the ends of paragraphs and sentences into parts that the model reads whole, the
  // parts summarised together, and their summaries summarised, as often as it takes. on_text gets the last summary's
  // text; partial does not apply: a call that ends early throws. Without an instance the parts join other calls'
  // documents as those of summarize(); Overloaded only before the first ones do.
  LongSummary summarize_long(std::string_view text, SummarizationInstance& instance,
                             const SummarizeOptions& options = {}, const LongOptions& how = {}) const;
  LongSummary summarize_long(std::string_view text, const SummarizeOptions& options = {}, const LongOptions& how = {});

  // Final, as AbstractModelManager says; calls that wait to be computed get PoolClosed.
  void close() override;

 private:
  struct Impl;

  std::unique_ptr<SummarizationInstance> make_instance() override;

  std::unique_ptr<Impl> impl_;
};

// Reads a model's files without loading its weights; `task_params` as in Settings. Throws as the manager's constructor
// does, and what a call without options would throw for these files.
SummarizationModelInfo inspect_summarization_model(const std::string& name, bool task_params = false);

// At what the device makes of a precision (precision_on()): weights, and the workspace of a call that decodes
// max_batch_tokens at once; none: SummarizeOptions::default_max_batch_tokens().
MemoryCost estimate_memory(const SummarizationModelInfo& info, Precision precision,
                           std::optional<int64_t> max_batch_tokens = std::nullopt,
                           DeviceKind device = DeviceKind::kCpu);

}  // namespace remuda
