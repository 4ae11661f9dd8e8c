// Any bytes as a text, through tokenizers of every component, and as ids back to text. The first byte chooses the
// tokenizer, the second a truncation.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

using namespace remuda::text;

const std::vector<Tokenizer>& tokenizers() {
  static const std::vector<Tokenizer>* const loaded = [] {
    auto* made = new std::vector<Tokenizer>;
    const std::filesystem::path golden = std::filesystem::path(REMUDA_SOURCE_DIR) / "tests/golden/tokenizer";
    for (const char* name : {"bert_uncased", "bert_cased", "bert_lower_accents", "forms", "composed", "bare",
                             "byte_level", "roberta", "word_ends", "byte_fallback", "unigram", "nmt"}) {
      const auto file = golden / (std::string(name) + ".tokenizer.json");
      made->push_back(Tokenizer::from_json(remuda::JsonDocument::parse_file(file)));
    }
    return made;
  }();
  return *loaded;
}

void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// Every two bytes an id, some of which have no token.
void check_decoding(const Tokenizer& tokenizer, std::string_view bytes, const DecodeOptions& options) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    const auto byte = [&](size_t at) { return static_cast<int32_t>(static_cast<unsigned char>(bytes[at])); };
    ids.push_back((byte(i) << 8 | byte(i + 1)) % (tokenizer.vocab_size() + 2));
  }
  const std::string whole = tokenizer.decode(ids, options);
  std::string repaired;
  check(repair_utf8(whole, repaired) == 0, "decoded text is UTF-8");
  TextStream decoding(tokenizer, options);
  std::string streamed;
  for (const int32_t id : ids) {
    const std::string text = decoding.add(id);
    check(repair_utf8(text, repaired) == 0, "what a stream gives is never half a character");
    streamed += text;
  }
  check(streamed + decoding.finish() == whole, "a stream gives the whole text");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const Tokenizer& tokenizer = tokenizers()[data[0] % tokenizers().size()];
  const int64_t max_length = 2 + data[1] % 16;
  const std::string_view text(reinterpret_cast<const char*>(data + 2), size - 2);

  const Encoding whole = tokenizer.encode(text);
  check(whole.total_tokens == std::ssize(whole.ids), "an encoding that is not cut has all its tokens");
  for (const int32_t id : whole.ids) check(tokenizer.id_to_token(id).has_value(), "every id has a token");

  std::string repaired;
  check(repair_utf8(text, repaired) == whole.invalid_sequences, "malformed sequences are counted");
  if (whole.invalid_sequences > 0) {
    const Encoding again = tokenizer.encode(repaired);
    check(again.ids == whole.ids && again.invalid_sequences == 0, "a repaired text has the same ids");
  }

  const Encoding cut = tokenizer.encode(text, {.add_special_tokens = true, .max_length = max_length});
  check(cut.total_tokens == whole.total_tokens, "truncation says how many tokens there were");
  check(std::ssize(cut.ids) == std::min(max_length, whole.total_tokens), "truncation keeps what fits");
  check(cut.truncated == (cut.ids.size() < whole.ids.size()), "truncation is reported");
  check_decoding(tokenizer, text,
                 {.skip_special_tokens = data[1] % 2 == 1, .clean_up_tokenization_spaces = data[1] >= 128});
  return 0;
}
