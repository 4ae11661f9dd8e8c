#include "text/model.h"

#include "text/components.h"
#include "text/word_piece.h"

namespace remuda::text {
namespace {

using Parsed = std::unique_ptr<const Model>;

void parse_word_piece(const JsonValue& json, Parsed& model) {
  WordPiece::Options options;
  options.unknown_token = json.string_or("unk_token", options.unknown_token);
  options.continuation_prefix = json.string_or("continuing_subword_prefix", options.continuation_prefix);
  options.max_code_points_per_word =
      json.int_or("max_input_chars_per_word", options.max_code_points_per_word, 0, INT64_MAX);
  model = std::make_unique<WordPiece>(parse_vocabulary(json.at("vocab")), std::move(options), json.where());
}

constexpr Component<Parsed> kKnown[] = {
    {"WordPiece", parse_word_piece},
};

}  // namespace

std::unique_ptr<const Model> parse_model(const JsonValue& json) {
  Parsed model;
  // Files of before tokenizers 0.9 don't say the type; this field is WordPiece's alone.
  if (!json.find("type") && json.find("max_input_chars_per_word")) {
    parse_word_piece(json, model);
  } else {
    parse_component<Parsed>(json, kKnown, model);
  }
  return model;
}

}  // namespace remuda::text
