// A model directory's tokenizer files: tokenizer.json, or vocab.txt; and tokenizer_config.json.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <system_error>
#include <unordered_map>

#include "base/fail.h"
#include "text/tokenizer_impl.h"
#include "text/utf8.h"
#include "text/word_piece.h"

namespace remuda::text {
namespace {

namespace fs = std::filesystem;

// Hugging Face writes 10^30 for "none".
constexpr double kNoMaxLength = 1e9;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 28;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::optional<JsonDocument> parse_config(const fs::path& directory) {
  const fs::path path = directory / "tokenizer_config.json";
  if (!is_there(path)) return std::nullopt;
  return JsonDocument::parse_file(path, kMaxFileBytes);
}

std::optional<int64_t> parse_model_max_length(const JsonValue& config) {
  const auto value = config.find("model_max_length");
  if (!value) return std::nullopt;
  const double length = value->as_double();
  if (length >= kNoMaxLength) return std::nullopt;
  return value->as_int(1, static_cast<int64_t>(kNoMaxLength));
}

std::string read_vocab(const fs::path& path) {
  std::error_code status;
  const uint64_t size = fs::file_size(path, status);
  if (!status && size > kMaxFileBytes) {
    fail(ErrorCode::kInvalidFile, "{}: expected at most {} bytes, found {}", path.string(), kMaxFileBytes, size);
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file || status) fail(ErrorCode::kIo, "{}: can't be read", path.string());
  std::string repaired;
  if (const int64_t malformed = repair_utf8(text, repaired); malformed > 0) {
    fail(ErrorCode::kInvalidFile, "{}: expected UTF-8, found {} malformed sequences", path.string(), malformed);
  }
  return text;
}

std::string_view without_trailing_space(std::string_view line) {
  while (!line.empty()) {
    size_t position = line.size();
    if (!UnicodeTable::get().has(previous_code_point(line, position), kWhiteSpace)) break;
    line = line.substr(0, position);
  }
  return line;
}

// A token a line, its id the line's number; of a token that is there twice, the last line counts.
Vocabulary read_vocabulary(const fs::path& path) {
  const std::string text = read_vocab(path);
  std::unordered_map<std::string_view, int64_t> ids;
  std::vector<std::string_view> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(without_trailing_space(std::string_view(text).substr(begin, end - begin)));
    ids[lines.back()] = std::ssize(lines) - 1;
    begin = end + 1;
  }
  Vocabulary vocabulary(path.string(), ids.size());
  for (int64_t id = 0; id < std::ssize(lines); ++id) {
    if (ids[lines[static_cast<size_t>(id)]] == id) vocabulary.add(lines[static_cast<size_t>(id)], id);
  }
  return vocabulary;
}

// A special token is a string, or an object with its flags.
std::string special_token(const std::optional<JsonValue>& config, std::string_view field, std::string_view fallback) {
  const auto value = config ? config->find(field) : std::nullopt;
  if (!value) return std::string(fallback);
  return std::string(value->is_object() ? value->at("content").as_string() : value->as_string());
}

// What transformers makes of a BERT model without tokenizer.json.
Tokenizer::Impl bert_from_vocab(const fs::path& path, const std::optional<JsonValue>& config) {
  const auto flag = [&](std::string_view field, bool fallback) {
    return config ? config->bool_or(field, fallback) : fallback;
  };
  Tokenizer::Impl impl;
  BertNormalizer::Options normalizer;
  normalizer.lowercase = flag("do_lower_case", true);
  normalizer.handle_chinese_chars = flag("tokenize_chinese_chars", true);
  normalizer.strip_accents = flag("strip_accents", normalizer.lowercase);
  impl.normalizer = Normalizer({BertNormalizer(normalizer)});
  impl.pre_tokenizer = PreTokenizer({BertSplit{}});

  WordPiece::Options options;
  options.unknown_token = special_token(config, "unk_token", "[UNK]");
  auto model = std::make_unique<WordPiece>(read_vocabulary(path), options, path.string());
  const Vocabulary& vocabulary = model->vocabulary();
  const auto id_of = [&](const std::string& content) {
    const auto id = vocabulary.find(content);
    if (!id) fail(ErrorCode::kInvalidFile, "{}: expected a line \"{}\", found none", path.string(), content);
    return *id;
  };
  const std::string cls = special_token(config, "cls_token", "[CLS]");
  const std::string sep = special_token(config, "sep_token", "[SEP]");
  impl.special_tokens = {{id_of(cls)}, {id_of(sep)}};
  std::vector<AddedToken> added;
  for (const std::string& content : {options.unknown_token, cls, sep, special_token(config, "pad_token", "[PAD]"),
                                     special_token(config, "mask_token", "[MASK]")}) {
    const auto same = [&](const AddedToken& token) { return token.content == content; };
    if (std::none_of(added.begin(), added.end(), same)) added.push_back({content, id_of(content)});
  }
  impl.added_tokens = AddedTokens(std::move(added), impl.normalizer, path.string());
  impl.model = std::move(model);
  return impl;
}

Tokenizer::Impl parse(const JsonValue& root) {
  if (const auto version = root.find("version"); version && version->as_string() != "1.0") {
    fail(ErrorCode::kUnsupported, "{}: expected \"1.0\", found \"{}\"", version->where(), version->as_string());
  }
  Tokenizer::Impl impl;
  impl.normalizer = parse_normalizer(root.find("normalizer"));
  impl.pre_tokenizer = parse_pre_tokenizer(root.find("pre_tokenizer"));
  impl.model = parse_model(root.at("model"));
  const Vocabulary& vocabulary = impl.model->vocabulary();
  const auto added = root.find("added_tokens");
  impl.added_tokens =
      AddedTokens(parse_added_tokens(added, vocabulary), impl.normalizer, added ? added->where() : root.where());
  impl.special_tokens = parse_post_processor(root.find("post_processor"), vocabulary, impl.added_tokens);
  return impl;
}

}  // namespace

Tokenizer Tokenizer::from_json(const JsonDocument& document) {
  return Tokenizer(std::make_unique<const Impl>(parse(document.root())));
}

Tokenizer Tokenizer::load(const fs::path& model_directory) {
  const auto config_document = parse_config(model_directory);
  const auto config = config_document ? std::optional(config_document->root()) : std::nullopt;
  const fs::path json = model_directory / "tokenizer.json";
  const fs::path vocab = model_directory / "vocab.txt";
  Impl impl;
  if (is_there(json)) {
    const JsonDocument document = JsonDocument::parse_file(json, kMaxFileBytes);
    impl = parse(document.root());
  } else if (is_there(vocab)) {
    impl = bert_from_vocab(vocab, config);
  } else {
    fail(ErrorCode::kNotFound, "{}: expected tokenizer.json or vocab.txt, found neither", model_directory.string());
  }
  if (config) impl.model_max_length = parse_model_max_length(*config);
  return Tokenizer(std::make_unique<const Impl>(std::move(impl)));
}

}  // namespace remuda::text
