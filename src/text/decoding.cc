// Ids back to text, at once and as they come.
#include "text/tokenizer_impl.h"

namespace remuda::text {

Decoding Tokenizer::Impl::start_decoding(const DecodeOptions& options) const {
  std::vector<DecoderStep> steps = decoder;
  const bool clean_up = options.clean_up_tokenization_spaces.value_or(clean_up_tokenization_spaces);
  if (clean_up && !model->keeps_spaces()) steps.emplace_back(CleanUp{});
  return Decoding(std::move(steps));
}

Tokens Tokenizer::Impl::tokens_of(std::span<const int32_t> ids, const DecodeOptions& options) const {
  Tokens tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids) {
    auto token = added_tokens.decoded_token(id);
    if (!token) token = model->vocabulary().token(id);
    if (!token || (options.skip_special_tokens && added_tokens.is_special(*token))) continue;
    tokens.emplace_back(*token);
  }
  return tokens;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  std::string text;
  impl_->start_decoding(options).advance(impl_->tokens_of(ids, options), /*last=*/true, text);
  return text;
}

struct TextStream::State {
  const Tokenizer::Impl* tokenizer;
  DecodeOptions options;
  Decoding decoding;
};

TextStream::TextStream(const Tokenizer& tokenizer, const DecodeOptions& options)
    : state_(new State{tokenizer.impl_.get(), options, tokenizer.impl_->start_decoding(options)}) {}
TextStream::TextStream(TextStream&&) noexcept = default;
TextStream& TextStream::operator=(TextStream&&) noexcept = default;
TextStream::~TextStream() = default;

std::string TextStream::add(int32_t id) { return add(std::span(&id, 1)); }

std::string TextStream::add(std::span<const int32_t> ids) {
  std::string text;
  state_->decoding.advance(state_->tokenizer->tokens_of(ids, state_->options), /*last=*/false, text);
  return text;
}

std::string TextStream::finish() {
  std::string text;
  state_->decoding.advance({}, /*last=*/true, text);
  state_->decoding = state_->tokenizer->start_decoding(state_->options);
  return text;
}

}  // namespace remuda::text
