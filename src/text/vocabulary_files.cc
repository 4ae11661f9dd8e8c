#include "text/vocabulary_files.h"

#include <algorithm>
#include <unordered_map>

#include "base/fail.h"
#include "base/files.h"
#include "text/bpe.h"
#include "text/unigram.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
  std::string text = read_file(path, kMaxTokenizerFileBytes);
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
Vocabulary read_vocabulary(const fs::path& path, LineEnd line_end) {
  const std::string text = read_text(path);
  std::unordered_map<std::string_view, int64_t> ids;
  std::vector<std::string_view> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = std::string_view(text).substr(begin, end - begin);
    if (line_end == LineEnd::kTrimmed) {
      line = without_trailing_space(line);
    } else if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    lines.push_back(line);
    ids[lines.back()] = std::ssize(lines) - 1;
    begin = end + 1;
  }
  Vocabulary vocabulary(path.string(), ids.size());
  for (int64_t id = 0; id < std::ssize(lines); ++id) {
    if (ids[lines[static_cast<size_t>(id)]] == id) vocabulary.add(lines[static_cast<size_t>(id)], id);
  }
  return vocabulary;
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

// The ids of a vocabulary that is a list are the tokens' places in it.
Vocabulary parse_vocabulary_of_class(const JsonValue& json) {
  if (json.is_object()) return parse_vocabulary(json);
  const auto items = json.items();
  Vocabulary vocabulary(json.where(), items.size());
  int64_t id = 0;
  for (const JsonValue& item : items) {
    const auto pair = item.is_array() ? item.items() : LargeVector<JsonValue>();
    if (item.is_array() && pair.empty()) item.fail_expected("a token");
    vocabulary.add((item.is_array() ? pair.front() : item).as_string(), id++);
  }
  return vocabulary;
}

// A Precompiled of a normalizer, or of the outermost sequence of them.
std::optional<Precompiled> find_charsmap(const std::optional<JsonValue>& normalizer) {
  if (!normalizer || !normalizer->is_object()) return std::nullopt;
  const auto charsmap_of = [](const JsonValue& step) -> std::optional<Precompiled> {
    if (step.string_or("type", "") != "Precompiled" || !step.find("precompiled_charsmap")) return std::nullopt;
    return parse_precompiled(step);
  };
  if (normalizer->string_or("type", "") != "Sequence") return charsmap_of(*normalizer);
  for (const JsonValue& step : normalizer->at("normalizers").items()) {
    if (auto charsmap = charsmap_of(step)) return charsmap;
  }
  return std::nullopt;
}

}  // namespace

VocabularyParts read_vocabulary_lines(const fs::path& path, LineEnd end) {
  VocabularyParts parts;
  parts.source = path.string();
  parts.vocabulary = read_vocabulary(path, end);
  return parts;
}

VocabularyParts read_byte_pair_files(const fs::path& vocabulary, const fs::path& merges) {
  VocabularyParts parts;
  parts.source = merges.string();
  parts.vocabulary = parse_vocabulary(JsonDocument::parse_file(vocabulary, kMaxTokenizerFileBytes).root());
  parts.text = std::make_shared<const std::string>(read_text(merges));
  parts.merges = parse_merge_lines(*parts.text, merges.string());
  return parts;
}

VocabularyParts parse_vocabulary_parts(const JsonValue& tokenizer_json, TokenizerClass::Files files) {
  const JsonValue model = tokenizer_json.at("model");
  VocabularyParts parts;
  parts.source = model.where();
  parts.post_processor = tokenizer_json.find("post_processor");
  if (files == TokenizerClass::Files::kSentencePiece) {
    parts.vocabulary = parse_pieces(model.at("vocab"), /*exact=*/true, parts.scores);
    parts.charsmap = find_charsmap(tokenizer_json.find("normalizer"));
    return parts;
  }
  parts.vocabulary = parse_vocabulary_of_class(model.at("vocab"));
  // Another kind of model has no merges; for a class of byte pairs its tokens are those of single bytes alone.
  const auto merges = files == TokenizerClass::Files::kBytePairs ? model.find("merges") : std::nullopt;
  if (merges) parts.merges = parse_merges(*merges);
  return parts;
}

}  // namespace remuda::text
