#include "text/sentencepiece_files.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/fail.h"
#include "base/files.h"
#include "base/log.h"
#include "text/tokenizer_config.h"
#include "text/unigram.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

namespace fs = std::filesystem;

using Model = SentencePieceClass::Model;
using Around = SentencePieceClass::Around;

// Every class takes a file of this name rather than one of its own.
constexpr std::string_view kCommonFile = "tokenizer.model";
constexpr size_t kMaxMerges = size_t{1} << 22;
// Looking for merges hashes what is left of a token for each way to part it.
constexpr uint64_t kMaxHashedBytes = uint64_t{1} << 31;

LargeString read_bytes(const fs::path& path) {
  const OpenFile file(path, kMaxTokenizerFileBytes);
  LargeString bytes(file.size(), '\0');
  file.read(bytes);
  return bytes;
}

// Of entries with the same text the last is found by it, as in Python's dictionaries and tokenizers' maps.
std::vector<bool> last_of_each(const SentencePieceBuild& build) {
  std::unordered_map<std::string_view, size_t> last;
  last.reserve(build.vocabulary.size());
  for (size_t id = 0; id < build.vocabulary.size(); ++id) last[build.vocabulary[id].first] = id;
  std::vector<bool> is_last(build.vocabulary.size());
  for (const auto& [text, id] : last) is_last[id] = true;
  return is_last;
}

std::unique_ptr<const text::Model> make_unigram(const SentencePieceBuild& build, bool byte_fallback, bool rewritten) {
  const std::vector<bool> is_last = last_of_each(build);
  Vocabulary vocabulary(build.source, build.vocabulary.size());
  LargeVector<double> scores;
  scores.reserve(build.vocabulary.size());
  for (size_t id = 0; id < build.vocabulary.size(); ++id) {
    const auto& [text, score] = build.vocabulary[id];
    if (is_last[id]) {
      vocabulary.add(text, static_cast<int64_t>(id));
    } else {
      vocabulary.add_shadowed(text, static_cast<int64_t>(id));
    }
    scores.push_back(rewritten ? score_as_hugging_face_reads(score) : score);
  }
  if (build.unknown_id < 0 || build.unknown_id >= std::ssize(build.vocabulary)) {
    fail(ErrorCode::kInvalidFile, "{}: expected the unknown token, by its id below {}, found {}", build.source,
         build.vocabulary.size(), build.unknown_id);
  }
  Unigram::Options options;
  options.unknown_id = static_cast<int32_t>(build.unknown_id);
  options.byte_fallback = byte_fallback;
  return std::make_unique<Unigram>(std::move(vocabulary), std::move(scores), options, build.source);
}

// A vocabulary in which tokens with these ids have these names, unless another has one already.
Vocabulary rename(const Vocabulary& vocabulary, const std::map<int64_t, TokenArgument>& names,
                  const std::string& source) {
  Vocabulary renamed(source, vocabulary.size());
  for (int32_t id = 0; id < vocabulary.id_limit(); ++id) {
    const auto token = vocabulary.token(id);
    if (!token) continue;
    const auto name = names.find(id);
    const bool changes = name != names.end() && !token->empty() && !vocabulary.find(name->second.content);
    renamed.add(changes ? std::string_view(name->second.content) : *token, id);
  }
  return renamed;
}

std::unique_ptr<const text::Model> make_byte_pairs(const SentencePieceBuild& build, Bpe::Options options,
                                                   const std::map<int64_t, TokenArgument>& names) {
  const std::vector<bool> is_last = last_of_each(build);
  Vocabulary vocabulary(build.source, build.vocabulary.size());
  for (size_t id = 0; id < build.vocabulary.size(); ++id) {
    if (is_last[id]) vocabulary.add(build.vocabulary[id].first, static_cast<int64_t>(id));
  }
  const LargeVector<Bpe::Pair> merges = merges_of(vocabulary, build.source);
  // The merges view the vocabulary that they were made of.
  return std::make_unique<Bpe>(rename(vocabulary, names, build.source), merges, std::move(options), build.source);
}

