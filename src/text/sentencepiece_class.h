// The tokenizer classes of transformers that are built from a SentencePiece file, what each makes of it, and which of
// them a directory gets.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer_arguments.h"
#include "text/tokenizer_impl.h"

namespace remuda::text {

// A tokenizer under construction: what a class is called with, and what it sets.
struct SentencePieceBuild {
  const SentencePieceModel& file;
  const TokenizerArguments& arguments;
  std::string source;

  // Ids are indices; of a token that is there twice the last one counts.
  std::vector<std::pair<std::string, double>> vocabulary = {};
  int64_t unknown_id = 0;

  std::vector<NormalizerStep> normalizer = {};
  std::vector<PreTokenizerStep> pre_tokenizer = {};
  std::vector<DecoderStep> decoder = {};
  // Without a role. The files' own take their place.
  std::vector<TokenArgument> extra = {};
};

struct SentencePieceClass {
  enum class Model { kUnigram, kBpe, kAsTrained };
  // Special tokens around a text. kFlags: those that add_bos_token and add_eos_token ask for, which count for
  // kOwnUnlessFlags where they are there.
  enum class Around { kFlags, kBosEos, kClsSep, kSepCls, kEos, kEosLanguage, kLanguageEos, kOwnUnlessFlags };

  std::string_view name;
  std::string_view file;  // Its own file's name; empty: "tokenizer.model", which counts for every class.
  Model model;
  Around around;
  // Its special tokens; empty: none.
  std::array<std::string_view, kNamedTokens> tokens;
  bool mask_takes_space;  // A mask token without flags takes the white space before it.
  void (*build)(SentencePieceBuild& build);
};

// The class by its name, with "Fast" after it or not; nullptr: it isn't built from such a file, or not known.
const SentencePieceClass* find_sentencepiece_class(std::string_view name);

// What transformers' AutoTokenizer takes a directory's class for, by tokenizer_config.json's tokenizer_class and
// config.json's tokenizer_class and model_type. Empty where they don't say. Throws Error(kInvalidFile).
std::string tokenizer_class_of(const std::filesystem::path& directory, const std::optional<JsonValue>& config);

// MBart's, and with `all` mBART-50's.
std::vector<std::string_view> mbart_languages(bool all);

}  // namespace remuda::text
