// What transformers' tokenizer classes make of a vocabulary. Since version 5 a class builds its normalizer,
// pre-tokenizer, decoder and special tokens anew from the settings, and takes no more than vocabulary and merges of a
// tokenizer.json; the base class, TokenizersBackend (PreTrainedTokenizerFast once), takes that file as it is.
//
// A class is a row of one of the tables of word_piece_classes.cc, byte_pair_classes.cc and unigram_classes.cc.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/large_vector.h"
#include "text/bpe.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_impl.h"

namespace remuda::text {

// A vocabulary and what belongs to it, whichever file it stood in.
struct VocabularyParts {
  std::string source;  // Names the file, or the part of it, in errors.
  Vocabulary vocabulary;
  LargeVector<Bpe::Pair> merges;  // Byte pairs, views of `text` or of a JSON document that outlives them.
  std::shared_ptr<const std::string> text;
  LargeVector<double> scores;           // SentencePiece's, one for each id.
  std::optional<Precompiled> charsmap;  // SentencePiece's normalizer.
  // tokenizer.json's "post_processor", which counts for a class without one of its own.
  std::optional<JsonValue> post_processor;
};

// The named special tokens (cls_token and so on) that hold: a file's, or else the class's.
class NamedTokens {
 public:
  // What a class calls one where no file does.
  struct Default {
    std::string_view field;
    std::string_view content;
    bool lstrip = false;  // Also of a token that a file gives as a string.
  };

  NamedTokens(const TokenizerConfig& config, std::span<const Default> defaults);

  // nullptr where there is none.
  const TokenSetting* find(std::string_view field) const;
  // Throws Error(kInvalidFile) where there is none.
  const std::string& content(std::string_view field) const;
  bool has_content(std::string_view content) const;
  // In transformers' order, without those that aren't.
  const std::vector<std::pair<std::string, TokenSetting>>& tokens() const { return tokens_; }

 private:
  std::vector<std::pair<std::string, TokenSetting>> tokens_;
};

// The steps of a tokenizer, before it has its added tokens.
struct Pipeline {
  std::vector<NormalizerStep> normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<const Model> model;
  std::vector<DecoderStep> decoder;
};

struct TokenizerClass {
  // kTokenLines: a vocab.txt whose tokens may begin and end with white space.
  enum class Files { kVocabularyLines, kTokenLines, kBytePairs, kSentencePiece };
  // The special tokens around a text: those of these fields, or those that requested_ends or else tokenizer.json's
  // post-processor has.
  enum class Ends { kClsSep, kBosEos, kEos, kSepCls, kHerbert, kPostProcessor };

  std::string_view name;
  Files files;
  Ends ends;
  std::vector<NamedTokens::Default> special;
  // Makes the steps, and moves from the parts.
  Pipeline (*build)(const TokenizerConfig& config, const NamedTokens& named, VocabularyParts& parts);
  // "additional_special_tokens" where no file has any; may be null.
  std::vector<std::string> (*extra)(const TokenizerConfig& config) = nullptr;
  // Whether Python code makes its tokens: tokenizer.json doesn't count, and added tokens are found in the text as it
  // is.
  bool is_python = false;
};

std::span<const TokenizerClass> word_piece_classes();
std::span<const TokenizerClass> byte_pair_classes();
std::span<const TokenizerClass> unigram_classes();

// The class that transformers' AutoTokenizer picks.
struct ClassChoice {
  std::string name;
  // nullptr: tokenizer.json is taken as it is.
  const TokenizerClass* recipe = nullptr;
  // Whether transformers takes that file as it is, too.
  bool is_exact = true;
};
// Throws Error(kUnsupported) for a class whose tokens only its own Python code makes.
ClassChoice choose_class(const TokenizerConfig& config);

// Adds the tokens that the files name, in transformers' order. `extra`: the class's own, which count where no file has
// any.
void add_tokens(const TokenizerConfig& config, const NamedTokens& named, std::span<const std::string> extra,
                AddedTokenList& list);

// bos and eos around a text, where add_bos_token or add_eos_token ask for them: a caller's alone beside a
// tokenizer.json, whose post-processor has them already. nullopt: nobody asks.
std::optional<SpecialTokens> requested_ends(const TokenizerConfig& config, const NamedTokens& named,
                                            const AddedTokenList& list);

Tokenizer::Impl build_tokenizer(const TokenizerClass& recipe, const TokenizerConfig& config, VocabularyParts parts,
                                bool lower_case);

}  // namespace remuda::text
