// Which class AutoTokenizer of transformers 5.23 picks: from tokenizer_config.json's "tokenizer_class", or else
// config.json's "tokenizer_class" or "model_type".
#include <algorithm>
#include <array>

#include "base/fail.h"
#include "text/tokenizer_class.h"

namespace remuda::text {
namespace {

constexpr std::string_view kBackend = "TokenizersBackend";

struct ModelTypes {
  std::string_view name;
  std::string_view model_types;  // With spaces between them.
};

// The class of each model type, as transformers registers them (TOKENIZER_MAPPING_NAMES).
constexpr ModelTypes kModelTypes[] = {
    {"AlbertTokenizer", "albert yoso"},
    {"BartTokenizer", "florence2"},
    {"BarthezTokenizer", "barthez"},
    {"BartphoTokenizer", "bartpho"},
    {"BertGenerationTokenizer", "bert-generation"},
    {"BertJapaneseTokenizer", "bert-japanese"},
    {"BertTokenizer",
     "align bark bert blip bros chinese_clip convbert distilbert electra ernie flava git grounding-dino "
     "layoutlm megatron-bert mm-grounding-dino nezha nomic_bert qdqbert realm retribert squeezebert tvp "
     "vilt visual_bert"},
    {"BertweetTokenizer", "bertweet"},
    {"BigBirdTokenizer", "big_bird"},
    {"BioGptTokenizer", "biogpt"},
    {"BlenderbotSmallTokenizer", "blenderbot-small"},
    {"BlenderbotTokenizer", "blenderbot"},
    {"ByT5Tokenizer", "byt5"},
    {"CLIPTokenizer", "aimv2 clip clipseg groupvit omdet-turbo oneformer owlv2 owlvit sam3 sam3_video xclip"},
    {"CTRLTokenizer", "ctrl"},
    {"CamembertTokenizer", "camembert"},
    {"CanineTokenizer", "canine"},
    {"ClvpTokenizer", "clvp"},
    {"CodeLlamaTokenizer", "code_llama"},
    {"CohereTokenizer", "aya_vision cohere cohere2"},
    {"CpmAntTokenizer", "cpmant"},
    {"CpmTokenizer", "cpm"},
    {"DPRQuestionEncoderTokenizer", "dpr"},
    {"DebertaTokenizer", "deberta"},
    {"DebertaV2Tokenizer", "deberta-v2"},
    {"DiaTokenizer", "dia"},
    {"EsmTokenizer", "esm"},
    {"EsmcTokenizer", "esmc esmfold2"},
    {"FNetTokenizer", "fnet"},
    {"FSMTTokenizer", "fsmt"},
    {"FlaubertTokenizer", "flaubert"},
    {"FunnelTokenizer", "funnel"},
    {"GPT2Tokenizer",
     "blip-2 codegen dbrx emu3 gpt2 gpt_neo gptj hyperclovax_vision_v2 instructblip instructblipvideo "
     "jais2 opt phi starcoder2"},
    {"GPTNeoXJapaneseTokenizer", "gpt_neox_japanese"},
    {"GPTNeoXTokenizer", "falcon_mamba gpt_neox mamba mamba2 mpt olmo olmoe rwkv xlstm"},
    {"GPTSw3Tokenizer", "gpt-sw3"},
    {"GemmaTokenizer",
     "diffusion_gemma gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma shieldgemma2 "
     "t5gemma zaya"},
    {"HerbertTokenizer", "herbert"},
    {"LEDTokenizer", "led"},
    {"LasrTokenizer", "lasr_ctc lasr_encoder"},
    {"LayoutLMv2Tokenizer", "layoutlmv2"},
    {"LayoutLMv3Tokenizer", "layoutlmv3"},
    {"LayoutXLMTokenizer", "layoutxlm"},
    {"LlamaTokenizer", "idefics idefics2"},
    {"LukeTokenizer", "luke"},
    {"LxmertTokenizer", "lxmert"},
    {"M2M100Tokenizer", "m2m_100"},
    {"MBart50Tokenizer", "mbart50"},
    {"MBartTokenizer", "mbart"},
    {"MLukeTokenizer", "mluke"},
    {"MPNetTokenizer", "mpnet"},
    {"MarianTokenizer", "marian"},
    {"MarkupLMTokenizer", "markuplm"},
    {"MgpstrTokenizer", "mgp-str"},
    {"MobileBertTokenizer", "mobilebert"},
    {"MvpTokenizer", "mvp"},
    {"MyT5Tokenizer", "myt5"},
    {"NllbTokenizer", "nllb nllb-moe"},
    {"NougatTokenizer", "nougat pp_formulanet"},
    {"OpenAIGPTTokenizer", "openai-gpt"},
    {"PLBartTokenizer", "plbart"},
    {"ParakeetTokenizer",
     "granite_speech5_ctc nemotron3_5_asr nemotron_asr_streaming parakeet_ctc parakeet_rnnt parakeet_tdt"},
    {"PegasusTokenizer", "pegasus"},
    {"PerceiverTokenizer", "perceiver"},
    {"PhobertTokenizer", "phobert"},
    {"ProphetNetTokenizer", "prophetnet"},
    {"Qwen2Tokenizer",
     "audioflamingo3 colqwen2 cosmos3_omni dots3_note fun_asr_nano hunyuan_vl internvl "
     "moss_transcribe_diarize ovis2 qianfan_ocr qwen2 qwen2_5_omni qwen2_5_vl qwen2_audio qwen2_moe "
     "qwen2_vl qwen3 qwen3_asr qwen3_moe qwen3_next qwen3_omni_moe qwen3_vl qwen3_vl_moe"},
    {"Qwen2TokenizerFast", "lighton_ocr vibevoice"},
    {"Qwen3_5Tokenizer", "qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen4_exp"},
    {"RagTokenizer", "rag"},
    {"ReformerTokenizer", "reformer"},
    {"RemBertTokenizer", "rembert"},
    {"RoCBertTokenizer", "roc_bert"},
    {"RoFormerTokenizer", "roformer"},
    {"RobertaTokenizer",
     "bart bridgetower clap data2vec-text ibert lilt longformer mega mra roberta roberta-prelayernorm"},
    {"SeamlessM4TTokenizer", "seamless_m4t seamless_m4t_v2"},
    {"Siglip2Tokenizer", "siglip2"},
    {"SiglipTokenizer", "siglip"},
    {"Speech2TextTokenizer", "speech_to_text"},
    {"SpeechT5Tokenizer", "speecht5"},
    {"SplinterTokenizer", "splinter"},
    {"T5Tokenizer", "mt5 musicgen musicgen_melody switch_transformers t5"},
    {"TapasTokenizer", "tapas"},
    {"Tipsv2Tokenizer", "tipsv2"},
    {"TokenizersBackend",
     "EvollaModel arctic aria beam bigbird_pegasus camembertv2-base canary chatlm cohere_asr ernie4_5 "
     "ernie4_5_moe flex_olmo fuyu glm glm4 glm4_moe glm4_moe_lite glm4v glm4v_moe glm_image glmasr "
     "got_ocr2 gpt_bigcode gradium_phonon_tts granite granitemoe granitemoehybrid granitemoeshared "
     "h2ovl_chat hyperclovax hyperclovax_vlm internlm2 internlm3 iquestcoder jamba kimi_k25 kimi_linear "
     "kosmos-2 llava llava_next mimo_v2_flash minicpm3 minicpm_ocr minicpmv minicpmv4_6 minicpmv4_7 "
     "minimax_m2 ministral ministral3 mistral mistral3 mistral_large4 mixtral modernbert "
     "modernbert-decoder molmo molmo2 nemo_speechlm nemotron nvfp4 nystromformer olmo2 olmo3 olmo_hybrid "
     "opencua openvla paddleocr_vl pegasus_x persimmon phi3 phi3_v phimoe pix2struct pixtral pocket_tts "
     "smolvlm stablelm step3_vl umt5 vipllava voxtral voxtral_realtime xlm-roberta-xl"},
    {"UdopTokenizer", "udop"},
    {"VideoPrismTokenizer", "videoprism"},
    {"VitsTokenizer", "vits"},
    {"Wav2Vec2CTCTokenizer", "data2vec-audio hubert unispeech unispeech-sat wav2vec2 wav2vec2-bert wav2vec2-conformer"},
    {"Wav2Vec2PhonemeCTCTokenizer", "wav2vec2_phoneme"},
    {"WhisperTokenizer", "whisper"},
    {"XGLMTokenizer", "xglm"},
    {"XLMRobertaTokenizer", "gte jina_embeddings_v3 metaclip_2 trocr xlm-roberta xmod"},
    {"XLMTokenizer", "xlm"},
    {"XLNetTokenizer", "xlnet"},
};

// Model types whose registered class counts whatever the files name: the files of many such models are wrong.
constexpr std::string_view kRegisteredCounts[] = {"hyperclovax_vision_v2", "qwen2",     "qwen3_5", "qwen3_5_moe",
                                                  "qwen3_5_moe_text",      "qwen4_exp", "siglip2"};

// Names that transformers keeps for other classes.
struct Alias {
  std::string_view name;
  std::string_view is;
};
constexpr Alias kAliases[] = {
    {"BartTokenizer", "RobertaTokenizer"},       {"BloomTokenizer", "TokenizersBackend"},
    {"DistilBertTokenizer", "BertTokenizer"},    {"ElectraTokenizer", "BertTokenizer"},
    {"LEDTokenizer", "RobertaTokenizer"},        {"LayoutLMTokenizer", "BertTokenizer"},
    {"LongformerTokenizer", "RobertaTokenizer"}, {"LxmertTokenizer", "BertTokenizer"},
    {"MobileBertTokenizer", "BertTokenizer"},    {"MvpTokenizer", "RobertaTokenizer"},
    {"SqueezeBertTokenizer", "BertTokenizer"},
};

// Classes whose tokens Python code of their own makes, whatever tokenizer.json says.
constexpr std::string_view kPython[] = {
    "BartphoTokenizer",     "BertGenerationTokenizer",
    "BertTokenizerLegacy",  "BertweetTokenizer",
    "BioGptTokenizer",      "BlenderbotSmallTokenizer",
    "ByT5Tokenizer",        "CTRLTokenizer",
    "CanineTokenizer",      "ClvpTokenizer",
    "CpmAntTokenizer",      "CpmTokenizer",
    "DiaTokenizer",         "EsmTokenizer",
    "FSMTTokenizer",        "FastSpeech2ConformerTokenizer",
    "FlaubertTokenizer",    "GPTNeoXJapaneseTokenizer",
    "GPTSw3Tokenizer",      "M2M100Tokenizer",
    "MarianTokenizer",      "MgpstrTokenizer",
    "MyT5Tokenizer",        "PLBartTokenizer",
    "PerceiverTokenizer",   "PhobertTokenizer",
    "ProphetNetTokenizer",  "RagTokenizer",
    "RoCBertTokenizer",     "SiglipTokenizer",
    "Speech2TextTokenizer", "SpeechT5Tokenizer",
    "TapasTokenizer",       "VitsTokenizer",
    "Wav2Vec2CTCTokenizer", "Wav2Vec2PhonemeCTCTokenizer",
    "XLMTokenizer",
};

// Classes that build their tokenizer anew, for which there is no recipe here.
constexpr std::string_view kWithoutRecipe[] = {
    "BarthezTokenizer",    "CLIPTokenizer",       "CodeGenTokenizer",   "CodeLlamaTokenizer",   "CohereTokenizer",
    "DebertaV2Tokenizer",  "EsmcTokenizer",       "GPTNeoXTokenizer",   "GemmaTokenizer",       "LasrTokenizer",
    "LayoutLMv2Tokenizer", "LayoutLMv3Tokenizer", "LayoutXLMTokenizer", "LlamaTokenizer",       "LukeTokenizer",
    "MBart50Tokenizer",    "MBartTokenizer",      "MLukeTokenizer",     "MarkupLMTokenizer",    "NllbTokenizer",
    "NougatTokenizer",     "OpenAIGPTTokenizer",  "PegasusTokenizer",   "Qwen2Tokenizer",       "Qwen3_5Tokenizer",
    "ReformerTokenizer",   "RemBertTokenizer",    "RoFormerTokenizer",  "SeamlessM4TTokenizer", "Siglip2Tokenizer",
    "SplinterTokenizer",   "Tipsv2Tokenizer",     "UdopTokenizer",      "VideoPrismTokenizer",  "WhisperTokenizer",
    "XGLMTokenizer",
};

std::string_view without_fast(std::string_view name) {
  if (name.ends_with("Fast")) name.remove_suffix(4);
  return name;
}

bool has_word(std::string_view words, std::string_view word) {
  for (size_t begin = 0; begin <= words.size();) {
    const size_t end = std::min(words.find(' ', begin), words.size());
    if (words.substr(begin, end - begin) == word) return true;
    begin = end + 1;
  }
  return false;
}

// Empty where transformers has none.
std::string_view registered_class(std::string_view model_type) {
  if (model_type.empty()) return {};
  for (const auto& [name, model_types] : kModelTypes) {
    if (has_word(model_types, model_type)) return without_fast(name);
  }
  return {};
}

// A name that transformers doesn't know stands for the base class, as does PreTrainedTokenizerFast.
ClassChoice choose(std::string_view name) {
  name = without_fast(name);
  const auto alias = std::ranges::find(kAliases, name, &Alias::name);
  const std::string_view is = alias == std::end(kAliases) ? name : alias->is;
  for (const auto classes : {word_piece_classes(), byte_pair_classes(), unigram_classes()}) {
    const auto found = std::ranges::find(classes, is, &TokenizerClass::name);
    if (found != classes.end()) return {std::string(name), &*found, true};
  }
  if (std::ranges::find(kPython, is) != std::end(kPython)) {
    fail(ErrorCode::kUnsupported,
         "tokenizer_class: expected a class that remuda knows, found {}, whose tokens Python code of its own makes",
         name);
  }
  const bool is_exact = std::ranges::find(kWithoutRecipe, is) == std::end(kWithoutRecipe);
  return {std::string(name), nullptr, is_exact};
}

}  // namespace

ClassChoice choose_class(const TokenizerConfig& config) {
  const std::string_view named = config.class_name();
  const std::string_view registered = registered_class(config.model_type());
  if (named.empty()) return choose(registered.empty() ? kBackend : registered);
  if (registered.empty() || registered == without_fast(named)) return choose(named);
  // transformers doubts a class that isn't its model's.
  if (registered == kBackend) return choose(kBackend);
  const bool registered_counts =
      std::ranges::find(kRegisteredCounts, config.model_type()) != std::end(kRegisteredCounts);
  return choose(registered_counts ? registered : named);
}

}  // namespace remuda::text
