#include "text/sentencepiece_class.h"

#include <algorithm>

#include "base/fail.h"
#include "base/files.h"

namespace remuda::text {
namespace {

namespace fs = std::filesystem;

using Build = SentencePieceBuild;
using Prepend = MetaspaceSplit::Prepend;

constexpr std::string_view kSpace = "\xE2\x96\x81";
constexpr int64_t kMaxExtraIds = 1 << 16;

constexpr std::string_view kLanguages[] = {
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT",
    "ja_XX", "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK",
    "tr_TR", "vi_VN", "zh_CN", "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE",
    "km_KH", "mk_MK", "ml_IN", "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN",
    "te_IN", "th_TH", "tl_XX", "uk_UA", "ur_PK", "xh_ZA", "gl_ES", "sl_SI"};
constexpr size_t kMbartLanguages = 25;

// ---- The parts that classes have in common.

void add_character_map(Build& build) {
  if (build.file.character_map.empty()) return;
  build.normalizer.emplace_back(
      Precompiled(std::make_shared<const CharacterMap>(build.file.character_map, build.source)));
}

// Two spaces and more to one thing.
void fold_spaces(Build& build, std::string_view content) {
  build.normalizer.emplace_back(Replace{" ", std::string(content), 2});
}

void add_metaspace(Build& build, Prepend prepend, bool split = true) {
  const MetaspaceSplit metaspace{std::string(kSpace), prepend, split};
  build.pre_tokenizer.emplace_back(metaspace);
  build.decoder = {MetaspaceDecode{metaspace}};
}

Prepend prefix_of(const Build& build) {
  return build.arguments.flag("add_prefix_space", true) ? Prepend::kAlways : Prepend::kNever;
}

// The first `count` pieces make way for others.
void take_pieces(Build& build, size_t count) {
  const auto& pieces = build.file.pieces;
  build.vocabulary.reserve(build.vocabulary.size() + pieces.size());
  for (size_t id = count; id < pieces.size(); ++id) {
    build.vocabulary.emplace_back(pieces[id].text, double{pieces[id].score});
  }
}

void add_entry(Build& build, NamedToken name, std::string_view fallback) {
  build.vocabulary.emplace_back(build.arguments.text_of(name, fallback), 0.0);
}

// fairseq's vocabulary: its four special tokens instead of SentencePiece's three.
void take_fairseq_pieces(Build& build, NamedToken first) {
  add_entry(build, first, "<s>");
  add_entry(build, NamedToken::kPad, "<pad>");
  add_entry(build, NamedToken::kEos, "</s>");
  add_entry(build, NamedToken::kUnknown, "<unk>");
  take_pieces(build, 3);
  build.unknown_id = 3;
}

// ``Quotes'' as TeX has them, and accents and case as the class is asked to.
void normalize_letters(Build& build, bool keep_accents, bool lower_case) {
  build.normalizer.emplace_back(Replace{"``", "\"", 0});
  build.normalizer.emplace_back(Replace{"''", "\"", 0});
  if (!keep_accents) {
    build.normalizer.emplace_back(UnicodeForm{/*compatibility=*/true, /*compose=*/false});
    build.normalizer.emplace_back(StripAccents{});
  }
  if (lower_case) build.normalizer.emplace_back(Lowercase{});
}

int64_t index_of(const Build& build, std::string_view token, double score, size_t from) {
  for (size_t id = from; id < build.vocabulary.size(); ++id) {
    if (build.vocabulary[id].first == token && build.vocabulary[id].second == score) return static_cast<int64_t>(id);
  }
  return -1;
}

// ---- The classes.

void build_xlm_roberta(Build& build) {
  take_fairseq_pieces(build, NamedToken::kBos);
  add_entry(build, NamedToken::kMask, "<mask>");
  add_character_map(build);
  build.pre_tokenizer.emplace_back(WhitespaceSplit{});
  add_metaspace(build, prefix_of(build));
}

void build_camembert(Build& build) {
  build.vocabulary.emplace_back("<s>NOTUSED", 0.0);
  add_entry(build, NamedToken::kPad, "<pad>");
  build.vocabulary.emplace_back("</s>NOTUSED", 0.0);
  add_entry(build, NamedToken::kUnknown, "<unk>");
  build.vocabulary.emplace_back("<unk>NOTUSED", -100.0);
  take_pieces(build, 1);
  add_entry(build, NamedToken::kMask, "<mask>");
  const std::string unknown = build.arguments.text_of(NamedToken::kUnknown, "<unk>");
  while (build.vocabulary[static_cast<size_t>(build.unknown_id)].first != unknown) ++build.unknown_id;
  add_character_map(build);
  build.pre_tokenizer.emplace_back(WhitespaceSplit{});
  add_metaspace(build, prefix_of(build));
}

// White space is folded, composed and taken off the end.
void normalize_white_space(Build& build) {
  build.normalizer.emplace_back(FoldWhiteSpace{});
  build.normalizer.emplace_back(UnicodeForm{/*compatibility=*/false, /*compose=*/true});
  build.normalizer.emplace_back(Strip{/*left=*/false, /*right=*/true});
}

void build_barthez(Build& build) {
  take_pieces(build, 0);
  build.unknown_id = 3;
  normalize_white_space(build);
  add_metaspace(build, prefix_of(build));
}

void add_languages(Build& build, bool all) {
  for (const std::string_view language : mbart_languages(all)) build.vocabulary.emplace_back(language, 0.0);
  add_entry(build, NamedToken::kMask, "<mask>");
}

// Since transformers 5 without the file's normalizer.
void build_mbart(Build& build) {
  take_fairseq_pieces(build, NamedToken::kBos);
  add_languages(build, /*all=*/false);
  std::vector<TokenArgument> extra;
  for (const std::string_view language : mbart_languages(false)) extra.push_back(TokenArgument::text(language));
  build.extra.insert(build.extra.begin(), extra.begin(), extra.end());
  build.pre_tokenizer.emplace_back(WhitespaceSplit{});
  add_metaspace(build, Prepend::kAlways);
}

void build_mbart50(Build& build) {
  take_fairseq_pieces(build, NamedToken::kCls);
  add_languages(build, /*all=*/true);
  for (const std::string_view language : mbart_languages(true)) build.extra.push_back(TokenArgument::text(language));
  add_character_map(build);
  fold_spaces(build, " ");
  add_metaspace(build, Prepend::kAlways);
}

void build_albert(Build& build) {
  take_pieces(build, 0);
  build.unknown_id = 1;
  const TokenizerArguments& arguments = build.arguments;
  normalize_letters(build, arguments.flag("keep_accents", false), arguments.flag("do_lower_case", true));
  add_character_map(build);
  build.pre_tokenizer.emplace_back(WhitespaceSplit{});
  add_metaspace(build, prefix_of(build));
}

void build_xlnet(Build& build) {
  take_pieces(build, 0);
  build.unknown_id = build.file.unknown_id;
  // Accents go, whatever keep_accents says.
  normalize_letters(build, /*keep_accents=*/false, build.arguments.flag("do_lower_case", false));
  add_character_map(build);
  build.pre_tokenizer.emplace_back(WhitespaceSplit{});
  add_metaspace(build, Prepend::kAlways);
}

void build_t5(Build& build) {
  const int64_t count = build.arguments.number("extra_ids", 100, 0, kMaxExtraIds);
  const auto sentinel = [](int64_t i) { return fmt::format("<extra_id_{}>", i); };
  take_pieces(build, 0);
  for (int64_t i = count - 1; i >= 0; --i) build.vocabulary.emplace_back(sentinel(i), 0.0);
  const auto is_sentinel = [](const TokenArgument& token) {
    return token.content.find("<extra_id_") != std::string::npos;
  };
  const auto own = std::count_if(build.extra.begin(), build.extra.end(), is_sentinel);
  if (own == 0) {
    for (int64_t i = 0; i < count; ++i) build.extra.push_back(TokenArgument::text(sentinel(i)));
  } else if (count > 0 && own != count) {
    fail(ErrorCode::kInvalidFile,
         "{}: expected none of its pieces to be an <extra_id_...>, or as many as extra_ids, {}, found {}", build.source,
         count, own);
  }
  build.unknown_id = 2;
  add_character_map(build);
  build.pre_tokenizer.emplace_back(WhitespaceSplit{});
  add_metaspace(build, Prepend::kAlways);
}

void build_pegasus(Build& build) {
  const TokenizerArguments& arguments = build.arguments;
  const int64_t offset = arguments.number("offset", 103, 0, kMaxExtraIds);
  add_entry(build, NamedToken::kPad, "<pad>");
  add_entry(build, NamedToken::kEos, "</s>");
  // The class and its converter have these two names the other way round.
  const std::string mask = arguments.text_of(NamedToken::kMask, "<mask_1>");
  const std::string sentence = arguments.string("mask_token_sent", "<mask_2>").value_or("None");
  if (mask != "None") build.vocabulary.emplace_back(mask, 0.0);
  if (sentence != "None" && sentence != mask) build.vocabulary.emplace_back(sentence, 0.0);
  build.extra.clear();
  if (const auto token = arguments.string("mask_token_sent", "<mask_1>")) {
    build.extra.push_back(TokenArgument::text(*token));
  }
  for (int64_t i = 2; i < offset; ++i) {
    const std::string unused = fmt::format("<unk_{}>", i);
    build.vocabulary.emplace_back(unused, -100.0);
    build.extra.push_back(TokenArgument::text(unused));
  }
  take_pieces(build, 2);
  build.unknown_id = index_of(build, arguments.text_of(NamedToken::kUnknown, "<unk>"), 0.0, 1);
  add_character_map(build);
  if (build.normalizer.empty()) build.normalizer.emplace_back(Replace{"\n", " ", 0});
  fold_spaces(build, " ");
  add_metaspace(build, Prepend::kAlways);
}

void build_big_bird(Build& build) {
  take_pieces(build, 0);
  const int64_t found = index_of(build, build.arguments.text_of(NamedToken::kUnknown, "<unk>"), 0.0, 0);
  build.unknown_id = found < 0 ? 100 : found;
  fold_spaces(build, kSpace);
  add_metaspace(build, prefix_of(build));
}

void build_deberta_v2(Build& build) {
  take_pieces(build, 0);
  const TokenizerArguments& arguments = build.arguments;
  const int64_t found = index_of(build, arguments.text_of(NamedToken::kUnknown, "[UNK]"), 0.0, 0);
  build.unknown_id = found < 0 ? build.file.unknown_id : found;
  if (arguments.flag("do_lower_case", false)) build.normalizer.emplace_back(Lowercase{});
  normalize_white_space(build);
  if (arguments.flag("split_by_punct", false)) build.pre_tokenizer.emplace_back(PunctuationSplit{Delimiter::kIsolated});
  add_metaspace(build, arguments.flag("add_prefix_space", true) ? Prepend::kAlways : Prepend::kFirst);
}

void decode_byte_pairs(Build& build, bool bytes) {
  build.decoder = {ReplaceDecode{Replace{std::string(kSpace), " ", 0}}};
  if (bytes) build.decoder.emplace_back(ByteFallbackDecode{});
}

void build_llama(Build& build) {
  take_pieces(build, 0);
  // Null is true here.
  const bool prefix = build.arguments.flag("add_prefix_space", true, /*null=*/true);
  const bool legacy = build.arguments.flag("legacy", false);
  add_metaspace(build, !prefix ? Prepend::kNever : legacy ? Prepend::kAlways : Prepend::kFirst, /*split=*/false);
  decode_byte_pairs(build, /*bytes=*/true);
  if (prefix) build.decoder.emplace_back(StripStart{" ", 1});
}

void build_gemma(Build& build) {
  take_pieces(build, 0);
  build.normalizer.emplace_back(Replace{" ", std::string(kSpace), 0});
  build.pre_tokenizer.emplace_back(StringSplit{" ", Delimiter::kMergedWithPrevious, /*invert=*/false});
  decode_byte_pairs(build, /*bytes=*/true);
}

// What the file says itself, for models that have no class.
void build_backend(Build& build) {
  take_pieces(build, 0);
  build.unknown_id = build.file.unknown_id;
  add_character_map(build);
  build.normalizer.emplace_back(Replace{" ", std::string(kSpace), 0});
  decode_byte_pairs(build, build.file.byte_fallback);
}

// ---- Which class a model's type has, where its files name none.

struct TypeClass {
  std::string_view type;
  std::string_view name;
};

constexpr TypeClass kTypeClasses[] = {
    {"albert", "AlbertTokenizer"},
    {"barthez", "BarthezTokenizer"},
    {"big_bird", "BigBirdTokenizer"},
    {"camembert", "CamembertTokenizer"},
    {"deberta-v2", "DebertaV2Tokenizer"},
    {"gemma", "GemmaTokenizer"},
    {"gemma2", "GemmaTokenizer"},
    {"gemma3", "GemmaTokenizer"},
    {"gemma3_text", "GemmaTokenizer"},
    {"gemma3n", "GemmaTokenizer"},
    {"gemma3n_text", "GemmaTokenizer"},
    {"gte", "XLMRobertaTokenizer"},
    {"idefics", "LlamaTokenizer"},
    {"idefics2", "LlamaTokenizer"},
    {"jina_embeddings_v3", "XLMRobertaTokenizer"},
    {"mbart", "MBartTokenizer"},
    {"mbart50", "MBart50Tokenizer"},
    {"metaclip_2", "XLMRobertaTokenizer"},
    {"mt5", "T5Tokenizer"},
    {"musicgen", "T5Tokenizer"},
    {"musicgen_melody", "T5Tokenizer"},
    {"pegasus", "PegasusTokenizer"},
    {"recurrent_gemma", "GemmaTokenizer"},
    {"shieldgemma2", "GemmaTokenizer"},
    {"switch_transformers", "T5Tokenizer"},
    {"t5", "T5Tokenizer"},
    {"t5gemma", "GemmaTokenizer"},
    {"trocr", "XLMRobertaTokenizer"},
    {"xlm-roberta", "XLMRobertaTokenizer"},
    {"xlnet", "XLNetTokenizer"},
    {"xmod", "XLMRobertaTokenizer"},
    {"yoso", "AlbertTokenizer"},
};

// Types whose class is TokenizersBackend, whatever other class the files name.
constexpr std::string_view kBackendTypes[] = {"EvollaModel",
                                              "arctic",
                                              "aria",
                                              "beam",
                                              "bigbird_pegasus",
                                              "camembertv2-base",
                                              "canary",
                                              "chatlm",
                                              "cohere_asr",
                                              "ernie4_5",
                                              "ernie4_5_moe",
                                              "flex_olmo",
                                              "fuyu",
                                              "glm",
                                              "glm4",
                                              "glm4_moe",
                                              "glm4_moe_lite",
                                              "glm4v",
                                              "glm4v_moe",
                                              "glm_image",
                                              "glmasr",
                                              "got_ocr2",
                                              "gpt_bigcode",
                                              "gradium_phonon_tts",
                                              "granite",
                                              "granitemoe",
                                              "granitemoehybrid",
                                              "granitemoeshared",
                                              "h2ovl_chat",
                                              "hyperclovax",
                                              "hyperclovax_vlm",
                                              "internlm2",
                                              "internlm3",
                                              "iquestcoder",
                                              "jamba",
                                              "kimi_k25",
                                              "kimi_linear",
                                              "kosmos-2",
                                              "llava",
                                              "llava_next",
                                              "mimo_v2_flash",
                                              "minicpm3",
                                              "minicpm_ocr",
                                              "minicpmv",
                                              "minicpmv4_6",
                                              "minicpmv4_7",
                                              "minimax_m2",
                                              "ministral",
                                              "ministral3",
                                              "mistral",
                                              "mistral3",
                                              "mistral_large4",
                                              "mixtral",
                                              "modernbert",
                                              "modernbert-decoder",
                                              "molmo",
                                              "molmo2",
                                              "nemo_speechlm",
                                              "nemotron",
                                              "nvfp4",
                                              "nystromformer",
                                              "olmo2",
                                              "olmo3",
                                              "olmo_hybrid",
                                              "opencua",
                                              "openvla",
                                              "paddleocr_vl",
                                              "pegasus_x",
                                              "persimmon",
                                              "phi3",
                                              "phi3_v",
                                              "phimoe",
                                              "pix2struct",
                                              "pixtral",
                                              "pocket_tts",
                                              "smolvlm",
                                              "stablelm",
                                              "step3_vl",
                                              "umt5",
                                              "vipllava",
                                              "voxtral",
                                              "voxtral_realtime",
                                              "xlm-roberta-xl"};

// Has no class of its own in transformers, and TokenizersBackend where its files name none.
constexpr std::string_view kLlama = "llama";

std::string_view without_fast(std::string_view name) {
  if (name.ends_with("Fast")) name.remove_suffix(4);
  return name;
}

std::string_view class_of_type(std::string_view type) {
  if (std::ranges::find(kBackendTypes, type) != std::end(kBackendTypes)) return "TokenizersBackend";
  const auto* found = std::ranges::find(kTypeClasses, type, &TypeClass::type);
  return found == std::end(kTypeClasses) ? std::string_view() : found->name;
}

using Model = SentencePieceClass::Model;
using Around = SentencePieceClass::Around;

constexpr std::array<std::string_view, kNamedTokens> kFairseq = {"<s>",   "</s>", "<unk>", "</s>",
                                                                 "<pad>", "<s>",  "<mask>"};
constexpr std::string_view kFairseqFile = "sentencepiece.bpe.model";
constexpr std::string_view kGoogleFile = "spiece.model";

constexpr SentencePieceClass kClasses[] = {
    {"AlbertTokenizer",
     kGoogleFile,
     Model::kUnigram,
     Around::kOwnUnlessFlags,
     {"[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"},
     false,
     build_albert},
    {"BarthezTokenizer", kFairseqFile, Model::kAsTrained, Around::kFlags, kFairseq, true, build_barthez},
    {"BigBirdTokenizer",
     kGoogleFile,
     Model::kUnigram,
     Around::kClsSep,
     {"<s>", "</s>", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"},
     true,
     build_big_bird},
    {"CamembertTokenizer", kFairseqFile, Model::kAsTrained, Around::kBosEos, kFairseq, true, build_camembert},
    {"DebertaV2Tokenizer",
     "spm.model",
     Model::kUnigram,
     Around::kClsSep,
     {"[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
     false,
     build_deberta_v2},
    {"GemmaTokenizer",
     "",
     Model::kBpe,
     Around::kFlags,
     {"<bos>", "<eos>", "<unk>", "", "<pad>", "", "<mask>"},
     false,
     build_gemma},
    {"LlamaTokenizer", "", Model::kBpe, Around::kFlags, {"<s>", "</s>", "<unk>", "", "", "", ""}, false, build_llama},
    {"MBart50Tokenizer",
     kFairseqFile,
     Model::kUnigram,
     Around::kLanguageEos,
     {"", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     true,
     build_mbart50},
    {"MBartTokenizer", kFairseqFile, Model::kUnigram, Around::kEosLanguage, kFairseq, true, build_mbart},
    {"PegasusTokenizer",
     kGoogleFile,
     Model::kUnigram,
     Around::kEos,
     {"", "</s>", "<unk>", "", "<pad>", "", "<mask_2>"},
     false,
     build_pegasus},
    {"T5Tokenizer",
     kGoogleFile,
     Model::kUnigram,
     Around::kEos,
     {"", "</s>", "<unk>", "", "<pad>", "", ""},
     false,
     build_t5},
    {"TokenizersBackend", "", Model::kAsTrained, Around::kFlags, {}, false, build_backend},
    {"XLMRobertaTokenizer", kFairseqFile, Model::kUnigram, Around::kBosEos, kFairseq, false, build_xlm_roberta},
    {"XLNetTokenizer",
     kGoogleFile,
     Model::kUnigram,
     Around::kSepCls,
     {"<s>", "</s>", "<unk>", "<sep>", "<pad>", "<cls>", "<mask>"},
     true,
     build_xlnet},
};

}  // namespace

const SentencePieceClass* find_sentencepiece_class(std::string_view name) {
  name = without_fast(name);
  // The base class's older name.
  if (name == "PreTrainedTokenizer") name = "TokenizersBackend";
  const auto* found = std::ranges::find(kClasses, name, &SentencePieceClass::name);
  return found == std::end(kClasses) ? nullptr : found;
}

std::string tokenizer_class_of(const fs::path& directory, const std::optional<JsonValue>& config) {
  const fs::path path = directory / "config.json";
  const auto document = file_exists(path) ? std::optional(JsonDocument::parse_file(path)) : std::nullopt;
  const auto model = document ? std::optional(document->root()) : std::nullopt;
  std::string named = config ? config->string_or("tokenizer_class", "") : "";
  if (named.empty() && model) named = model->string_or("tokenizer_class", "");
  const std::string type = model ? model->string_or("model_type", "") : "";
  const std::string_view own = class_of_type(type);
  if (named.empty()) return type == kLlama ? "TokenizersBackend" : std::string(own);
  if (own == "TokenizersBackend") return std::string(own);
  return std::string(without_fast(named));
}

std::vector<std::string_view> mbart_languages(bool all) {
  return {std::begin(kLanguages), all ? std::end(kLanguages) : std::begin(kLanguages) + kMbartLanguages};
}

}  // namespace remuda::text
