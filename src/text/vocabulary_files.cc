#include "text/vocabulary_files.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <system_error>
#include <unordered_map>

#include "base/fail.h"
#include "text/bpe.h"
#include "text/utf8.h"
#include "text/word_piece.h"

namespace remuda::text {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
  std::error_code status;
  const uint64_t size = fs::file_size(path, status);
  if (!status && size > kMaxTokenizerFileBytes) {
    fail(ErrorCode::kInvalidFile, "{}: expected at most {} bytes, found {}", path.string(), kMaxTokenizerFileBytes,
         size);
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
  const std::string text = read_text(path);
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

}  // namespace

Tokenizer::Impl bert_from_files(const fs::path& path, const std::optional<JsonValue>& config, const LoadOptions& load) {
  const auto flag = [&](std::string_view field, bool fallback) {
    return config ? config->bool_or(field, fallback) : fallback;
  };
  Tokenizer::Impl impl;
  BertNormalizer::Options normalizer;
  normalizer.lowercase = flag("do_lower_case", true);
  normalizer.handle_chinese_chars = flag("tokenize_chinese_chars", true);
  normalizer.strip_accents = flag("strip_accents", normalizer.lowercase);
  const BertNormalizer bert(normalizer);
  impl.normalizer = load.lower_case ? Normalizer({Lowercase{}, bert}) : Normalizer({bert});
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
    if (std::any_of(added.begin(), added.end(), same)) continue;
    AddedToken token;
    token.content = content;
    token.id = id_of(content);
    token.special = true;
    added.push_back(std::move(token));
  }
  impl.added_tokens = AddedTokens(std::move(added), impl.normalizer, path.string());
  impl.model = std::move(model);
  impl.decoder = {WordPieceDecode{"##", /*clean_up=*/true}};
  return impl;
}

namespace {

// A special token of the config, and what it is when the config doesn't say; empty: there is none.
struct SpecialField {
  std::string_view field;
  std::string_view roberta;
  std::string_view gpt2;
};

constexpr SpecialField kSpecialFields[] = {
    {"bos_token", "<s>", "<|endoftext|>"},
    {"eos_token", "</s>", "<|endoftext|>"},
    {"unk_token", "<unk>", "<|endoftext|>"},
    {"sep_token", "</s>", ""},
    {"pad_token", "<pad>", ""},
    {"cls_token", "<s>", ""},
    {"mask_token", "<mask>", ""},
};

bool is_roberta(const Vocabulary& vocabulary, const std::optional<JsonValue>& config) {
  if (const auto name = config ? config->find("tokenizer_class") : std::nullopt) {
    const std::string_view value = name->as_string();
    for (const std::string_view roberta : {"Roberta", "Bart", "Longformer", "LED"}) {
      if (value.starts_with(roberta)) return true;
    }
    if (value.starts_with("GPT2")) return false;
  }
  return vocabulary.find("<s>") && vocabulary.find("</s>");
}

// A special token that the vocabulary hasn't gets the next id, as it does with transformers.
std::vector<AddedToken> byte_pair_special_tokens(const Vocabulary& vocabulary, const std::optional<JsonValue>& config,
                                                 bool roberta) {
  std::vector<AddedToken> added;
  auto next_id = static_cast<int32_t>(vocabulary.size());
  for (const SpecialField& known : kSpecialFields) {
    const std::string content = special_token(config, known.field, roberta ? known.roberta : known.gpt2);
    const auto same = [&](const AddedToken& token) { return token.content == content; };
    if (content.empty() || std::any_of(added.begin(), added.end(), same)) continue;
    AddedToken token;
    token.content = content;
    token.special = true;
    const auto id = vocabulary.find(content);
    token.id = id ? *id : next_id++;
    if (const auto value = config ? config->find(known.field) : std::nullopt; value && value->is_object()) {
      token.single_word = value->bool_or("single_word", false);
      token.lstrip = value->bool_or("lstrip", false);
      token.rstrip = value->bool_or("rstrip", false);
      token.normalized = value->bool_or("normalized", false);
    }
    added.push_back(std::move(token));
  }
  return added;
}

// The first line may be a comment, "#version: 0.2".
LargeVector<Bpe::Pair> parse_merge_lines(std::string_view text, const std::string& path) {
  LargeVector<Bpe::Pair> merges;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    begin = end + 1;
    ++number;
    if (line.empty() || line.starts_with("#version")) continue;
    const auto merge = split_merge(line);
    if (!merge) {
      fail(ErrorCode::kInvalidFile, "{}: line {}: expected two tokens with a space between them, found \"{}\"", path,
           number, line.substr(0, 60));
    }
    merges.push_back(*merge);
  }
  return merges;
}

}  // namespace

Tokenizer::Impl byte_pairs_from_files(const fs::path& vocabulary_path, const fs::path& merges_path,
                                      const std::optional<JsonValue>& config, const LoadOptions& load) {
  const JsonDocument document = JsonDocument::parse_file(vocabulary_path, kMaxTokenizerFileBytes);
  const std::string merges = read_text(merges_path);
  Bpe::Options options;
  options.map_bytes = true;
  auto model = std::make_unique<Bpe>(parse_vocabulary(document.root()), parse_merge_lines(merges, merges_path.string()),
                                     options, merges_path.string());
  const Vocabulary& vocabulary = model->vocabulary();
  const bool roberta = is_roberta(vocabulary, config);
  Tokenizer::Impl impl;
  if (load.lower_case) impl.normalizer = Normalizer({Lowercase{}});
  const bool add_prefix_space = config && config->bool_or("add_prefix_space", false);
  impl.pre_tokenizer = PreTokenizer({ByteLevelSplit{add_prefix_space, /*use_regex=*/true, /*map_bytes=*/false}});
  impl.added_tokens =
      AddedTokens(byte_pair_special_tokens(vocabulary, config, roberta), impl.normalizer, vocabulary_path.string());
  if (roberta) {
    const auto id_of = [&](std::string_view field, std::string_view fallback) {
      const auto id = impl.added_tokens.find(special_token(config, field, fallback));
      if (!id) config->at(field).fail_expected("a token");
      return *id;
    };
    impl.special_tokens = {{id_of("cls_token", "<s>")}, {id_of("sep_token", "</s>")}};
  }
  impl.model = std::move(model);
  impl.decoder = {ByteLevelDecode{}};
  return impl;
}

}  // namespace remuda::text
