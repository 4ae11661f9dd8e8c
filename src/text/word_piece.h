// WordPiece: a word is the longest token that it starts with, then the longest continuation ("##...") of the rest,
// and so on; a word where that fails, or that is too long, is the unknown token.
#pragma once

#include <optional>
#include <string>

#include "text/model.h"

namespace remuda::text {

class WordPiece final : public Model {
 public:
  struct Options {
    std::string unknown_token = "[UNK]";
    std::string continuation_prefix = "##";
    int64_t max_code_points_per_word = 100;
  };

  // `source` names the model.
  WordPiece(Vocabulary vocabulary, Options options, const std::string& source);

  // Throws Error(kUnsupported) for a word that is unknown when the vocabulary lacks the unknown token.
  void tokenize(std::string_view piece, std::vector<int32_t>& ids) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  struct Match {
    int32_t id = -1;
    size_t length = 0;
  };

  int32_t unknown_id() const;
  bool too_long(std::string_view piece) const;
  Match longest_match(Vocabulary::Hash hash, std::string_view prefix, std::string_view text) const;

  Vocabulary vocabulary_;
  Options options_;
  std::string source_;
  std::optional<int32_t> unknown_id_;
  Vocabulary::Hash continuation_hash_;
};

}  // namespace remuda::text