std::unique_ptr<const text::Model> make_model(const SentencePieceBuild& build, const SentencePieceClass& recipe) {
  const bool is_backend = recipe.name == "TokenizersBackend";
  const bool trained_unigram = build.file.algorithm == SentencePieceModel::Algorithm::kUnigram;
  if (recipe.model == Model::kUnigram || (recipe.model == Model::kAsTrained && trained_unigram)) {
    return make_unigram(build, is_backend && build.file.byte_fallback, is_backend);
  }
  if (recipe.model == Model::kAsTrained && !is_backend) {
    fail(ErrorCode::kUnsupported, "{}: expected a unigram model, of which alone {} can be made, found another",
         build.source, recipe.name);
  }
  Bpe::Options options;
  options.fuse_unknown = true;
  options.byte_fallback = is_backend ? build.file.byte_fallback : true;
  if (is_backend) options.unknown_token = build.file.unknown_piece;
  if (recipe.name == "GemmaTokenizer") options.unknown_token = build.arguments.text_of(NamedToken::kUnknown, "<unk>");
  return make_byte_pairs(build, std::move(options),
                         is_backend ? build.arguments.added() : std::map<int64_t, TokenArgument>());
}

// Control and user-defined pieces, which stand in the text as they are.
std::vector<TokenArgument> extra_pieces(const SentencePieceModel& file) {
  using PieceType = SentencePieceModel::PieceType;
  std::vector<TokenArgument> tokens;
  for (const SentencePieceModel::Piece& piece : file.pieces) {
    if (piece.type != PieceType::kControl && piece.type != PieceType::kUserDefined) continue;
    TokenArgument token = TokenArgument::text(piece.text);
    token.is_text = false;
    token.normalized = false;
    token.special = piece.type == PieceType::kControl;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

void set_defaults(const SentencePieceClass& recipe, const SentencePieceModel& file, TokenizerArguments& arguments) {
  for (size_t i = 0; i < kNamedTokens; ++i) {
    if (recipe.tokens[i].empty()) continue;
    arguments.set_default(static_cast<NamedToken>(i), TokenArgument::text(recipe.tokens[i]));
  }
  if (recipe.mask_takes_space) arguments.flag_text(NamedToken::kMask, /*lstrip=*/true);
  if (recipe.name != "TokenizersBackend") return;
  const auto take = [&](NamedToken name, int32_t id, std::string_view piece, std::string_view fallback) {
    if (id >= 0) arguments.set_default(name, TokenArgument::text(piece.empty() ? fallback : piece));
  };
  take(NamedToken::kBos, file.bos_id, file.bos_piece, "<s>");
  take(NamedToken::kEos, file.eos_id, file.eos_piece, "</s>");
  take(NamedToken::kUnknown, file.unknown_id, file.unknown_piece, "<unk>");
}

// The special tokens around a text.
class AroundText {
 public:
  AroundText(const SentencePieceBuild& build, const Vocabulary& vocabulary, const AddedTokens& added)
      : build_(&build), vocabulary_(&vocabulary), added_(&added) {}

  SpecialTokens make(Around around) const {
    const TokenizerArguments& arguments = build_->arguments;
    const bool has_flags = arguments.has("add_bos_token") || arguments.has("add_eos_token");
    switch (around) {
      case Around::kFlags:
        break;
      case Around::kOwnUnlessFlags:
        // The class has these names, whatever the files say.
        if (!has_flags) return {{own(NamedToken::kCls)}, {own(NamedToken::kSep)}};
        break;
      case Around::kBosEos:
        return {{id(NamedToken::kBos)}, {id(NamedToken::kEos)}};
      case Around::kClsSep:
        return {{id(NamedToken::kCls)}, {id(NamedToken::kSep)}};
      case Around::kSepCls:
        return {{}, {id(NamedToken::kSep), id(NamedToken::kCls)}};
      case Around::kEos:
        return {{}, {id(NamedToken::kEos)}};
      case Around::kEosLanguage:
        return {{}, {id(NamedToken::kEos), language(false)}};
      case Around::kLanguageEos:
        return {{language(true)}, {id(NamedToken::kEos)}};
    }
    SpecialTokens tokens;
    if (arguments.flag("add_bos_token", false) && arguments.named(NamedToken::kBos)) {
      tokens.before = {id(NamedToken::kBos)};
    }
    if (arguments.flag("add_eos_token", false) && arguments.named(NamedToken::kEos)) {
      tokens.after = {id(NamedToken::kEos)};
    }
    return tokens;
  }

 private:
  int32_t id_of(std::string_view content) const {
    if (const auto id = added_->find(content)) return *id;
    if (const auto id = vocabulary_->find(content)) return *id;
    fail(ErrorCode::kInvalidFile, "{}: expected the special token \"{}\", which stands around each text, found none",
         build_->source, content);
  }

  int32_t id(NamedToken name) const {
    const auto& token = build_->arguments.named(name);
    if (!token) {
      fail(ErrorCode::kInvalidFile, "{}: expected a special token to stand around each text, found null in its place",
           build_->source);
    }
    return id_of(token->content);
  }

  int32_t own(NamedToken name) const {
    const auto& token = build_->arguments.named(name);
    const std::string_view content = token ? std::string_view(token->content) : "None";
    const auto id = vocabulary_->find(content);
    if (!id) {
      fail(ErrorCode::kInvalidFile, "{}: expected the special token \"{}\" among its pieces, found none",
           build_->source, content);
    }
    return *id;
  }

  int32_t language(bool is_mbart50) const {
    const std::string name = build_->arguments.string("src_lang", "en_XX").value_or("en_XX");
    const auto all = mbart_languages(is_mbart50);
    if (is_mbart50 && std::find(all.begin(), all.end(), name) == all.end()) {
      fail(ErrorCode::kInvalidFile, "{}: src_lang: expected one of its languages, like en_XX, found \"{}\"",
           build_->source, name);
    }
    if (const auto id = added_->find(name)) return *id;
    // A language that is no token is the unknown one, to the class too.
    return vocabulary_->find(name).value_or(id(NamedToken::kUnknown));
  }

  const SentencePieceBuild* build_;
  const Vocabulary* vocabulary_;
  const AddedTokens* added_;
};

Normalizer make_normalizer(SentencePieceBuild& build, bool lower_case) {
  std::vector<NormalizerStep>& steps = build.normalizer;
  const auto is_lowercase = [](const NormalizerStep& step) { return std::holds_alternative<Lowercase>(step); };
  if (lower_case && std::none_of(steps.begin(), steps.end(), is_lowercase)) steps.insert(steps.begin(), Lowercase{});
  return Normalizer(std::move(steps));
}

// What SentencePiece itself would do with the file and transformers' classes don't.
void report_differences(const SentencePieceModel& file, const std::string& source) {
  const auto report = [&](std::string_view what) {
    log::info("{}: {}: transformers' classes do as they always do, and so does remuda", source, what);
  };
  if (!file.add_dummy_prefix) report("add_dummy_prefix is false");
  if (!file.remove_extra_whitespaces) report("remove_extra_whitespaces is false");
  if (!file.escape_whitespaces) report("escape_whitespaces is false");
  if (file.whitespace_as_suffix) report("treat_whitespace_as_suffix is true");
}

[[noreturn]] void fail_unknown_class(const fs::path& directory, const fs::path& file, const std::string& name) {
  if (name.empty()) {
    fail(ErrorCode::kUnsupported,
         "{}: expected a class for {}: a \"tokenizer_class\" in tokenizer_config.json, or a known \"model_type\" in "
         "config.json; found neither",
         directory.string(), file.filename().string());
  }
  fail(ErrorCode::kUnsupported,
       "{}: the tokenizer's class is {}, which remuda doesn't make from {}: save it as tokenizer.json "
       "(AutoTokenizer.from_pretrained(...).save_pretrained(...))",
       directory.string(), name, file.filename().string());
}

// Which of a directory's files its class reads.
std::optional<SentencePieceFile> find_sentencepiece_file(const fs::path& directory,
                                                         const std::optional<JsonValue>& config) {
  std::vector<fs::path> there;
  for (const std::string_view name :
       {kCommonFile, std::string_view("sentencepiece.bpe.model"), std::string_view("spiece.model"),
        std::string_view("spm.model"), std::string_view("sentencepiece.model")}) {
    if (file_exists(directory / name)) there.push_back(directory / name);
  }
  if (there.empty()) return std::nullopt;
  const std::string name = tokenizer_class_of(directory, config);
  const SentencePieceClass* recipe = find_sentencepiece_class(name);
  const bool has_others = file_exists(directory / "vocab.txt") || file_exists(directory / "vocab.json");
  if (recipe == nullptr && has_others) return std::nullopt;
  if (recipe == nullptr) fail_unknown_class(directory, there.front(), name);
  for (const fs::path& path : there) {
    if (path.filename() == kCommonFile || path.filename() == recipe->file) return SentencePieceFile{path, recipe};
  }
  if (has_others) return std::nullopt;
  fail(ErrorCode::kNotFound, "{}: expected {}, which {} reads, found {}", directory.string(),
       recipe->file.empty() ? kCommonFile : recipe->file, recipe->name, there.front().filename().string());
}

}  // namespace

LargeVector<Bpe::Pair> merges_of(const Vocabulary& vocabulary, const std::string& source) {
  LargeVector<Bpe::Pair> merges;
  uint64_t hashed = 0;
  for (int32_t id = 0; id < vocabulary.id_limit(); ++id) {
    const std::string_view token = vocabulary.token(id).value_or(std::string_view());
    Vocabulary::Hash hash;
    for (size_t position = 0, next = 0; position < token.size(); position = next) {
      next_code_point(token, next);
      hash.add(token.substr(position, next - position));
      if (next == token.size() || vocabulary.find(hash, {}, token.substr(0, next)) < 0) continue;
      hashed += token.size() - next;
      if (!vocabulary.find(token.substr(next))) continue;
      if (merges.size() == kMaxMerges || hashed > kMaxHashedBytes) {
        fail(ErrorCode::kInvalidFile,
             "{}: expected pieces like a vocabulary's, found more than {} pairs of them that are another", source,
             merges.size());
      }
      merges.emplace_back(token.substr(0, next), token.substr(next));
    }
  }
  return merges;
}

std::optional<Tokenizer::Impl> sentencepiece_from_directory(const fs::path& directory, const LoadOptions& load) {
  const fs::path path = directory / "tokenizer_config.json";
  const auto document =
      file_exists(path) ? std::optional(JsonDocument::parse_file(path, kMaxTokenizerFileBytes)) : std::nullopt;
  const auto config = document ? std::optional(document->root()) : std::nullopt;
  const auto file = find_sentencepiece_file(directory, config);
  if (!file) return std::nullopt;
  const LargeString bytes = read_bytes(file->path);
  return sentencepiece_from_bytes(bytes, *file, config, load);
}

Tokenizer::Impl sentencepiece_from_bytes(std::string_view bytes, const SentencePieceFile& file,
                                         const std::optional<JsonValue>& config, const LoadOptions& load) {
  const std::string source = file.path.string();
  const SentencePieceModel model = parse_sentencepiece_model(bytes, source);
  report_differences(model, source);
  std::optional<JsonDocument> overrides;
  if (!load.config_overrides.empty()) {
    overrides = JsonDocument::parse(load.config_overrides, "the tokenizer's arguments");
  }
  TokenizerArguments arguments(file.path.parent_path(), config,
                               overrides ? std::optional(overrides->root()) : std::nullopt);
  SentencePieceBuild build{.file = model, .arguments = arguments, .source = source};
  build.extra = extra_pieces(model);
  file.recipe->build(build);
  set_defaults(*file.recipe, model, arguments);

  Tokenizer::Impl impl;
  impl.model = make_model(build, *file.recipe);
  const auto next_id = static_cast<int32_t>(impl.model->vocabulary().size());
  impl.normalizer = make_normalizer(build, load.lower_case);
  impl.pre_tokenizer = PreTokenizer(std::move(build.pre_tokenizer));
  const Vocabulary& vocabulary = impl.model->vocabulary();
  impl.added_tokens = AddedTokens(arguments.resolve(arguments.extra().value_or(build.extra), vocabulary, next_id),
                                  impl.normalizer, source, arguments.flag("split_special_tokens", false));
  impl.special_tokens = AroundText(build, vocabulary, impl.added_tokens).make(file.recipe->around);
  impl.decoder = std::move(build.decoder);
  return impl;
}

}  // namespace remuda::text
