#include "remuda/summarization_model_manager.h"

#include <fmt/format.h>

#include <chrono>
#include <mutex>
#include <set>
#include <utility>

#include "base/fail.h"
#include "base/log.h"
#include "hub/resolve.h"
#include "manager/batcher.h"
#include "manager/long_document.h"
#include "manager/model_files.h"
#include "manager/shared_model.h"
#include "manager/summarization_batch.h"
#include "manager/summarization_model.h"
#include "models/bart_weights.h"
#include "models/gpu_shapes.h"

namespace remuda {
namespace {

using ModelPointer = std::shared_ptr<const SummarizationModel>;

// A leased instance that decodes many calls' documents together.
class SummarizationSession : public BatchSession {
 public:
  SummarizationSession(Lease<SummarizationInstance> lease, int64_t sharers)
      : lease_(std::move(lease)), batch_(lease_->model(), {lease_->metadata().device, sharers}) {}

  void take(RequestQueue& queue, Requests& changed) override { batch_.take(queue, changed); }
  void step() noexcept override { batch_.step(); }
  void settle(Requests& changed) override { batch_.settle(changed); }
  void drop_ended(Requests& changed) override { batch_.drop_ended(changed); }
  bool is_idle() const override { return batch_.is_idle(); }
  bool works_for(const BatchCaller& caller) const override {
    return batch_.has_request([&caller](const BatchRequest& request) { return request.is_of(caller); });
  }
  std::exception_ptr place_error() const override { return batch_.place_error(); }
  Requests take_back() override { return batch_.take_back(); }
  void discard() override { lease_.discard(); }

 private:
  SessionLease<SummarizationInstance> lease_;
  SummarizationBatch batch_;
};

// Part of the window that neighbouring parts of a long document share, unless the caller says how much.
constexpr int64_t kOverlapShare = 16;

// What errors call a text.
constexpr const char* kDocument = "document";
constexpr const char* kPart = "part";

// Different warnings that a manager keeps in mind.
constexpr size_t kMostWarnings = 64;

SummarizationModelInfo describe(const std::string& name, const models::BartDirectory& directory) {
  const io::BartConfig& config = directory.config;
  SummarizationModelInfo info;
  info.name = name;
  info.directory = directory.path.string();
  info.architecture = "bart";
  info.window = directory.window;
  info.max_positions = config.max_position_embeddings;
  info.encoder_layers = config.encoder_layers;
  info.decoder_layers = config.decoder_layers;
  info.encoder_heads = config.encoder_attention_heads;
  info.decoder_heads = config.decoder_attention_heads;
  info.hidden_size = config.d_model;
  info.encoder_intermediate_size = config.encoder_ffn_dim;
  info.decoder_intermediate_size = config.decoder_ffn_dim;
  info.vocab_size = config.vocab_size;
  describe_files(io::Checkpoint::open(directory.path), info);
  info.generation = directory.generation.options;
  return info;
}

void check_range(const char* name, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return;
  fail(ErrorCode::kInvalidArgument, "{}: expected {} to {}, found {}", name, least, most, value);
}

// One after the other, as sentences of one text.
std::string join(const std::vector<Summary>& summaries) {
  std::string text;
  for (const Summary& summary : summaries) {
    if (summary.best.text.empty()) continue;
    if (!text.empty()) text += ' ';
    text += summary.best.text;
  }
  return text;
}

// The parts' summaries as they are, where none can be made of them.
Summary concatenate(const std::vector<Summary>& summaries) {
  Summary all;
  all.best.text = join(summaries);
  for (const Summary& summary : summaries) {
    all.best.ids.insert(all.best.ids.end(), summary.best.ids.begin(), summary.best.ids.end());
    all.best.score += summary.best.score;
  }
  return all;
}

}  // namespace

SummarizationInstance::SummarizationInstance(ModelMetadata metadata, std::shared_ptr<const SummarizationModel> model)
    : ModelInstance(std::move(metadata)), model_(std::move(model)) {}

struct SummarizationModelManager::Impl {
  // A call's options, checked, before it has an instance.
  struct Call {
    std::shared_ptr<const GenerationPlan> plan;
    int64_t max_tokens;  // Of a document.
    Deadline deadline;
  };

  // The same for the parts of a long document.
  struct LongCall {
    Call call;
    SplitOptions split;
  };

