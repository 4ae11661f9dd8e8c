// Classes whose model is byte-pair encoding: GPT-2's and those of its kind, which pair bytes, and HerBERT's, which
// pairs the characters of BERT's words.
#include <array>

#include "text/tokenizer_class.h"

namespace remuda::text {
namespace {

using Files = TokenizerClass::Files;
using Ends = TokenizerClass::Ends;

Pipeline build_bytes(bool add_prefix_space, VocabularyParts& parts) {
  Bpe::Options options;
  options.map_bytes = true;
  Pipeline pipeline;
  pipeline.pre_tokenizer = PreTokenizer({ByteLevelSplit{add_prefix_space, /*use_regex=*/true, /*map_bytes=*/false}});
  pipeline.model = std::make_unique<Bpe>(std::move(parts.vocabulary), parts.merges, options, parts.source);
  pipeline.decoder = {ByteLevelDecode{}};
  return pipeline;
}

Pipeline build_byte_level(const TokenizerConfig& config, const NamedTokens& /*named*/, VocabularyParts& parts) {
  return build_bytes(config.flag("add_prefix_space", false), parts);
}

Pipeline build_blenderbot(const TokenizerConfig& config, const NamedTokens& /*named*/, VocabularyParts& parts) {
  return build_bytes(config.flag("add_prefix_space", true), parts);
}

Pipeline build_herbert(const TokenizerConfig& /*config*/, const NamedTokens& named, VocabularyParts& parts) {
  BertNormalizer::Options normalizer;
  normalizer.lowercase = false;
  normalizer.strip_accents = false;
  Bpe::Options options;
  options.unknown_token = named.content("unk_token");
  options.end_of_word_suffix = "</w>";
  Pipeline pipeline;
  pipeline.normalizer = {BertNormalizer(normalizer)};
  pipeline.pre_tokenizer = PreTokenizer({BertSplit{}});
  pipeline.model = std::make_unique<Bpe>(std::move(parts.vocabulary), parts.merges, options, parts.source);
  pipeline.decoder = {SuffixDecode{"</w>", std::nullopt}};
  return pipeline;
}

}  // namespace

std::span<const TokenizerClass> byte_pair_classes() {
  static const std::array kClasses = {
      TokenizerClass{"RobertaTokenizer",
                     Files::kBytePairs,
                     Ends::kClsSep,
                     {{"bos_token", "<s>"},
                      {"eos_token", "</s>"},
                      {"unk_token", "<unk>"},
                      {"sep_token", "</s>"},
                      {"pad_token", "<pad>"},
                      {"cls_token", "<s>"},
                      {"mask_token", "<mask>"}},
                     build_byte_level},
      TokenizerClass{"GPT2Tokenizer",
                     Files::kBytePairs,
                     Ends::kPostProcessor,
                     {{"bos_token", "<|endoftext|>"}, {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}},
                     build_byte_level},
      TokenizerClass{"BlenderbotTokenizer",
                     Files::kBytePairs,
                     Ends::kPostProcessor,
                     {{"bos_token", "<s>"},
                      {"eos_token", "</s>"},
                      {"unk_token", "<unk>"},
                      {"sep_token", "</s>"},
                      {"pad_token", "<pad>"},
                      {"cls_token", "<s>"},
                      {"mask_token", "<mask>", /*lstrip=*/true}},
                     build_blenderbot},
      TokenizerClass{"DebertaTokenizer",
                     Files::kBytePairs,
                     Ends::kClsSep,
                     {{"bos_token", "[CLS]"},
                      {"eos_token", "[SEP]"},
                      {"unk_token", "[UNK]"},
                      {"sep_token", "[SEP]"},
                      {"pad_token", "[PAD]"},
                      {"cls_token", "[CLS]"},
                      {"mask_token", "[MASK]"}},
                     build_byte_level},
      TokenizerClass{"HerbertTokenizer",
                     Files::kBytePairs,
                     Ends::kHerbert,
                     {{"unk_token", "<unk>"},
                      {"sep_token", "</s>"},
                      {"pad_token", "<pad>"},
                      {"cls_token", "<s>"},
                      {"mask_token", "<mask>"}},
                     build_herbert},
  };
  return kClasses;
}

}  // namespace remuda::text
