// BERT's tokenizer and those of its kind: their rules are its normalizer and its words, and WordPiece.
#include <array>

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