  Impl(SummarizationModelManager& manager, const Settings& given)
      : settings(given),
        model(given, manager.managed_pool(), manager.fallbacks(),
              {.directory = hub::resolve_model(given.summarization_model),
               .name = given.summarization_model,
               .kind = cuda::kComputesBart,
               .cost = [this](DeviceKind kind, Precision precision) { return cost(kind, precision); },
               .load = [this](const std::string& device, Precision precision) { return load(device, precision); },
               .load_tokenizer = [this] { return load_tokenizer(directory); }}),
        directory(models::read_bart_directory(model.directory(), given.task_params)),
        info(describe(given.summarization_model, directory)),
        compute(compute_pool(given)),
        batcher({.name = given.summarization_model,
                 .max_sessions = sessions_for(compute.threads()),
                 .max_waiting = given.max_waiting,
                 .open = [this, &manager](const SessionTerms& terms) { return open(manager, terms); },
                 .try_open = [this, &manager] { return try_open(manager); },
                 .pool_waiting = [&manager] { return manager.waiting(); },
                 .on_overload = [&manager] { manager.count_overload(kJoinedCalls); },
                 .recovery = [this](const std::exception_ptr& error) { return model.recovery(error); },
                 .on_recovery =
                     [this, &manager](Recovery recovery, int64_t calls, const std::exception_ptr& error) {
                       if (recovery == Recovery::kMove) manager.count_moved(calls);
                       if (recovery == Recovery::kWait) manager.count_room_waits(calls);
                       model.recover(recovery, calls, error);
                     }}) {
    model.exclude_gpus(models::gpu_shape_problem(directory.config));
  }

  std::unique_ptr<BatchSession> open(SummarizationModelManager& manager, const SessionTerms& terms) const {
    return std::make_unique<SummarizationSession>(manager.acquire(acquire_options(terms)),
                                                  settings.model_pool_max_instances);
  }

  std::unique_ptr<BatchSession> try_open(SummarizationModelManager& manager) const {
    std::optional<Lease<SummarizationInstance>> lease = manager.try_acquire();
    return lease ? std::make_unique<SummarizationSession>(std::move(*lease), settings.model_pool_max_instances)
                 : nullptr;
  }

  // Tokens first, on the caller's thread: a text that can't be used never holds an instance.
  std::shared_ptr<SummarizationRequest> make_request(std::span<const std::string> texts,
                                                     const SummarizeOptions& options) {
    const Call call = check(options);
    return make_request(model.tokenizer(), texts, call, options, kDocument);
  }

  std::shared_ptr<SummarizationRequest> make_request(std::shared_ptr<const text::Tokenizer> tokenizer,
                                                     std::span<const std::string> texts, const Call& call,
                                                     const SummarizeOptions& options, const char* what) const {
    std::vector<TokenizedDocument> documents =
        tokenize_documents(*tokenizer, texts, reading_options(call, what), compute);
    return std::make_shared<SummarizationRequest>(std::move(tokenizer), std::move(documents), call.plan, options,
                                                  call.deadline);
  }

  ReadingOptions reading_options(const Call& call, const char* what) const {
    return {.max_tokens = call.max_tokens,
            .vocab_size = directory.config.vocab_size,
            .prefix = directory.prefix,
            .what = what};
  }

  MemoryCost cost(DeviceKind kind, Precision precision) const {
    constexpr int64_t kNoDocument = 0;  // What documents take depends on them.
    MemoryCost cost = estimate_memory(info, precision, kNoDocument, kind);
    if (kind == DeviceKind::kCpu && model.cache(settings, info.file_bytes, precision).has_file()) cost.loading = 0;
    return cost;
  }

  ModelPointer load(const std::string& device, Precision precision) const {
    return std::make_shared<const SummarizationModel>(directory, device, precision, compute,
                                                      model.cache(settings, info.file_bytes, precision));
  }

  Call check(const SummarizeOptions& options) const {
    const Deadline deadline = Deadline::after(options.timeout);
    const int64_t max_tokens = options.max_input_tokens.value_or(info.window);
    constexpr int64_t kLeast = 3;  // Two special tokens and one of the text.
    check_range("max_input_tokens", max_tokens, kLeast, info.max_positions);
    if (options.max_batch_tokens) check_range("max_batch_tokens", *options.max_batch_tokens, 1, INT64_MAX);
    std::shared_ptr<const GenerationPlan> plan = models::make_plan(directory, options.generation);
    warn(plan->warnings);
    return {std::move(plan), max_tokens, deadline};
  }

  // Each once, however many calls it is true of.
  void warn(const std::vector<std::string>& warnings) const {
    if (warnings.empty()) return;
    const std::lock_guard lock(warned_mutex);
    for (const std::string& warning : warnings) {
      if (warned.size() < kMostWarnings && warned.insert(warning).second) log::warning("{}", warning);
    }
  }

