#include "text/model.h"

#include "text/bpe.h"
#include "text/components.h"
#include "text/unigram.h"
#include "text/word_piece.h"

namespace remuda::text {
namespace {

struct Parsed {
  PreTokenizer* pre_tokenizer;
  std::unique_ptr<const Model> model;
};

void parse_byte_pairs(const JsonValue& json, Parsed& parsed) {
  parsed.model = parse_bpe(json, parsed.pre_tokenizer->ends_with_bytes());
  parsed.pre_tokenizer->leave_bytes_to_model();
}

void parse_word_piece(const JsonValue& json, Parsed& parsed) {
  WordPiece::Options options;
  options.unknown_token = json.string_or("unk_token", options.unknown_token);
  options.continuation_prefix = json.string_or("continuing_subword_prefix", options.continuation_prefix);
  options.max_code_points_per_word =
      json.int_or("max_input_chars_per_word", options.max_code_points_per_word, 0, INT64_MAX);
  parsed.model = std::make_unique<WordPiece>(parse_vocabulary(json.at("vocab")), std::move(options), json.where());
}

constexpr Component<Parsed> kKnown[] = {
    {"BPE", parse_byte_pairs},
    {"Unigram", [](const JsonValue& json, Parsed& parsed) { parsed.model = parse_unigram(json); }},
    {"WordPiece", parse_word_piece},
};

}  // namespace

std::unique_ptr<const Model> parse_model(const JsonValue& json, PreTokenizer& pre_tokenizer) {
  Parsed parsed{&pre_tokenizer, nullptr};
  // Old files, those of GPT-2, RoBERTa and BART among them, don't say the type: the fields tell.
  const bool typed = json.find("type").has_value();
  const auto vocabulary = json.find("vocab");
  if (!typed && json.find("merges")) {
    parse_byte_pairs(json, parsed);
  } else if (!typed && json.find("max_input_chars_per_word")) {
    parse_word_piece(json, parsed);
  } else if (!typed && vocabulary && vocabulary->is_array()) {
    parsed.model = parse_unigram(json);
  } else {
    parse_component<Parsed>(json, kKnown, parsed);
  }
  return std::move(parsed.model);
}

}  // namespace remuda::text
