#include "remuda/embedding_model_manager.h"

#include <fmt/format.h>

#include <chrono>

#include "base/fail.h"
#include "hub/resolve.h"
#include "manager/embedding_model.h"
#include "manager/embedding_model_info.h"
#include "manager/shared_model.h"

namespace remuda {
namespace {

using ModelPointer = std::shared_ptr<const EmbeddingModel>;

}  // namespace

EmbeddingInstance::EmbeddingInstance(ModelMetadata metadata, std::shared_ptr<const EmbeddingModel> model)
    : ModelInstance(std::move(metadata)), model_(std::move(model)) {}

struct EmbeddingModelManager::Impl {
  explicit Impl(const Settings& given)
      : settings(given),
        precision(cpu_precision(given.precision)),
        model(hub::resolve_model(given.embedding_model), precision, [this] { return load(); }),
        directory(io::read_model_directory(model.directory())),
        info(describe(given.embedding_model, directory)),
        compute(compute_pool(given)) {
    refuse_gpu(settings);
  }

  ModelPointer load() const {
    check_memory_limit(settings, info.name, precision, estimate_memory(info, precision));
    return std::make_shared<const EmbeddingModel>(directory, precision, compute,
                                                  model.cache(settings, info.file_bytes));
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
  SharedModel<EmbeddingModel> model;
  const io::ModelDirectory directory;
  const EmbeddingModelInfo info;
  ComputePool& compute;
};

EmbeddingModelManager::EmbeddingModelManager(const Settings& settings)
    : AbstractModelManager(settings, settings.embedding_model) {
  settings.validate();
  impl_ = std::make_unique<Impl>(settings);
}

EmbeddingModelManager::~EmbeddingModelManager() { close(); }

std::string EmbeddingModelManager::model_name() const { return impl_->info.name; }

std::string EmbeddingModelManager::model_type() const { return "embedding"; }

std::string EmbeddingModelManager::get_device() const { return std::string(kCpuDevice); }

Precision EmbeddingModelManager::precision() const { return impl_->precision; }

const EmbeddingModelInfo& EmbeddingModelManager::info() const { return impl_->info; }

std::unique_ptr<EmbeddingInstance> EmbeddingModelManager::make_instance() {
  const auto start = std::chrono::steady_clock::now();
  ModelPointer model = impl_->model.get();
  ModelMetadata metadata = describe_instance(model_name(), model_type(), impl_->precision, model->bytes(), start);
  return std::make_unique<EmbeddingInstance>(std::move(metadata), std::move(model));
}

Embeddings EmbeddingModelManager::embed_texts(std::span<const std::string> texts, EmbeddingInstance& instance,
                                              const EmbedOptions& options) const {
  const EmbeddingModel& model = instance.model();
  return embed_tokenized(model, impl_->tokenize(texts, *model.tokenizer, options), options, impl_->compute);
}

Embeddings EmbeddingModelManager::embed_texts(std::span<const std::string> texts, const EmbedOptions& options) {
  // Tokens first, on the caller's thread: a text that can't be used never holds an instance.
  TokenizedTexts tokenized = impl_->tokenize(texts, *impl_->model.tokenizer(), options);
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

}  // namespace remuda
