#include "text/word_piece.h"

#include "base/fail.h"
#include "text/utf8.h"

namespace remuda::text {

WordPiece::WordPiece(Vocabulary vocabulary, Options options, const std::string& source)
    : vocabulary_(std::move(vocabulary)),
      options_(std::move(options)),
      source_(source),
      unknown_id_(vocabulary_.find(options_.unknown_token)) {
  continuation_hash_.add(options_.continuation_prefix);
}

int32_t WordPiece::unknown_id() const {
  if (!unknown_id_) {
    fail(ErrorCode::kUnsupported,
         "{}: expected the unknown token \"{}\" in the vocabulary, for the text has a word that is unknown, found {} "
         "other tokens",
         source_, options_.unknown_token, vocabulary_.size());
  }
  return *unknown_id_;
}

void WordPiece::tokenize(std::string_view piece, std::vector<int32_t>& ids) const {
  if (too_long(piece)) return ids.push_back(unknown_id());
  // Most words are tokens.
  Vocabulary::Hash hash;
  hash.add(piece);
  if (const int32_t id = vocabulary_.find(hash, {}, piece); id >= 0) return ids.push_back(id);

  const size_t before = ids.size();
  std::string_view prefix;
  hash = Vocabulary::Hash();
  while (!piece.empty()) {
    const Match match = longest_match(hash, prefix, piece);
    if (match.id < 0) {
      ids.resize(before);
      return ids.push_back(unknown_id());
    }
    ids.push_back(match.id);
    piece.remove_prefix(match.length);
    prefix = options_.continuation_prefix;
    hash = continuation_hash_;
  }
}

bool WordPiece::too_long(std::string_view piece) const {
  const auto limit = static_cast<size_t>(options_.max_code_points_per_word);
  return piece.size() > limit && count_code_points(piece) > limit;
}

// The longest token among prefix + text[0, n) for every n that ends a code point; `hash` is that of the prefix.
WordPiece::Match WordPiece::longest_match(Vocabulary::Hash hash, std::string_view prefix, std::string_view text) const {
  Match longest;
  if (prefix.size() > vocabulary_.max_token_bytes()) return longest;
  const size_t limit = std::min(text.size(), vocabulary_.max_token_bytes() - prefix.size());
  for (size_t length = 1; length <= limit; ++length) {
    hash.add(text[length - 1]);
    if (length < text.size() && is_continuation(text[length])) continue;
    const int32_t id = vocabulary_.find(hash, prefix, text.substr(0, length));
    if (id >= 0) longest = {id, length};
  }
  return longest;
}

}  // namespace remuda::text
