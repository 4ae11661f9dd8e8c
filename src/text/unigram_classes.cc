// Classes whose model is SentencePiece's unigram language model.
#include <algorithm>
#include <array>

#include "base/fail.h"
#include "text/tokenizer_class.h"
#include "text/unigram.h"

namespace remuda::text {
namespace {

using Files = TokenizerClass::Files;
using Ends = TokenizerClass::Ends;
using Prepend = MetaspaceSplit::Prepend;

constexpr std::string_view kVisibleSpace = "\u2581";

std::unique_ptr<const Model> make_model(int32_t unknown_id, VocabularyParts& parts) {
  Unigram::Options options;
  options.unknown_id = unknown_id;
  return std::make_unique<Unigram>(std::move(parts.vocabulary), std::move(parts.scores), options, parts.source);
}

// Where the vocabulary has the unknown token, from `first` on and, unless `any_score`, with a score of 0.
std::optional<int32_t> find_unknown(const NamedTokens& named, const VocabularyParts& parts, bool any_score) {
  const auto id = parts.vocabulary.find(named.content("unk_token"));
  if (!id || (!any_score && parts.scores[static_cast<size_t>(*id)] != 0.0)) return std::nullopt;
  return id;
}

// Pieces begin with a visible space; `words`: white space divides before that.
Pipeline pieces_of(bool words, bool add_prefix_space, std::unique_ptr<const Model> model) {
  const MetaspaceSplit metaspace{std::string(kVisibleSpace), add_prefix_space ? Prepend::kAlways : Prepend::kNever,
                                 /*split_pieces=*/true};
  Pipeline pipeline;
  std::vector<PreTokenizerStep> steps;
  if (words) steps.emplace_back(WhitespaceSplit{});
  steps.emplace_back(metaspace);
  pipeline.pre_tokenizer = PreTokenizer(std::move(steps));
  pipeline.model = std::move(model);
  pipeline.decoder = {MetaspaceDecode{metaspace}};
  return pipeline;
}

void add_charsmap(VocabularyParts& parts, Pipeline& pipeline) {
  if (parts.charsmap) pipeline.normalizer.emplace_back(std::move(*parts.charsmap));
}

Replace replace(std::string_view pattern, std::string_view content, size_t min_run = 0) {
  return {std::string(pattern), std::string(content), min_run};
}

Pipeline build_xlm_roberta(const TokenizerConfig& config, const NamedTokens& /*named*/, VocabularyParts& parts) {
  Pipeline pipeline = pieces_of(true, config.flag("add_prefix_space", true), make_model(3, parts));
  add_charsmap(parts, pipeline);
  return pipeline;
}

Pipeline build_camembert(const TokenizerConfig& config, const NamedTokens& named, VocabularyParts& parts) {
  const int32_t unknown = find_unknown(named, parts, /*any_score=*/true).value_or(0);
  Pipeline pipeline = pieces_of(true, config.flag("add_prefix_space", true), make_model(unknown, parts));
  add_charsmap(parts, pipeline);
  return pipeline;
}

Pipeline build_t5(const TokenizerConfig& /*config*/, const NamedTokens& /*named*/, VocabularyParts& parts) {
  Pipeline pipeline = pieces_of(true, true, make_model(2, parts));
  add_charsmap(parts, pipeline);
  return pipeline;
}

void normalize_as_albert(bool keep_accents, bool lower_case, VocabularyParts& parts, Pipeline& pipeline) {
  pipeline.normalizer = {replace("``", "\""), replace("''", "\"")};
  if (!keep_accents) {
    pipeline.normalizer.emplace_back(UnicodeForm{.compatibility = true, .compose = false});
    pipeline.normalizer.emplace_back(StripAccents{});
  }
  if (lower_case) pipeline.normalizer.emplace_back(Lowercase{});
  add_charsmap(parts, pipeline);
}

Pipeline build_albert(const TokenizerConfig& config, const NamedTokens& /*named*/, VocabularyParts& parts) {
  Pipeline pipeline = pieces_of(true, config.flag("add_prefix_space", true), make_model(1, parts));
  normalize_as_albert(config.flag("keep_accents", false), config.flag("do_lower_case", true), parts, pipeline);
  return pipeline;
}

Pipeline build_xlnet(const TokenizerConfig& config, const NamedTokens& /*named*/, VocabularyParts& parts) {
  const auto id = config.find("unk_id");
  const auto unknown = id ? static_cast<int32_t>(id->as_int(0, Vocabulary::kMaxId)) : 0;
  Pipeline pipeline = pieces_of(true, true, make_model(unknown, parts));
  // The class strips accents whatever keep_accents says.
  normalize_as_albert(false, config.flag("do_lower_case", false), parts, pipeline);
  return pipeline;
}

Pipeline build_big_bird(const TokenizerConfig& config, const NamedTokens& named, VocabularyParts& parts) {
  const int32_t unknown = find_unknown(named, parts, /*any_score=*/false).value_or(100);
  Pipeline pipeline = pieces_of(false, config.flag("add_prefix_space", true), make_model(unknown, parts));
  pipeline.normalizer = {replace(" ", kVisibleSpace, 2)};
  return pipeline;
}

std::vector<std::string> t5_sentinels(const TokenizerConfig& config) {
  constexpr int64_t kMostSentinels = 10'000;
  const auto field = config.find("extra_ids");
  const int64_t count = field ? field->as_int(0, kMostSentinels) : 100;
  std::vector<std::string> tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(fmt::format("<extra_id_{}>", i));
  return tokens;
}

std::vector<std::string> camembert_placeholders(const TokenizerConfig& /*config*/) {
  return {"<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"};
}

std::vector<std::string> xlnet_ends(const TokenizerConfig& /*config*/) { return {"<eop>", "<eod>"}; }

// RoBERTa's names, which most have.
std::vector<NamedTokens::Default> roberta_tokens(bool mask_lstrip) {
  return {{"bos_token", "<s>"},
          {"eos_token", "</s>"},
          {"unk_token", "<unk>"},
          {"sep_token", "</s>"},
          {"pad_token", "<pad>"},
          {"cls_token", "<s>"},
          {"mask_token", "<mask>", mask_lstrip}};
}

}  // namespace

std::span<const TokenizerClass> unigram_classes() {
  static const std::array kClasses = {
      TokenizerClass{"XLMRobertaTokenizer", Files::kSentencePiece, Ends::kBosEos, roberta_tokens(false),
                     build_xlm_roberta},
      TokenizerClass{"CamembertTokenizer", Files::kSentencePiece, Ends::kBosEos, roberta_tokens(true), build_camembert,
                     camembert_placeholders},
      TokenizerClass{"AlbertTokenizer",
                     Files::kSentencePiece,
                     Ends::kClsSep,
                     {{"bos_token", "[CLS]"},
                      {"eos_token", "[SEP]"},
                      {"unk_token", "<unk>"},
                      {"sep_token", "[SEP]"},
                      {"pad_token", "<pad>"},
                      {"cls_token", "[CLS]"},
                      {"mask_token", "[MASK]"}},
                     build_albert},
      TokenizerClass{"T5Tokenizer",
                     Files::kSentencePiece,
                     Ends::kEos,
                     {{"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}},
                     build_t5,
                     t5_sentinels},
      TokenizerClass{"XLNetTokenizer",
                     Files::kSentencePiece,
                     Ends::kSepCls,
                     {{"bos_token", "<s>"},
                      {"eos_token", "</s>"},
                      {"unk_token", "<unk>"},
                      {"sep_token", "<sep>"},
                      {"pad_token", "<pad>"},
                      {"cls_token", "<cls>"},
                      {"mask_token", "<mask>", /*lstrip=*/true}},
                     build_xlnet,
                     xlnet_ends},
      TokenizerClass{"BigBirdTokenizer",
                     Files::kSentencePiece,
                     Ends::kClsSep,
                     {{"bos_token", "<s>"},
                      {"eos_token", "</s>"},
                      {"unk_token", "<unk>"},
                      {"sep_token", "[SEP]"},
                      {"pad_token", "<pad>"},
                      {"cls_token", "[CLS]"},
                      {"mask_token", "[MASK]", /*lstrip=*/true}},
                     build_big_bird},
  };
  return kClasses;
}

}  // namespace remuda::text
