#include "text/tokenizer.h"

#include "base/fail.h"
#include "text/tokenizer_impl.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

// Positions in a text are 32-bit numbers, and normalizing may make it longer.
constexpr size_t kMaxTextBytes = size_t{1} << 30;

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Encoding Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  Encoding encoding;
  encode(text, options, encoding);
  return encoding;
}

void Tokenizer::encode(std::string_view text, const EncodeOptions& options, Encoding& out) const {
  const SpecialTokens& special = impl_->special_tokens;
  const int64_t added = options.add_special_tokens ? special.size() : 0;
  if (options.max_length && *options.max_length < added) {
    fail(ErrorCode::kInvalidArgument,
         "max_length: expected at least {}, the special tokens that are added to every text, found {}", added,
         *options.max_length);
  }
  if (text.size() > kMaxTextBytes) {
    fail(ErrorCode::kInvalidArgument, "text: expected at most {} bytes, found {}", kMaxTextBytes, text.size());
  }
  std::string repaired;
  out.invalid_sequences = repair_utf8(text, repaired);
  if (out.invalid_sequences > 0) text = repaired;

  out.ids.clear();
  if (options.add_special_tokens) out.ids = special.before;
  impl_->tokenize(text, out.ids);
  if (options.add_special_tokens) {
    out.total_tokens = std::ssize(out.ids) + std::ssize(special.after);
  } else {
    out.total_tokens = std::ssize(out.ids);
  }
  out.truncated = options.max_length && out.total_tokens > *options.max_length;
  if (out.truncated && impl_->config.truncates_left()) {
    const int64_t before = options.add_special_tokens ? std::ssize(special.before) : 0;
    out.ids.erase(out.ids.begin() + before, out.ids.begin() + before + out.total_tokens - *options.max_length);
  } else if (out.truncated) {
    const int64_t after = options.add_special_tokens ? std::ssize(special.after) : 0;
    out.ids.resize(static_cast<size_t>(*options.max_length - after));
  }
  if (options.add_special_tokens) out.ids.insert(out.ids.end(), special.after.begin(), special.after.end());
}

void Tokenizer::Impl::tokenize(std::string_view text, std::vector<int32_t>& ids) const {
  std::string normalized;
  Pieces pieces;
  bool at_start = true;  // Whether `normalized` begins where the text does.
  const auto push_token = [&](int32_t id) { ids.push_back(id); };
  const auto tokenize_normalized = [&](std::string_view part) {
    pre_tokenizer.split(part, at_start && part.data() == normalized.data(), pieces);
    for (const Span span : pieces.spans) model->tokenize(pieces[span], ids);
  };
  const auto tokenize_raw = [&](std::string_view part) {
    at_start = normalizer.normalize(part, normalized) && part.data() == text.data();
    added_tokens.normalized().split(normalized, tokenize_normalized, push_token);
  };
  added_tokens.raw().split(text, tokenize_raw, push_token);
}

int32_t Tokenizer::vocab_size() const {
  return std::max(impl_->model->vocabulary().id_limit(), impl_->added_tokens.id_limit());
}

std::optional<std::string_view> Tokenizer::id_to_token(int32_t id) const {
  if (const auto added = impl_->added_tokens.token(id)) return added;
  return impl_->model->vocabulary().token(id);
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  if (const auto added = impl_->added_tokens.find(token)) return added;
  return impl_->model->vocabulary().find(token);
}

std::optional<int64_t> Tokenizer::model_max_length() const { return impl_->config.model_max_length(); }

size_t Tokenizer::bytes() const { return sizeof(Impl) + impl_->model->bytes() + impl_->added_tokens.bytes(); }

}  // namespace remuda::text
