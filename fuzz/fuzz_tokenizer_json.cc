// Any bytes as a tokenizer.json: it is refused with an Error, or makes a tokenizer that works.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string_view>
#include <vector>

#include "remuda/error.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace remuda;
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  try {
    const auto tokenizer = text::Tokenizer::from_json(JsonDocument::parse(json, "tokenizer.json"));
    for (const std::string_view sample :
         {"", "a", "aab [X] \xC3\x89\xCC\x81  b!\t[x]", "\xEA\xB0\x80\xE4\xB8\xAD\xFF a"}) {
      const text::Encoding encoding = tokenizer.encode(sample);
      for (const int32_t id : encoding.ids) {
        if (tokenizer.id_to_token(id)) continue;
        std::fprintf(stderr, "id %d has no token\n", id);
        std::abort();
      }
      tokenizer.decode(encoding.ids, {.skip_special_tokens = true, .clean_up_tokenization_spaces = true});
    }
    std::vector<int32_t> all(static_cast<size_t>(std::min(tokenizer.vocab_size(), 1000)));
    std::iota(all.begin(), all.end(), 0);
    tokenizer.decode(all);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) throw;
  }
  return 0;
}
