// A model directory's tokenizer files: tokenizer.json, or those of before it; and tokenizer_config.json.
#include "base/fail.h"
#include "base/files.h"
#include "text/sentencepiece_files.h"
#include "text/tokenizer_impl.h"
#include "text/vocabulary_files.h"

namespace remuda::text {
namespace {

namespace fs = std::filesystem;

// Hugging Face writes 10^30 for "none".
constexpr double kNoMaxLength = 1e9;

std::optional<JsonDocument> parse_config(const fs::path& directory) {
  const fs::path path = directory / "tokenizer_config.json";
  if (!file_exists(path)) return std::nullopt;
  return JsonDocument::parse_file(path, kMaxTokenizerFileBytes);
}

std::optional<int64_t> parse_model_max_length(const JsonValue& config) {
  const auto value = config.find("model_max_length");
  if (!value) return std::nullopt;
  const double length = value->as_double();
  if (length >= kNoMaxLength) return std::nullopt;
  return value->as_int(1, static_cast<int64_t>(kNoMaxLength));
}

Tokenizer::Impl parse(const JsonValue& root, const LoadOptions& options) {
  if (const auto version = root.find("version"); version && version->as_string() != "1.0") {
    fail(ErrorCode::kUnsupported, "{}: expected \"1.0\", found \"{}\"", version->where(), version->as_string());
  }
  Tokenizer::Impl impl;
  impl.normalizer = parse_normalizer(root.find("normalizer"), options.lower_case);
  impl.pre_tokenizer = parse_pre_tokenizer(root.find("pre_tokenizer"));
  impl.model = parse_model(root.at("model"), impl.pre_tokenizer);
  const Vocabulary& vocabulary = impl.model->vocabulary();
  const auto added = root.find("added_tokens");
  impl.added_tokens =
      AddedTokens(parse_added_tokens(added, vocabulary), impl.normalizer, added ? added->where() : root.where());
  impl.special_tokens = parse_post_processor(root.find("post_processor"), vocabulary, impl.added_tokens);
  impl.decoder = parse_decoder(root.find("decoder"));
  return impl;
}

}  // namespace

Tokenizer Tokenizer::from_json(const JsonDocument& document, const LoadOptions& options) {
  return Tokenizer(std::make_unique<const Impl>(parse(document.root(), options)));
}

Tokenizer Tokenizer::load(const fs::path& model_directory, const LoadOptions& options) {
  const auto config_document = parse_config(model_directory);
  const auto config = config_document ? std::optional(config_document->root()) : std::nullopt;
  const fs::path json = model_directory / "tokenizer.json";
  const fs::path lines = model_directory / "vocab.txt";
  const fs::path vocabulary = model_directory / "vocab.json";
  const fs::path merges = model_directory / "merges.txt";
  Impl impl;
  if (file_exists(json)) {
    const JsonDocument document = JsonDocument::parse_file(json, kMaxTokenizerFileBytes);
    impl = parse(document.root(), options);
  } else if (auto pieces = sentencepiece_from_directory(model_directory, options)) {
    impl = std::move(*pieces);
  } else if (file_exists(vocabulary) && file_exists(merges)) {
    impl = byte_pairs_from_files(vocabulary, merges, config, options);
  } else if (file_exists(lines)) {
    impl = bert_from_files(lines, config, options);
  } else {
    fail(ErrorCode::kNotFound,
         "{}: expected tokenizer.json, vocab.txt, vocab.json and merges.txt, or a SentencePiece file, found none",
         model_directory.string());
  }
  if (config) {
    impl.model_max_length = parse_model_max_length(*config);
    impl.clean_up_tokenization_spaces = config->bool_or("clean_up_tokenization_spaces", false);
  }
  return Tokenizer(std::make_unique<const Impl>(std::move(impl)));
}

}  // namespace remuda::text
