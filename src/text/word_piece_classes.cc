// BERT's tokenizer and those of its kind: their rules are its normalizer and its words, and WordPiece.
#include <array>

#include "base/fail.h"
#include "text/characters.h"
#include "text/tokenizer_class.h"
#include "text/word_piece.h"

namespace remuda::text {
namespace {

using Files = TokenizerClass::Files;
using Ends = TokenizerClass::Ends;

BertNormalizer::Options normalizer_options(const TokenizerConfig& config) {
  BertNormalizer::Options options;
  options.lowercase = config.flag("do_lower_case", true);
  options.handle_chinese_chars = config.flag("tokenize_chinese_chars", true);
  options.strip_accents = config.flag("strip_accents", options.lowercase);
  return options;
}

Pipeline build_with(const BertNormalizer::Options& options, const NamedTokens& named, VocabularyParts& parts) {
  WordPiece::Options model;
  model.unknown_token = named.content("unk_token");
  Pipeline pipeline;
  pipeline.normalizer = {BertNormalizer(options)};
  pipeline.pre_tokenizer = PreTokenizer({BertSplit{}});
  pipeline.model = std::make_unique<WordPiece>(std::move(parts.vocabulary), std::move(model), parts.source);
  pipeline.decoder = {WordPieceDecode{"##", /*clean_up=*/true}};
  return pipeline;
}

Pipeline build(const TokenizerConfig& config, const NamedTokens& named, VocabularyParts& parts) {
  return build_with(normalizer_options(config), named, parts);
}

// DPR's classes keep do_lower_case to themselves, so that the letters are always made small.
Pipeline build_dpr(const TokenizerConfig& config, const NamedTokens& named, VocabularyParts& parts) {
  BertNormalizer::Options options = normalizer_options(config);
  options.lowercase = true;
  options.strip_accents = config.flag("strip_accents", true);
  return build_with(options, named, parts);
}

Pipeline build_funnel(const TokenizerConfig& config, const NamedTokens& named, VocabularyParts& parts) {
  BertNormalizer::Options options = normalizer_options(config);
  options.clean_text = config.flag("clean_text", true);
  Pipeline pipeline = build_with(options, named, parts);
  const auto prefix = config.find("wordpieces_prefix");
  pipeline.decoder = {WordPieceDecode{prefix ? std::string(prefix->as_string()) : "##", /*clean_up=*/true}};
  return pipeline;
}

// transformers' own Python code for Japanese: words as BERT's, of which pieces or characters are the tokens. Those that
// a morphological analyser finds are not made here.
Pipeline build_japanese(const TokenizerConfig& config, const NamedTokens& named, VocabularyParts& parts) {
  const auto choice = [&](std::string_view key, std::string_view fallback) {
    const auto value = config.find(key);
    return value ? value->as_string() : fallback;
  };
  const auto refuse = [](std::string_view key, std::string_view expected, std::string_view found) {
    fail(ErrorCode::kUnsupported, "{}: expected {}, found {}, which remuda does not run", key, expected, found);
  };
  const bool in_words = config.flag("do_word_tokenize", true);
  const std::string_view words = choice("word_tokenizer_type", "basic");
  const std::string_view tokens = choice("subword_tokenizer_type", "wordpiece");
  if (in_words && words != "basic") refuse("word_tokenizer_type", "basic", words);
  if (tokens != "wordpiece" && tokens != "character") {
    refuse("subword_tokenizer_type", "wordpiece or character", tokens);
  }
  if (!config.flag("do_subword_tokenize", true)) refuse("do_subword_tokenize", "true", "false");
  if (config.find("never_split")) refuse("never_split", "null", "words");

  Pipeline pipeline;
  const BertNormalizer::Options nothing{
      .clean_text = false, .handle_chinese_chars = false, .strip_accents = false, .lowercase = false};
  if (in_words) {
    BertNormalizer::Options clean = nothing;
    clean.clean_text = true;
    pipeline.normalizer = {BertNormalizer(clean), UnicodeForm{.compatibility = false, .compose = true}};
    if (config.flag("do_lower_case", false)) {
      BertNormalizer::Options strip = nothing;
      strip.strip_accents = true;
      pipeline.normalizer.emplace_back(Lowercase{.final_sigma = true});
      pipeline.normalizer.emplace_back(BertNormalizer(strip));
    }
    pipeline.pre_tokenizer = PreTokenizer({BertSplit{}});
  } else if (tokens == "wordpiece") {
    // What Python's str.split takes for white space beyond Unicode's.
    for (const char control : {'\x1C', '\x1D', '\x1E', '\x1F'}) {
      pipeline.normalizer.emplace_back(Replace{std::string(1, control), " "});
    }
    pipeline.pre_tokenizer = PreTokenizer({WhitespaceSplit{}});
  }
  const std::string& unknown = named.content("unk_token");
  if (tokens == "character") {
    pipeline.model = std::make_unique<Characters>(std::move(parts.vocabulary), unknown, parts.source);
  } else {
    WordPiece::Options model;
    model.unknown_token = unknown;
    pipeline.model = std::make_unique<WordPiece>(std::move(parts.vocabulary), std::move(model), parts.source);
  }
  pipeline.decoder = {WordPieceDecode{"##", /*clean_up=*/false}};
  return pipeline;
}

std::vector<NamedTokens::Default> bert_tokens() {
  return {{"unk_token", "[UNK]"},
          {"sep_token", "[SEP]"},
          {"pad_token", "[PAD]"},
          {"cls_token", "[CLS]"},
          {"mask_token", "[MASK]"}};
}

}  // namespace

std::span<const TokenizerClass> word_piece_classes() {
  static const std::array kClasses = {
      TokenizerClass{"BertTokenizer", Files::kVocabularyLines, Ends::kClsSep, bert_tokens(), build},
      TokenizerClass{.name = "BertJapaneseTokenizer",
                     .files = Files::kTokenLines,
                     .ends = Ends::kClsSep,
                     .special = bert_tokens(),
                     .build = build_japanese,
                     .is_python = true},
      TokenizerClass{"DPRContextEncoderTokenizer", Files::kVocabularyLines, Ends::kClsSep, bert_tokens(), build_dpr},
      TokenizerClass{"DPRQuestionEncoderTokenizer", Files::kVocabularyLines, Ends::kClsSep, bert_tokens(), build_dpr},
      TokenizerClass{"DPRReaderTokenizer", Files::kVocabularyLines, Ends::kClsSep, bert_tokens(), build_dpr},
      TokenizerClass{"MPNetTokenizer",
                     Files::kVocabularyLines,
                     Ends::kClsSep,
                     {{"bos_token", "<s>"},
                      {"eos_token", "</s>"},
                      {"unk_token", "[UNK]"},
                      {"sep_token", "</s>"},
                      {"pad_token", "<pad>"},
                      {"cls_token", "<s>"},
                      {"mask_token", "<mask>", /*lstrip=*/true}},
                     build},
      TokenizerClass{"FunnelTokenizer",
                     Files::kVocabularyLines,
                     Ends::kClsSep,
                     {{"bos_token", "<s>"},
                      {"eos_token", "</s>"},
                      {"unk_token", "<unk>"},
                      {"sep_token", "<sep>"},
                      {"pad_token", "<pad>"},
                      {"cls_token", "<cls>"},
                      {"mask_token", "<mask>"}},
                     build_funnel},
  };
  return kClasses;
}

}  // namespace remuda::text
