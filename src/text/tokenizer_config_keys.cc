#include "text/tokenizer_config_keys.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"

namespace remuda::text {
namespace {

constexpr std::string_view kHonoured[] = {
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "added_tokens_decoder",
    "additional_special_tokens",
    "clean_text",
    "clean_up_tokenization_spaces",
    "do_lower_case",
    "do_subword_tokenize",
    "do_word_tokenize",
    "extra_ids",
    "extra_special_tokens",
    "keep_accents",
    "legacy",
    "mask_token_sent",
    "max_len",
    "model_max_length",
    "never_split",
    "offset",
    "split_by_punct",
    "split_special_tokens",
    "src_lang",
    "strip_accents",
    "subword_tokenizer_type",
    "tokenize_chinese_chars",
    "tokenizer_class",
    "truncation_side",
    "unk_id",
    "word_tokenizer_type",
    "wordpieces_prefix",
};

// What transformers writes or reads for other purposes, or doesn't use either.
constexpr std::string_view kHarmless[] = {
    "_commit_hash",
    "auto_map",
    "backend",
    "chat_template",
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
    "device_map",
    "do_basic_tokenize",
    "errors",
    "fast_tokenizer_files",
    "files_loaded",
    "full_tokenizer_file",
    "init_inputs",
    "is_local",
    "jumanpp_kwargs",
    "local_files_only",
    "max_length",
    "mecab_kwargs",
    "merges_file",
    "model_input_names",
    "name_or_path",
    "pad_to_multiple_of",
    "pad_token_type_id",
    "padding",
    "padding_side",
    "processor_class",
    "remove_space",
    "response_schema",
    "response_template",
    "return_token_type_ids",
    "sp_model_kwargs",
    "special_tokens_map_file",
    "spm_file",
    "stride",
    "sudachi_kwargs",
    "tgt_lang",
    "tokenizer_file",
    "tokenizer_type",
    "transformers_version",
    "trim_offsets",
    "truncation",
    "truncation_strategy",
    "trust_remote_code",
    "use_default_system_prompt",
    "use_fast",
    "verbose",
    "vocab_file",
    "vocab_size",
};

static_assert(std::ranges::is_sorted(kHonoured) && std::ranges::is_sorted(kHarmless));

bool is_one_of(std::string_view key, std::span<const std::string_view> known) {
  return std::ranges::binary_search(known, key);
}

// Whether it is new to this process.
bool first_time(const std::string& message) {
  constexpr size_t kMostRemembered = 1000;
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard lock(mutex);
  return said.size() < kMostRemembered && said.insert(message).second;
}

}  // namespace

void report_unknown_keys(const JsonValue& tokenizer_config) {
  std::vector<std::string_view> unknown;
  std::vector<std::string_view> harmless;
  for (const auto& [key, value] : tokenizer_config.members()) {
    if (is_one_of(key, kHarmless)) {
      harmless.push_back(key);
    } else if (!is_one_of(key, kHonoured) && !key.ends_with("_token")) {
      unknown.push_back(key);
    }
  }
  if (!unknown.empty()) {
    const std::string message = fmt::format("{}: unknown fields, which change nothing here: {}",
                                            tokenizer_config.where(), fmt::join(unknown, ", "));
    if (first_time(message)) log::warning("{}", message);
  }
  if (!harmless.empty()) {
    const std::string message = fmt::format("{}: fields that change neither ids nor text: {}", tokenizer_config.where(),
                                            fmt::join(harmless, ", "));
    if (first_time(message)) log::info("{}", message);
  }
}

}  // namespace remuda::text
