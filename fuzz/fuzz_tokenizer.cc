// Any bytes as a text, through tokenizers of every component. The first byte chooses the tokenizer, the second a
// truncation.
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
    for (const char* name : {"bert_uncased", "bert_cased", "bert_lower_accents", "forms", "composed", "bare"}) {
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
  return 0;
}
