#include "remuda/embedding_model_manager.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>

#include "base/fail.h"
#include "hub/resolve.h"
#include "manager/batcher.h"
#include "manager/embedding_batch.h"
#include "manager/embedding_model.h"
#include "manager/embedding_model_info.h"
#include "manager/shared_model.h"
#include "models/gpu_shapes.h"

namespace remuda {
namespace {

using ModelPointer = std::shared_ptr<const EmbeddingModel>;

// A leased instance that computes batches of many calls' texts.
class EmbeddingSession : public BatchSession {
 public:
  EmbeddingSession(Lease<EmbeddingInstance> lease, std::function<int64_t()> default_tokens, ComputePool& pool)
      : lease_(std::move(lease)), batch_(lease_->model(), std::move(default_tokens), pool) {}

  void take(RequestQueue& queue, Requests&) override { batch_.take(queue); }
  void step() noexcept override { batch_.step(); }
  void settle(Requests& changed) override { batch_.settle(changed); }
  // Between steps it has none of anybody's.
  void drop_ended(Requests&) override {}
  bool is_idle() const override { return batch_.is_idle(); }
  bool works_for(const BatchCaller&) const override { return false; }
  std::exception_ptr place_error() const override { return batch_.place_error(); }
  Requests take_back() override { return batch_.take_back(); }
  void discard() override { lease_.discard(); }

