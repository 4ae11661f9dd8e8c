// What a Tokenizer is made of.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/decoder.h"
#include "text/model.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_config.h"

namespace remuda::text {

// Added tokens in the raw text, then normalizer, added tokens in the normalized text, pre-tokenizer, model.
struct Tokenizer::Impl {
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<const Model> model;
  AddedTokens added_tokens;
  SpecialTokens special_tokens;
  std::vector<DecoderStep> decoder = {JoinWithSpaces{}};
  bool clean_up_tokenization_spaces = false;
  TokenizerConfig config;

  // Appends the ids of a text, which is valid UTF-8; no special tokens but those that it has itself.
  void tokenize(std::string_view text, std::vector<int32_t>& ids) const;

  Decoding start_decoding(const DecodeOptions& options) const;
  Tokens tokens_of(std::span<const int32_t> ids, const DecodeOptions& options) const;
};

}  // namespace remuda::text
