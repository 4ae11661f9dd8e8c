// SentencePiece's unigram language model: of all ways to cut a piece into tokens the one whose scores, logarithms of
// probabilities, add up to the most (Kudo, https://aclanthology.org/P18-1007), found by Viterbi's algorithm.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/large_vector.h"
#include "text/model.h"
#include "text/piece_cache.h"
#include "text/prefix_trie.h"

namespace remuda::text {

class Unigram final : public Model {
 public:
  struct Options {
    std::optional<int32_t> unknown_id;  // One token for neighbours that are unknown.
    bool byte_fallback = false;         // "<0x0A>" and so on for what is no token.
  };

  // `scores` has one for each id of the vocabulary, none of them NaN. Throws Error(kInvalidFile); `source` names the
  // model.
  Unigram(Vocabulary vocabulary, LargeVector<double> scores, Options options, const std::string& source);

  // Throws Error(kUnsupported) for a character that is no token when there is no unknown token.
  void tokenize(std::string_view piece, std::vector<int32_t>& ids) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  size_t bytes() const override;

 private:
  // The best way to the end of a part of the piece.
  struct Node {
    double score = 0;
    uint32_t start = kUnreached;  // Of its last token.
    int32_t id = -1;
  };
  static constexpr uint32_t kUnreached = UINT32_MAX;

  void tokenize_anew(std::string_view piece, std::vector<int32_t>& ids) const;
  std::vector<Node> best_paths(std::string_view piece) const;
  void append_unknown(std::string_view part, std::vector<int32_t>& ids) const;

  Vocabulary vocabulary_;
  LargeVector<double> scores_;
  Options options_;
  std::string source_;
  PrefixTrie trie_;
  double unknown_score_;
  PieceCache cache_;
};

// A score that Hugging Face has written as JSON and read again, which isn't always the same.
double score_as_hugging_face_reads(double score);

// A vocabulary that is a list of tokens and scores, which are appended to `scores`. Numbers are `exact`, or as Hugging
// Face's tokenizers read them from tokenizer.json. Throws Error(kInvalidFile).
Vocabulary parse_pieces(const JsonValue& vocab, bool exact, LargeVector<double>& scores);

// From tokenizer.json's "model". Throws Error(kInvalidFile).
std::unique_ptr<const Model> parse_unigram(const JsonValue& json);

}  // namespace remuda::text
