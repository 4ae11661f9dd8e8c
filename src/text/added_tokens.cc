#include "text/added_tokens.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <unordered_map>

#include "base/fail.h"
#include "base/log.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

constexpr size_t kMaxAddedTokens = size_t{1} << 18;
constexpr size_t kMaxPatternBytes = size_t{1} << 26;

bool ends_with(std::string_view text, Property property) {
  size_t position = text.size();
  return position > 0 && UnicodeTable::get().has(previous_code_point(text, position), property);
}

bool starts_with(std::string_view text, Property property) {
  size_t position = 0;
  return !text.empty() && UnicodeTable::get().has(next_code_point(text, position), property);
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<Pattern> patterns, const std::string& source)
    : patterns_(std::move(patterns)) {
  std::sort(patterns_.begin(), patterns_.end(), [](const Pattern& a, const Pattern& b) {
    return std::tie(a.text, a.token.id) < std::tie(b.text, b.token.id);
  });
  // Tokens may differ in case alone, say, and be the same when normalized. Hugging Face's choice then changes from
  // run to run.
  const auto same = [](const Pattern& a, const Pattern& b) { return a.text == b.text; };
  patterns_.erase(std::unique(patterns_.begin(), patterns_.end(), same), patterns_.end());
  for (const auto& [text, token] : patterns_) {
    if (text.empty()) {
      fail(ErrorCode::kInvalidFile, "{}: expected something of \"{}\" to be left by the normalizer, found nothing",
           source, token.content);
    }
    starts_[static_cast<unsigned char>(text.front())] = true;
  }
  if (!patterns_.empty() && patterns_.front().text.front() == patterns_.back().text.front()) {
    only_start_ = patterns_.front().text.front();
  }
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::next(std::string_view text, size_t from, size_t done) const {
  for (size_t position = next_candidate(text, from); position < text.size();
       position = next_candidate(text, position + 1)) {
    if (const Pattern* pattern = longest_at(text.substr(position))) {
      return apply_flags(text, position, done, *pattern);
    }
  }
  return std::nullopt;
}

// Most texts have no character that a token starts with.
size_t AddedTokenMatcher::next_candidate(std::string_view text, size_t from) const {
  if (patterns_.empty() || from >= text.size()) return text.size();
  if (only_start_) {
    const void* found = std::memchr(text.data() + from, *only_start_, text.size() - from);
    return found == nullptr ? text.size() : static_cast<size_t>(static_cast<const char*>(found) - text.data());
  }
  while (from < text.size() && !starts_[static_cast<unsigned char>(text[from])]) ++from;
  return from;
}

// Narrows the range of patterns that start as the text does, byte by byte; the first of a range is its shortest.
const AddedTokenMatcher::Pattern* AddedTokenMatcher::longest_at(std::string_view text) const {
  const Pattern* longest = nullptr;
  auto first = patterns_.begin();
  auto last = patterns_.end();
  for (size_t depth = 0; depth < text.size() && first != last; ++depth) {
    const auto byte = static_cast<unsigned char>(text[depth]);
    const auto at_depth = [depth](const Pattern& p) { return static_cast<unsigned char>(p.text[depth]); };
    first = std::partition_point(first, last, [&](const Pattern& p) { return at_depth(p) < byte; });
    last = std::partition_point(first, last, [&](const Pattern& p) { return at_depth(p) == byte; });
    if (first != last && first->text.size() == depth + 1) longest = &*first++;
  }
  return longest;
}

AddedTokenMatcher::Match AddedTokenMatcher::apply_flags(std::string_view text, size_t begin, size_t done,
                                                        const Pattern& pattern) {
  size_t end = begin + pattern.text.size();
  const size_t scanned = end;
  const AddedToken& token = pattern.token;
  if (token.single_word && (ends_with(text.substr(0, begin), kWord) || starts_with(text.substr(end), kWord))) {
    return {nullptr, begin, end, scanned};
  }
  if (token.lstrip) {
    while (begin > done && ends_with(text.substr(0, begin), kWhiteSpace)) previous_code_point(text, begin);
    begin = std::max(begin, done);
  }
  // A match inside the white space that the one before took needn't look at it again: linear time.
  if (token.rstrip) end = std::max(end, done);
  while (token.rstrip && starts_with(text.substr(end), kWhiteSpace)) next_code_point(text, end);
  return {&pattern, begin, end, scanned};
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer, const std::string& source,
                         bool split_special)
    : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  std::vector<AddedTokenMatcher::Pattern> raw;
  std::vector<AddedTokenMatcher::Pattern> normalized;
  size_t pattern_bytes = 0;
  for (const AddedToken& token : tokens_) {
    if (token.special) special_.push_back(token.content);
    std::string pattern = token.content;
    if (token.normalized) normalizer.normalize(token.content, pattern);
    decoded_.push_back(pattern);
    pattern_bytes += pattern.size();
    if (pattern_bytes > kMaxPatternBytes) {
      fail(ErrorCode::kInvalidFile, "{}: expected at most {} bytes of tokens when normalized, found more", source,
           kMaxPatternBytes);
    }
    if (split_special && token.special) continue;
    (token.normalized ? normalized : raw).push_back({std::move(pattern), token});
  }
  std::sort(special_.begin(), special_.end());
  raw_ = AddedTokenMatcher(std::move(raw), source);
  normalized_ = AddedTokenMatcher(std::move(normalized), source);
}

