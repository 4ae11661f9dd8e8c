#include "manager/model_tokenizer.h"

#include <filesystem>

#include "base/files.h"
#include "device/compute_pool.h"
#include "hub/resolve.h"
#include "io/model_directory.h"
#include "text/tokenizer.h"

namespace remuda {
namespace {

// Tokenizing this many texts is worth waking another thread.
constexpr int64_t kTextsPerTask = 32;

// The model's own directory or, where the files are in a module's, the transformer's. A tokenizer that stands in the
// first works even for models that remuda cannot compute.
std::filesystem::path tokenizer_directory(const std::filesystem::path& model) {
  for (const char* name : {"tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "sentencepiece.bpe.model",
                           "spiece.model", "spm.model"}) {
    if (file_exists(model / name)) return model;
  }
  return io::read_model_directory(model).transformer;
}

// That of the embeddings, in lower case where the model wants it.
text::Tokenizer load_tokenizer(const std::filesystem::path& model) {
  const std::filesystem::path directory = tokenizer_directory(model);
  // A file of a chain's transformer, without which nobody reads it.
  if (!file_exists(model / "modules.json")) return text::Tokenizer::load(directory);
  const io::TransformerOptions options = io::read_transformer_options(directory);
  return text::Tokenizer::load(directory,
                               {.lower_case = options.do_lower_case, .config_overrides = options.tokenizer_overrides});
}

}  // namespace

struct ModelTokenizer::Impl {
  text::Tokenizer tokenizer;
};

ModelTokenizer::ModelTokenizer(const std::string& model_name, int64_t compute_threads)
    : impl_(new Impl{load_tokenizer(hub::resolve_model(model_name, hub::Needs::kConfiguration))}) {
  if (compute_threads > 0) ComputePool::configure_global(static_cast<int>(compute_threads));
}

ModelTokenizer::~ModelTokenizer() = default;

std::vector<TokenizedText> ModelTokenizer::tokenize(std::span<const std::string> texts,
                                                    std::optional<int64_t> max_length, bool special_tokens) const {
  std::vector<TokenizedText> results(texts.size());
  const auto tokenize_range = [&](int64_t begin, int64_t end) {
    text::Encoding encoding;
    for (int64_t i = begin; i < end; ++i) {
      impl_->tokenizer.encode(texts[i], {.add_special_tokens = special_tokens, .max_length = max_length}, encoding);
      TokenizedText& result = results[i];
      result.ids = encoding.ids;
      result.total_tokens = encoding.total_tokens;
      result.invalid_sequences = encoding.invalid_sequences;
      result.tokens.reserve(encoding.ids.size());
      for (const int32_t id : encoding.ids) result.tokens.push_back(impl_->tokenizer.id_to_token(id).value_or(""));
    }
  };
  ComputePool::global().parallel_for(static_cast<int64_t>(texts.size()), kTextsPerTask, tokenize_range);
  return results;
}

std::string ModelTokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  return impl_->tokenizer.decode(
      ids, {.skip_special_tokens = skip_special_tokens, .clean_up_tokenization_spaces = std::nullopt});
}

int64_t ModelTokenizer::vocab_size() const { return impl_->tokenizer.vocab_size(); }

std::optional<std::string_view> ModelTokenizer::token(int32_t id) const { return impl_->tokenizer.id_to_token(id); }

std::optional<int32_t> ModelTokenizer::id(std::string_view token) const { return impl_->tokenizer.token_to_id(token); }

}  // namespace remuda
