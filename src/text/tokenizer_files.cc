// A model directory's tokenizer, from tokenizer.json or from the vocabulary files of its class.
#include "base/fail.h"
#include "base/files.h"
#include "base/log.h"
#include "text/sentencepiece_files.h"
#include "text/tokenizer_class.h"
#include "text/tokenizer_impl.h"
#include "text/vocabulary_files.h"

namespace remuda::text {
namespace {

namespace fs = std::filesystem;

// tokenizer.json as it is, and what the other files add to it.
Tokenizer::Impl parse(const JsonValue& root, const TokenizerConfig& config, const LoadOptions& options) {
  if (const auto version = root.find("version"); version && version->as_string() != "1.0") {
    fail(ErrorCode::kUnsupported, "{}: expected \"1.0\", found \"{}\"", version->where(), version->as_string());
  }
  Tokenizer::Impl impl;
  impl.normalizer = parse_normalizer(root.find("normalizer"), options.lower_case);
  impl.pre_tokenizer = parse_pre_tokenizer(root.find("pre_tokenizer"));
  impl.model = parse_model(root.at("model"), impl.pre_tokenizer);
  const Vocabulary& vocabulary = impl.model->vocabulary();
  const auto added = root.find("added_tokens");
  AddedTokenList list(vocabulary, added ? added->where() : root.where());
  if (added) parse_added_tokens(*added, list);
  const NamedTokens named(config, {});
  add_tokens(config, named, {}, list);
  impl.added_tokens = AddedTokens(list.tokens(), impl.normalizer, added ? added->where() : root.where(),
                                  config.flag("split_special_tokens", false));
  if (const auto ends = requested_ends(config, named, list)) {
    impl.special_tokens = *ends;
  } else {
    impl.special_tokens = parse_post_processor(root.find("post_processor"), vocabulary, impl.added_tokens);
  }
  impl.decoder = parse_decoder(root.find("decoder"));
  return impl;
}

// Of a class's vocabulary files.
std::optional<VocabularyParts> read_parts(const fs::path& directory, TokenizerClass::Files files) {
  const fs::path lines = directory / "vocab.txt";
  const fs::path vocabulary = directory / "vocab.json";
  const fs::path merges = directory / "merges.txt";
  if (files == TokenizerClass::Files::kVocabularyLines && file_exists(lines)) {
    return read_vocabulary_lines(lines, LineEnd::kTrimmed);
  }
  if (files == TokenizerClass::Files::kTokenLines && file_exists(lines)) {
    return read_vocabulary_lines(lines, LineEnd::kKept);
  }
  if (files == TokenizerClass::Files::kBytePairs && file_exists(vocabulary) && file_exists(merges)) {
    return read_byte_pair_files(vocabulary, merges);
  }
  return std::nullopt;
}

std::string_view names_of(TokenizerClass::Files files) {
  switch (files) {
    case TokenizerClass::Files::kVocabularyLines:
    case TokenizerClass::Files::kTokenLines:
      return "vocab.txt";
    case TokenizerClass::Files::kBytePairs:
      return "vocab.json and merges.txt";
    case TokenizerClass::Files::kSentencePiece:
      break;
  }
  return "a SentencePiece model";
}

Tokenizer::Impl load_from_parts(const fs::path& directory, const ClassChoice& choice, const TokenizerConfig& config,
                                const LoadOptions& options) {
  if (choice.recipe == nullptr || choice.recipe->files == TokenizerClass::Files::kSentencePiece) {
    if (auto pieces = sentencepiece_from_directory(directory, options)) return std::move(*pieces);
  }
  if (choice.recipe == nullptr) {
    fail(ErrorCode::kNotFound, "{}: expected tokenizer.json, which the tokenizer class {} needs here, found none",
         directory.string(), choice.name);
  }
  auto parts = read_parts(directory, choice.recipe->files);
  if (!parts) {
    fail(ErrorCode::kNotFound, "{}: expected tokenizer.json or, for the tokenizer class {}, {}, found none",
         directory.string(), choice.name, names_of(choice.recipe->files));
  }
  return build_tokenizer(*choice.recipe, config, std::move(*parts), options.lower_case);
}

}  // namespace

Tokenizer Tokenizer::from_json(const JsonDocument& document, const LoadOptions& options) {
  return Tokenizer(std::make_unique<const Impl>(parse(document.root(), {}, options)));
}

Tokenizer Tokenizer::load(const fs::path& model_directory, const LoadOptions& options) {
  const fs::path json = model_directory / "tokenizer.json";
  std::optional<JsonDocument> document;
  if (file_exists(json)) document = JsonDocument::parse_file(json, kMaxTokenizerFileBytes);
  const auto root = document ? std::optional(document->root()) : std::nullopt;
  TokenizerConfig config = TokenizerConfig::read(model_directory, options.config_overrides, root);
  const ClassChoice choice = choose_class(config);
  Impl impl;
  if (!root || (choice.recipe != nullptr && choice.recipe->is_python)) {
    impl = load_from_parts(model_directory, choice, config, options);
  } else if (choice.recipe != nullptr) {
    impl = build_tokenizer(*choice.recipe, config, parse_vocabulary_parts(*root, choice.recipe->files),
                           options.lower_case);
  } else {
    if (!choice.is_exact) {
      log::warning(
          "{}: taken as it is; the tokenizer class {}, which transformers builds anew from its settings, isn't "
          "known here",
          json.string(), choice.name);
    }
    impl = parse(*root, config, options);
  }
  impl.clean_up_tokenization_spaces = config.flag("clean_up_tokenization_spaces", false);
  impl.config = std::move(config);
  return Tokenizer(std::make_unique<const Impl>(std::move(impl)));
}

}  // namespace remuda::text
