#include "cli/generation_flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/fail.h"

namespace remuda::cli {
namespace {

// In place of a value: as if neither the caller nor the model's files had set the option.
constexpr std::string_view kOff = "none";

struct Help {
  const char* value;
  const char* text;
};

// By the option's name in transformers.
const std::map<std::string_view, Help>& helps() {
  static const std::map<std::string_view, Help> all = {
      {"num_beams", {"N", "Sequences that the search keeps; 1: greedy,\nor sampling"}},
      {"num_return_sequences", {"N", "Summaries a document; the rest is in \"others\""}},
      {"do_sample", {"BOOL", "true: draw tokens; false: take the likeliest"}},
      {"temperature", {"X", "Sampling: above 1 bolder, below 1 tamer"}},
      {"top_k", {"N", "Sampling: among the N likeliest; 0: all"}},
      {"top_p", {"X", "Sampling: among the likeliest that make up X"}},
      {"seed", {"N", "Sampling: the same seed, the same tokens [0]"}},
      {"length_penalty", {"X", "Beams: above 0 favours long summaries, below 0\nshort ones"}},
      {"early_stopping", {"WHEN", "Beams: true, false or never, as transformers\nhas it"}},
      {"max_length", {"N", "Tokens of a summary at most, start token included"}},
      {"max_new_tokens", {"N", "The same without the start token; outweighs it"}},
      {"min_length", {"N", "Tokens of a summary at least, start token included"}},
      {"min_new_tokens", {"N", "The same without the start token; outweighs it"}},
      {"no_repeat_ngram_size", {"N", "No N tokens in a row twice; 0: off"}},
      {"encoder_no_repeat_ngram_size", {"N", "No N tokens in a row of the document; 0: off"}},
      {"repetition_penalty", {"X", "Above 1 makes what was said less likely"}},
      {"encoder_repetition_penalty", {"X", "Above 1 makes the document's words likelier"}},
      {"forced_bos_token_id", {"ID", "The first token after the start token"}},
      {"forced_eos_token_id", {"IDS", "The last token where a summary is cut"}},
      {"bad_words_ids", {"IDS", "Words that must not come: 5,6;7 forbids 5 before\n6, and 7"}},
      {"suppress_tokens", {"IDS", "Tokens that must not come"}},
      {"begin_suppress_tokens", {"IDS", "Tokens that must not come first"}},
      {"decoder_start_token_id", {"ID", "What every summary starts with"}},
      {"bos_token_id", {"ID", "The same, where that one is unset"}},
      {"eos_token_id", {"IDS", "Tokens that end a summary"}},
      {"pad_token_id", {"ID", "The padding token; never in a result"}},
      {"renormalize_logits", {"BOOL", "Beams: log-probabilities sum up to 1 again after\nall rules"}},
      {"remove_invalid_values", {"BOOL", "A NaN among the model's scores counts as 0, and\nis no error"}},
  };
  return all;
}

[[noreturn]] void refuse(const std::string& flag, const char* expected, std::string_view found) {
  throw CLI::ValidationError(flag, fmt::format("expected {}, found \"{}\"", expected, found));
}

template <typename Number>
bool read(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// What stands between separators; nothing in an empty text.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  if (text.empty()) return parts;
  for (size_t end; (end = text.find(separator)) != std::string_view::npos; text.remove_prefix(end + 1)) {
    parts.push_back(text.substr(0, end));
  }
  parts.push_back(text);
  return parts;
}

void parse(const std::string& flag, std::string_view text, int64_t& value) {
  if (!read(text, value)) refuse(flag, "a whole number", text);
}

void parse(const std::string& flag, std::string_view text, int32_t& value) {
  if (!read(text, value)) refuse(flag, "a token id", text);
}

void parse(const std::string& flag, std::string_view text, double& value) {
  if (!read(text, value)) refuse(flag, "a number", text);
}

void parse(const std::string& flag, std::string_view text, bool& value) {
  if (text != "true" && text != "false") refuse(flag, "true or false", text);
  value = text == "true";
}

void parse(const std::string& flag, std::string_view text, EarlyStopping& value) {
  if (text == "never") {
    value = EarlyStopping::kNever;
  } else if (text == "true" || text == "false") {
    value = text == "true" ? EarlyStopping::kTrue : EarlyStopping::kFalse;
  } else {
    refuse(flag, "true, false or never", text);
  }
}

bool read(std::string_view text, TokenIds& ids) {
  for (const std::string_view id : split(text, ',')) {
    if (!read(id, ids.emplace_back())) return false;
  }
  return true;
}

void parse(const std::string& flag, std::string_view text, TokenIds& ids) {
  if (!read(text, ids)) refuse(flag, "token ids with commas between them, as 5,6", text);
}

void parse(const std::string& flag, std::string_view text, std::vector<TokenIds>& words) {
  for (const std::string_view word : split(text, ';')) {
    if (word.empty() || !read(word, words.emplace_back())) refuse(flag, "words of token ids, as 5,6;7", text);
  }
}

}  // namespace

std::string flag_name(std::string_view option) {
  std::string flag = fmt::format("--{}", option);
  std::ranges::replace(flag, '_', '-');
  return flag;
}

void add_generation_flags(CLI::App& command, GenerationOptions& options) {
  const auto add = [&command, &options](const char* name, auto& field) {
    const std::string flag = flag_name(name);
    const Help& help = helps().at(name);
    const auto set = [flag, name, &field, &options](const std::string& text) {
      std::erase(options.none, name);
      if (text == kOff) {
        field.reset();
        options.none.emplace_back(name);
      } else {
        parse(flag, text, field.emplace());
      }
    };
    command.add_option_function<std::string>(flag, set, help.text)
        ->option_text(help.value)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
        ->group("Generation, as in transformers; what is unset is as the model's files say, \"none\" takes it away");
  };
  GenerationOptions::for_each(add, options);
}

}  // namespace remuda::cli