 private:
  SessionLease<EmbeddingInstance> lease_;
  EmbeddingBatch batch_;
};

}  // namespace

EmbeddingInstance::EmbeddingInstance(ModelMetadata metadata, std::shared_ptr<const EmbeddingModel> model)
    : ModelInstance(std::move(metadata)), model_(std::move(model)) {}

struct EmbeddingModelManager::Impl {
  Impl(EmbeddingModelManager& manager, const Settings& given)
      : settings(given),
        model(given, manager.managed_pool(), manager.fallbacks(),
              {.directory = hub::resolve_model(given.embedding_model),
               .name = given.embedding_model,
               .kind = cuda::kComputesEncoders,
               .cost = [this](DeviceKind kind, Precision precision) { return cost(kind, precision); },
               .load = [this](const std::string& device, Precision precision) { return load(device, precision); },
               .load_tokenizer = [this] { return load_tokenizer(directory); }}),
        directory(io::read_model_directory(model.directory())),
        info(describe(given.embedding_model, directory)),
        compute(compute_pool(given)),
        batcher({.name = given.embedding_model,
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
    model.exclude_gpus(models::gpu_shape_problem(directory));
  }

  std::unique_ptr<BatchSession> open(EmbeddingModelManager& manager, const SessionTerms& terms) const {
    return make_session(manager, manager.acquire(acquire_options(terms)));
  }

  std::unique_ptr<BatchSession> try_open(EmbeddingModelManager& manager) const {
    std::optional<Lease<EmbeddingInstance>> lease = manager.try_acquire();
    return lease ? make_session(manager, std::move(*lease)) : nullptr;
  }

  std::unique_ptr<BatchSession> make_session(const EmbeddingModelManager& manager,
                                             Lease<EmbeddingInstance> lease) const {
    auto tokens = default_tokens(manager, lease->metadata().device);
    return std::make_unique<EmbeddingSession>(std::move(lease), std::move(tokens), compute);
  }

  // What keeps a GPU busy its instances compute together, so that several take no more memory than one.
  static std::function<int64_t()> default_tokens(const EmbeddingModelManager& manager, const std::string& device) {
    const int64_t all = EmbedOptions::default_max_batch_tokens(kind_of(device));
    if (kind_of(device) == DeviceKind::kCpu) return [all] { return all; };
    return [pool = manager.managed_pool(), all] {
      const std::optional<PoolStats> stats = pool->stats();
      return std::max(kLeastBatch, all / std::max<int64_t>(1, stats ? stats->in_use : 1));
    };
  }

  // Tokens first, on the caller's thread: a text that can't be used never holds an instance.
  std::shared_ptr<EmbeddingRequest> make_request(std::span<const std::string> texts, const EmbedOptions& options) {
    std::shared_ptr<const text::Tokenizer> tokenizer = model.tokenizer();
    TokenizedTexts tokenized = tokenize(texts, *tokenizer, options);
    return std::make_shared<EmbeddingRequest>(std::move(tokenizer), std::move(tokenized), options, info.dimension);
  }

  // Of a GPU's place: what has no memory for more computes so much at once.
  static constexpr int64_t kLeastBatch = EmbedOptions::default_max_batch_tokens(DeviceKind::kCpu);

  MemoryCost cost(DeviceKind kind, Precision precision) const {
    MemoryCost cost = estimate_memory(info, precision, kLeastBatch, kind);
    if (kind == DeviceKind::kCpu && model.cache(settings, info.file_bytes, precision).has_file()) cost.loading = 0;
    return cost;
  }

  ModelPointer load(const std::string& device, Precision precision) const {
    return std::make_shared<const EmbeddingModel>(directory, device, precision, compute,
                                                  model.cache(settings, info.file_bytes, precision));
  }

  std::string prompt(const EmbedOptions& options) const {
    const io::EmbeddingPipeline& pipeline = directory.pipeline;
    if (options.prompt) return *options.prompt;
    const std::string& name = options.prompt_name ? *options.prompt_name : pipeline.default_prompt_name;
    if (name.empty()) return {};
    const auto found = pipeline.prompts.find(name);
    if (found == pipeline.prompts.end()) {
      if (name == "query" || name == "document") return {};  // sentence-transformers has these two for every model.
      fail(ErrorCode::kInvalidArgument, "prompt_name: {} knows the prompts [{}], found \"{}\"", info.name,
           fmt::join(info.prompts, ", "), name);
    }
    return found->second;
  }

  int64_t max_length(const EmbedOptions& options) const {
    if (!options.max_length) return info.max_seq_length;
    const int64_t most = directory.encoder.max_sequence_length();
    constexpr int64_t kLeast = 3;  // Two special tokens and one of the text.
    if (*options.max_length < kLeast || *options.max_length > most) {
      fail(ErrorCode::kInvalidArgument, "max_length: {} can be cut at {} to {} tokens, found {}", info.name, kLeast,
           most, *options.max_length);
    }
    return *options.max_length;
  }

  TokenizedTexts tokenize(std::span<const std::string> texts, const text::Tokenizer& with,
                          const EmbedOptions& options) const {
    if (options.max_batch_tokens.value_or(1) < 1) {
      fail(ErrorCode::kInvalidArgument, "max_batch_tokens: expected at least 1, or none for the default, found {}",
           *options.max_batch_tokens);
    }
    const TokenizeOptions tokenizing = {
        .prompt = prompt(options), .max_length = max_length(options), .vocab_size = directory.encoder.vocab_size};
    return tokenize_texts(with, texts, tokenizing, compute);
  }

  const Settings settings;
  SharedModel<EmbeddingModel> model;
  const io::ModelDirectory directory;
  const EmbeddingModelInfo info;
  ComputePool& compute;
  Batcher batcher;
};

EmbeddingModelManager::EmbeddingModelManager(const Settings& settings)
    : AbstractModelManager(settings, settings.embedding_model) {
  settings.validate();
  impl_ = std::make_unique<Impl>(*this, settings);
}

EmbeddingModelManager::~EmbeddingModelManager() { EmbeddingModelManager::close(); }

void EmbeddingModelManager::close() {
  AbstractModelManager::close();
  impl_->batcher.close();
}

std::string EmbeddingModelManager::model_name() const { return impl_->info.name; }

std::string EmbeddingModelManager::model_type() const { return "embedding"; }

std::string EmbeddingModelManager::get_device() const { return impl_->model.device(); }

Precision EmbeddingModelManager::precision() const { return impl_->model.precision(); }

const EmbeddingModelInfo& EmbeddingModelManager::info() const { return impl_->info; }

std::unique_ptr<EmbeddingInstance> EmbeddingModelManager::make_instance() {
  const auto start = std::chrono::steady_clock::now();
  auto [model, device, precision, bytes, has_better_place] = impl_->model.get_for_instance();
  ModelMetadata metadata = describe_instance(model_name(), model_type(), std::move(device), precision, bytes, start);
  auto instance = std::make_unique<EmbeddingInstance>(std::move(metadata), std::move(model));
  instance->move_when(std::move(has_better_place));
  return instance;
}

Embeddings EmbeddingModelManager::embed_texts(std::span<const std::string> texts, EmbeddingInstance& instance,
                                              const EmbedOptions& options) const {
  const EmbeddingModel& model = instance.model();
  TokenizedTexts tokenized = impl_->tokenize(texts, *model.tokenizer, options);
  try {
    return embed_tokenized(model, std::move(tokenized), options,
                           Impl::default_tokens(*this, instance.metadata().device), impl_->compute);
  } catch (const DeviceError&) {
    instance.mark_failed();
    impl_->model.leave_failed(std::current_exception());
    throw;
  }
}

Embeddings EmbeddingModelManager::embed_texts(std::span<const std::string> texts, const EmbedOptions& options) {
  const std::shared_ptr<EmbeddingRequest> request = impl_->make_request(texts, options);
  impl_->batcher.run(request);
  return request->take_result();
}

std::future<Embeddings> EmbeddingModelManager::submit(std::vector<std::string> texts, EmbedOptions options) {
  const Deadline deadline = Deadline::after(options.timeout);
  auto make = [this, deadline, texts = std::move(texts), options = std::move(options)]() mutable {
    options.timeout = deadline.left();
    return impl_->make_request(texts, options);
  };
  return remuda::submit<Embeddings>(impl_->batcher, std::move(make), [](BatchRequest& request) {
    return static_cast<EmbeddingRequest&>(request).take_result();
  });
}

std::vector<float> EmbeddingModelManager::embed_text(std::string_view text, EmbeddingInstance& instance,
                                                     const EmbedOptions& options) const {
  const std::string copy(text);
  return embed_texts({&copy, 1}, instance, options).values;
}

std::vector<float> EmbeddingModelManager::embed_text(std::string_view text, const EmbedOptions& options) {
  const std::string copy(text);
  return embed_texts({&copy, 1}, options).values;
}

}  // namespace remuda