  LongCall check(const SummarizeOptions& options, const LongOptions& how) const {
    LongCall result{check(options), {}};
    constexpr int64_t kLeast = 4;  // Room for any character beside two special tokens, and for overlap.
    result.split.max_tokens = how.part_tokens.value_or(result.call.max_tokens);
    check_range("part_tokens", result.split.max_tokens, kLeast, info.max_positions);
    result.split.overlap_tokens = how.overlap_tokens.value_or(result.split.max_tokens / kOverlapShare);
    check_range("overlap_tokens", result.split.overlap_tokens, 0, result.split.max_tokens / 2);
    result.call.max_tokens = result.split.max_tokens;
    return result;
  }

  std::vector<Summary> summarize(SummarizationInstance& instance, std::span<const std::string> texts, const Call& call,
                                 const SummarizeOptions& options, const char* what) const {
    const SummarizationModel& loaded = instance.model();
    const SummarizationRun run{
        call.plan, options, call.deadline, {instance.metadata().device, settings.model_pool_max_instances}};
    std::vector<TokenizedDocument> documents =
        tokenize_documents(*loaded.tokenizer, texts, reading_options(call, what), compute);
    try {
      return summarize_documents(loaded, std::move(documents), run);
    } catch (const DeviceError&) {
      instance.mark_failed();
      model.leave_failed(std::current_exception());
      throw;
    }
  }

  // The summaries of a level's parts, in one request.
  using SummarizeParts =
      std::function<std::vector<Summary>(const std::vector<std::string>& parts, const SummarizeOptions& options)>;

  LongSummary summarize_long(std::string_view text, const text::Tokenizer& tokenizer, const LongCall& call,
                             const SummarizeOptions& given, const SummarizeParts& summarize_parts) const;

  const Settings settings;
  SharedModel<SummarizationModel> model;
  const models::BartDirectory directory;
  const SummarizationModelInfo info;
  ComputePool& compute;
  Batcher batcher;

