#include "remuda/embedding_model_manager.h"

#include <fmt/format.h>

#include <chrono>

#include "base/fail.h"
#include "base/log.h"
#include "device/compute_pool.h"
#include "hub/resolve.h"
#include "manager/embedding_model.h"
#include "manager/embedding_model_info.h"
#include "manager/weight_store.h"

namespace remuda {
namespace {

constexpr std::string_view kDevice = "cpu";

using ModelPointer = std::shared_ptr<const EmbeddingModel>;

Precision cpu_precision(Precision asked) {
  if (asked == Precision::kAuto) return Precision::kFp32;
  if (asked == Precision::kFp16) {
    fail(ErrorCode::kUnsupported, "precision fp16 is for GPUs; on a CPU use fp32, bf16 or int8");
  }
  return asked;
}

ComputePool& configured_pool(const Settings& settings) {
  if (settings.compute_threads > 0) ComputePool::configure_global(static_cast<int>(settings.compute_threads));
  return ComputePool::global();
}

}  // namespace

EmbeddingInstance::EmbeddingInstance(ModelMetadata metadata, std::shared_ptr<const EmbeddingModel> model)
    : ModelInstance(std::move(metadata)), model_(std::move(model)) {}

struct EmbeddingModelManager::Impl {
  explicit Impl(const Settings& given)
      : settings(given),
        precision(cpu_precision(given.precision)),
        directory(io::read_model_directory(hub::resolve_model(given.embedding_model))),
        identity(file_identity(directory)),
        info(describe(given.embedding_model, directory)),
        compute(configured_pool(given)) {
    if (settings.masx_force_gpu) {
      fail(ErrorCode::kUnsupported, "a GPU is demanded (masx_force_gpu), but this build computes on CPUs only");
    }
  }

  // The shared model, loaded now if nobody in the process has it.
  ModelPointer model() {
    const std::string key = fmt::format("{}|{}|{}", identity, to_string(precision), kDevice);
    ModelPointer model = WeightStore<EmbeddingModel>::global().get(key, [this] { return load(); });
    const std::lock_guard lock(tokenizer_mutex);
    tokenizer = model->tokenizer;
    return model;
  }

  ModelPointer load() const {
    check_memory_limit();
    if (file_identity(directory) != identity) {
      fail(ErrorCode::kInvalidFile, "{}: files were changed since this manager read the configuration; make a new one",
           info.directory);
    }
    const auto start = std::chrono::steady_clock::now();
    const WeightCache cache(settings, {.directory = directory.path,
                                       .bytes = info.file_bytes,
                                       .identity = identity,
                                       .identify = [this] { return file_identity(directory); },
                                       .precision = precision});
    auto model = std::make_shared<const EmbeddingModel>(directory, precision, compute, cache);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    log::info("loaded {} in {} ({:.1f} MB of weights) in {:.0f} ms", info.directory, to_string(precision),
              static_cast<double>(model->encoder.bytes()) / 1e6, took.count());
    return model;
  }

  void check_memory_limit() const {
    if (!settings.memory_limit) return;
    const MemoryCost cost = estimate_memory(info, precision);
    const uint64_t limit = resolve(*settings.memory_limit);
    if (cost.shared_weights + cost.workspace <= limit) return;
    throw OutOfMemory(
        fmt::format("{}: needs {} bytes of weights and {} of workspace in {}, the memory limit is {} bytes; "
                    "raise it, or use a smaller precision",
                    info.name, cost.shared_weights, cost.workspace, to_string(precision), limit));
  }

  // The tokenizer stays when the weights go, so that bad input never costs a load.
  std::shared_ptr<const text::Tokenizer> loaded_tokenizer() {
    const std::lock_guard lock(tokenizer_mutex);
    return tokenizer;
  }

  std::string prompt(const EmbedOptions& options) const {
    const io::EmbeddingPipeline& pipeline = directory.pipeline;
    if (options.prompt) return *options.prompt;
    const std::string& name = options.prompt_name ? *options.prompt_name : pipeline.default_prompt_name;
    if (name.empty()) return {};
    const auto found = pipeline.prompts.find(name);
    if (found == pipeline.prompts.end()) {
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
    return tokenize_texts(with, texts, prompt(options), max_length(options), compute);
  }

  const Settings settings;
  const Precision precision;
  const io::ModelDirectory directory;
  const std::string identity;
  const EmbeddingModelInfo info;
  ComputePool& compute;

  std::mutex tokenizer_mutex;
  std::shared_ptr<const text::Tokenizer> tokenizer;  // Guarded by tokenizer_mutex.
};

EmbeddingModelManager::EmbeddingModelManager(const Settings& settings)
    : AbstractModelManager(settings, settings.embedding_model) {
  settings.validate();
  impl_ = std::make_unique<Impl>(settings);
}

EmbeddingModelManager::~EmbeddingModelManager() { close(); }

std::string EmbeddingModelManager::model_name() const { return impl_->info.name; }

std::string EmbeddingModelManager::model_type() const { return "embedding"; }

std::string EmbeddingModelManager::get_device() const { return std::string(kDevice); }

Precision EmbeddingModelManager::precision() const { return impl_->precision; }

const EmbeddingModelInfo& EmbeddingModelManager::info() const { return impl_->info; }

std::unique_ptr<EmbeddingInstance> EmbeddingModelManager::make_instance() {
  const auto start = std::chrono::steady_clock::now();
  ModelPointer model = impl_->model();
  ModelMetadata metadata;
  metadata.model_name = model_name();
  metadata.model_type = model_type();
  metadata.device = get_device();
  metadata.precision = impl_->precision;
  metadata.shared_bytes = model->encoder.bytes() + model->tokenizer->bytes();
  metadata.load_time = std::chrono::steady_clock::now() - start;
  return std::make_unique<EmbeddingInstance>(std::move(metadata), std::move(model));
}

Embeddings EmbeddingModelManager::embed_texts(std::span<const std::string> texts, EmbeddingInstance& instance,
                                              const EmbedOptions& options) const {
  const EmbeddingModel& model = instance.model();
  return embed_tokenized(model, impl_->tokenize(texts, *model.tokenizer, options), options, impl_->compute);
}

Embeddings EmbeddingModelManager::embed_texts(std::span<const std::string> texts, const EmbedOptions& options) {
  // Tokens first, on the caller's thread: a text that can't be used never holds an instance.
  ModelPointer loaded;
  std::shared_ptr<const text::Tokenizer> tokenizer = impl_->loaded_tokenizer();
  if (tokenizer == nullptr) {
    loaded = impl_->model();
    tokenizer = loaded->tokenizer;
  }
  TokenizedTexts tokenized = impl_->tokenize(texts, *tokenizer, options);
  const Lease<EmbeddingInstance> lease = acquire({.timeout = options.timeout});
  return embed_tokenized(lease->model(), std::move(tokenized), options, impl_->compute);
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

void EmbeddingModelManager::warm_up() { acquire().release(); }

}  // namespace remuda
