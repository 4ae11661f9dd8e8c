// Tokens that are found in the text itself before anything else happens to it: special tokens like "[SEP]", and those
// that a fine-tuning added. Matching is that of Hugging Face `tokenizers`: the leftmost, and of those the longest,
// first for tokens that stand in the raw text, then for those that stand in the normalized text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "text/normalizer.h"
#include "text/vocabulary.h"

namespace remuda::text {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  // Only where no word character stands next to it.
  bool lstrip = false;       // With the white space on its left.
  bool rstrip = false;
  bool normalized = false;  // Sought, in its normalized form, in the normalized text.
  bool special = false;     // Left out of decoded text when that is asked for.
};

// Tokens that are added to a vocabulary one after the other, as `tokenizers` does it. A token of the vocabulary keeps
// its id there; the others get the ids after it in order. One that is there already takes the new flags, but stays
// special if it was.
class AddedTokenList {
 public:
  // Also throws Error(kInvalidFile) when there are too many; `source` names them. The vocabulary must outlive it.
  AddedTokenList(const Vocabulary& vocabulary, std::string source);

  // The token's own id doesn't count. Returns the id that it has. One without content isn't added.
  std::optional<int32_t> add(AddedToken token);
  std::optional<int32_t> find(std::string_view content) const;
  // Whether a token is there with the same flags.
  bool has(const AddedToken& token) const;
  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  const Vocabulary* vocabulary_;
  std::string source_;
  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, size_t> index_;
  int32_t next_id_;
};

// One of the added tokens' two sets, ready for search. Immutable.
class AddedTokenMatcher {
 public:
  AddedTokenMatcher() = default;
  struct Pattern {
    std::string text;
    AddedToken token;
  };
  // Of patterns that are the same the one with the lowest id counts. Throws Error(kInvalidFile) when one is empty;
  // `source` names them.
  AddedTokenMatcher(std::vector<Pattern> patterns, const std::string& source);

  bool empty() const { return patterns_.empty(); }

  // Calls on_text(std::string_view) and on_token(int32_t id) for the parts of `text`, in order.
  template <typename OnText, typename OnToken>
  void split(std::string_view text, OnText on_text, OnToken on_token) const {
    size_t done = 0;
    for (std::optional<Match> match = next(text, 0, 0); match; match = next(text, match->scanned, done)) {
      if (match->pattern == nullptr) continue;
      if (done < match->begin) on_text(text.substr(done, match->begin - done));
      // A token whose white space the one before has taken is gone when it was nothing else.
      if (match->begin < match->end) on_token(match->pattern->token.id);
      done = match->end;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

 private:
  struct Match {
    const Pattern* pattern;  // nullptr for one that its flags reject.
    size_t begin;            // With the white space that its flags take.
    size_t end;
    size_t scanned;  // Where the search goes on.
  };

  // The next match from `from` on; everything before `done` was given away already.
  std::optional<Match> next(std::string_view text, size_t from, size_t done) const;
  size_t next_candidate(std::string_view text, size_t from) const;
  const Pattern* longest_at(std::string_view text) const;
  static Match apply_flags(std::string_view text, size_t begin, size_t done, const Pattern& pattern);

  std::vector<Pattern> patterns_;  // Sorted by text.
  std::array<bool, 256> starts_{};
  std::optional<char> only_start_;
};

class AddedTokens {
 public:
  AddedTokens() = default;
  // With `split_special` the special ones are no tokens where a text has them, but text. Throws Error(kInvalidFile).
  // `source` names them.
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer, const std::string& source,
              bool split_special = false);

  const AddedTokenMatcher& raw() const { return raw_; }
  const AddedTokenMatcher& normalized() const { return normalized_; }
  std::optional<int32_t> find(std::string_view content) const;
  std::optional<std::string_view> token(int32_t id) const;
  // What stands for the token in decoded text: its normalized form, where that is what is sought.
  std::optional<std::string_view> decoded_token(int32_t id) const;
  // Whether a special token has this content.
  bool is_special(std::string_view content) const;
  // One more than the largest id, 0 for none.
  int32_t id_limit() const;
  size_t bytes() const;

 private:
  std::optional<size_t> index_of(int32_t id) const;

  std::vector<AddedToken> tokens_;    // Sorted by id.
  std::vector<std::string> decoded_;  // For each of them.
  std::vector<std::string> special_;  // Sorted.
  AddedTokenMatcher raw_;
  AddedTokenMatcher normalized_;
};

// Adds those of tokenizer.json's "added_tokens" in the order of the file. Their ids there don't count: a warning says
// how many are others.
void parse_added_tokens(const JsonValue& json, AddedTokenList& list);

}  // namespace remuda::text