  mutable std::mutex warned_mutex;
  mutable std::set<std::string> warned;
};

// Level by level: a text's parts, their summaries, which are the next level's text, until one part holds it all. A
// level that is not a quarter shorter than the one before is the last.
LongSummary SummarizationModelManager::Impl::summarize_long(std::string_view text, const text::Tokenizer& tokenizer,
                                                            const LongCall& call, const SummarizeOptions& given,
                                                            const SummarizeParts& summarize_parts) const {
  const std::function count = [&](std::string_view part) {
    throw_if_over(given, call.call.deadline);
    const bool has_prefix = !directory.prefix.empty();
    return tokenizer.encode(has_prefix ? directory.prefix + std::string(part) : part).total_tokens;
  };
  SummarizeOptions last = given;
  last.partial = false;
  SummarizeOptions inner = last;
  inner.on_text = nullptr;

  LongSummary result;
  // Not the sum of the parts', which share what they overlap by, and each have special tokens.
  result.summary.input_tokens = count(text);
  std::string level(text);
  for (int64_t level_tokens = INT64_MAX;; ++result.merges) {
    const std::vector<TextSpan> spans = split_text(level, call.split, count);
    std::vector<std::string> parts;
    int64_t tokens = 0;
    for (const TextSpan& span : spans) {
      parts.push_back(level.substr(static_cast<size_t>(span.begin), static_cast<size_t>(span.end - span.begin)));
      tokens += span.tokens;
    }
    const bool is_last = spans.size() == 1;
    std::vector<Summary> summaries = summarize_parts(parts, is_last ? last : inner);
    if (result.merges == 0) {
      for (size_t i = 0; i < spans.size(); ++i) {
        result.parts.push_back({spans[i].begin, spans[i].end, spans[i].tokens, summaries[i].best.text});
        result.summary.invalid_sequences += summaries[i].invalid_sequences;
      }
    }
    result.merged = is_last || tokens < level_tokens / 4 * 3;
    if (is_last || !result.merged) {
      Summary found = is_last ? std::move(summaries.front()) : concatenate(summaries);
      if (!is_last && given.on_text) given.on_text(0, found.best.text);
      result.summary.best = std::move(found.best);
      result.summary.others = std::move(found.others);
      result.summary.used_tokens = result.summary.input_tokens;
      return result;
    }
    level = join(summaries);
    level_tokens = tokens;
  }
}

SummarizationModelManager::SummarizationModelManager(const Settings& settings)
    : AbstractModelManager(settings, settings.summarization_model) {
  settings.validate();
  impl_ = std::make_unique<Impl>(*this, settings);
}

SummarizationModelManager::~SummarizationModelManager() { SummarizationModelManager::close(); }

void SummarizationModelManager::close() {
  AbstractModelManager::close();
  impl_->batcher.close();
}

std::string SummarizationModelManager::model_name() const { return impl_->settings.summarization_model; }
std::string SummarizationModelManager::model_type() const { return "summarization"; }
std::string SummarizationModelManager::get_device() const { return impl_->model.device(); }
Precision SummarizationModelManager::precision() const { return impl_->model.precision(); }
const SummarizationModelInfo& SummarizationModelManager::info() const { return impl_->info; }

std::unique_ptr<SummarizationInstance> SummarizationModelManager::make_instance() {
  const auto start = std::chrono::steady_clock::now();
  auto [model, device, precision, bytes, has_better_place] = impl_->model.get_for_instance();
  ModelMetadata metadata = describe_instance(model_name(), model_type(), std::move(device), precision, bytes, start);
  auto instance = std::make_unique<SummarizationInstance>(std::move(metadata), std::move(model));
  instance->move_when(std::move(has_better_place));
  return instance;
}

std::vector<Summary> SummarizationModelManager::summarize(std::span<const std::string> texts,
                                                          SummarizationInstance& instance,
                                                          const SummarizeOptions& options) const {
  return impl_->summarize(instance, texts, impl_->check(options), options, kDocument);
}

std::vector<Summary> SummarizationModelManager::summarize(std::span<const std::string> texts,
                                                          const SummarizeOptions& options) {
  const std::shared_ptr<SummarizationRequest> request = impl_->make_request(texts, options);
  impl_->batcher.run(request);
  return request->take_summaries();
}

std::future<std::vector<Summary>> SummarizationModelManager::submit(std::vector<std::string> texts,
                                                                    SummarizeOptions options) {
  const Deadline deadline = Deadline::after(options.timeout);
  auto make = [this, deadline, texts = std::move(texts), options = std::move(options)]() mutable {
    options.timeout = deadline.left();
    return impl_->make_request(texts, options);
  };
  return remuda::submit<std::vector<Summary>>(impl_->batcher, std::move(make), [](BatchRequest& request) {
    return static_cast<SummarizationRequest&>(request).take_summaries();
  });
}

std::string SummarizationModelManager::summarize_text(std::string_view text, SummarizationInstance& instance,
                                                      const SummarizeOptions& options) const {
  const std::string copy(text);
  return std::move(summarize({&copy, 1}, instance, options).front().best.text);
}

std::string SummarizationModelManager::summarize_text(std::string_view text, const SummarizeOptions& options) {
  const std::string copy(text);
  return std::move(summarize({&copy, 1}, options).front().best.text);
}

std::vector<std::string> SummarizationModelManager::summarize_texts(std::span<const std::string> texts,
                                                                    const SummarizeOptions& options) {
  std::vector<std::string> results;
  for (Summary& summary : summarize(texts, options)) results.push_back(std::move(summary.best.text));
  return results;
}

LongSummary SummarizationModelManager::summarize_long(std::string_view text, SummarizationInstance& instance,
                                                      const SummarizeOptions& options, const LongOptions& how) const {
  const text::Tokenizer& tokenizer = *instance.model().tokenizer;
  const Impl::LongCall call = impl_->check(options, how);
  return impl_->summarize_long(text, tokenizer, call, options, [&](const auto& parts, const auto& part_options) {
    return impl_->summarize(instance, parts, call.call, part_options, kPart);
  });
}

LongSummary SummarizationModelManager::summarize_long(std::string_view text, const SummarizeOptions& options,
                                                      const LongOptions& how) {
  const Impl::LongCall call = impl_->check(options, how);
  const std::shared_ptr<const text::Tokenizer> tokenizer = impl_->model.tokenizer();
  bool taken_in = false;
  return impl_->summarize_long(text, *tokenizer, call, options, [&](const auto& parts, const auto& part_options) {
    const std::shared_ptr<SummarizationRequest> request =
        impl_->make_request(tokenizer, parts, call.call, part_options, kPart);
    impl_->batcher.run(request, std::exchange(taken_in, true));
    return request->take_summaries();
  });
}

SummarizationModelInfo inspect_summarization_model(const std::string& name, bool task_params) {
  const models::BartDirectory directory = models::read_bart_directory(hub::resolve_model(name), task_params);
  SummarizationModelInfo info = describe(name, directory);
  models::make_plan(directory, {});
  models::check_tensors(directory.config, io::Checkpoint::open(directory.path));
  check_fit(*load_tokenizer(directory), directory);
  return info;
}

}  // namespace remuda