std::optional<int32_t> AddedTokens::find(std::string_view content) const {
  for (const AddedToken& token : tokens_) {
    if (token.content == content) return token.id;
  }
  return std::nullopt;
}

std::optional<size_t> AddedTokens::index_of(int32_t id) const {
  const auto found = std::lower_bound(tokens_.begin(), tokens_.end(), id,
                                      [](const AddedToken& token, int32_t wanted) { return token.id < wanted; });
  if (found == tokens_.end() || found->id != id) return std::nullopt;
  return static_cast<size_t>(found - tokens_.begin());
}

std::optional<std::string_view> AddedTokens::token(int32_t id) const {
  const auto index = index_of(id);
  return index ? std::optional<std::string_view>(tokens_[*index].content) : std::nullopt;
}

std::optional<std::string_view> AddedTokens::decoded_token(int32_t id) const {
  const auto index = index_of(id);
  return index ? std::optional<std::string_view>(decoded_[*index]) : std::nullopt;
}

bool AddedTokens::is_special(std::string_view content) const {
  return std::binary_search(special_.begin(), special_.end(), content, std::less<std::string_view>());
}

int32_t AddedTokens::id_limit() const { return tokens_.empty() ? 0 : tokens_.back().id + 1; }

size_t AddedTokens::bytes() const {
  size_t bytes = 0;
  for (const AddedToken& token : tokens_) bytes += 3 * (sizeof(AddedToken) + token.content.capacity());
  return bytes;
}

namespace {

AddedToken parse_added_token(const JsonValue& json) {
  AddedToken token;
  const JsonValue content = json.at("content");
  if (content.as_string().size() > Vocabulary::kMaxTokenBytes) {
    content.fail_expected(fmt::format("at most {} bytes", Vocabulary::kMaxTokenBytes));
  }
  token.content = content.as_string();
  token.id = static_cast<int32_t>(json.at("id").as_int(0, Vocabulary::kMaxId));
  token.single_word = json.at("single_word").as_bool();
  token.lstrip = json.at("lstrip").as_bool();
  token.rstrip = json.at("rstrip").as_bool();
  token.normalized = json.at("normalized").as_bool();
  token.special = json.bool_or("special", false);
  return token;
}

}  // namespace

AddedTokenList::AddedTokenList(const Vocabulary& vocabulary, std::string source)
    : vocabulary_(&vocabulary), source_(std::move(source)), next_id_(static_cast<int32_t>(vocabulary.size())) {}

std::optional<int32_t> AddedTokenList::add(AddedToken token) {
  if (token.content.empty()) return std::nullopt;
  if (tokens_.size() >= kMaxAddedTokens) {
    fail(ErrorCode::kInvalidFile, "{}: expected at most {} added tokens, found more", source_, kMaxAddedTokens);
  }
  const auto [seen, is_new] = index_.try_emplace(token.content, tokens_.size());
  if (!is_new) {
    AddedToken& known = tokens_[seen->second];
    token.id = known.id;
    token.special |= known.special;
    known = std::move(token);
    return known.id;
  }
  const auto known = vocabulary_->find(token.content);
  token.id = known ? *known : next_id_;
  // Of a vocabulary whose ids have gaps, a token may stand where the next new one would.
  next_id_ = std::max(next_id_, token.id + 1);
  tokens_.push_back(std::move(token));
  return tokens_.back().id;
}

std::optional<int32_t> AddedTokenList::find(std::string_view content) const {
  const auto found = index_.find(std::string(content));
  return found == index_.end() ? std::nullopt : std::optional(tokens_[found->second].id);
}

bool AddedTokenList::has(const AddedToken& token) const {
  const auto found = index_.find(token.content);
  if (found == index_.end()) return false;
  const auto flags = [](const AddedToken& t) {
    return std::tuple(t.single_word, t.lstrip, t.rstrip, t.normalized, t.special);
  };
  return flags(tokens_[found->second]) == flags(token);
}

void parse_added_tokens(const JsonValue& json, AddedTokenList& list) {
  const auto items = json.items();
  if (items.size() > kMaxAddedTokens) json.fail_expected(fmt::format("at most {} tokens", kMaxAddedTokens));
  size_t moved = 0;
  for (const JsonValue& item : items) {
    AddedToken token = parse_added_token(item);
    const int32_t id_in_file = token.id;
    const bool is_new = !list.find(token.content);
    const auto id = list.add(std::move(token));
    moved += is_new && id && *id != id_in_file;
  }
  if (moved > 0) {
    log::warning("{}: {} of {} tokens have another id here than the vocabulary gives them, which counts", json.where(),
                 moved, items.size());
  }
}

}  // namespace remuda::text
