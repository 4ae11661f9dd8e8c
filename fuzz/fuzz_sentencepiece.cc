// Any bytes as a SentencePiece file, after one that chooses the tokenizer's class: the file is refused with an Error,
// or makes a tokenizer that works.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "remuda/error.h"
#include "text/sentencepiece_files.h"

namespace {

constexpr std::string_view kClasses[] = {
    "AlbertTokenizer", "BarthezTokenizer",  "BigBirdTokenizer",    "CamembertTokenizer", "DebertaV2Tokenizer",
    "GemmaTokenizer",  "LlamaTokenizer",    "MBart50Tokenizer",    "MBartTokenizer",     "PegasusTokenizer",
    "T5Tokenizer",     "TokenizersBackend", "XLMRobertaTokenizer", "XLNetTokenizer"};

void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace remuda;
  if (size == 0) return 0;
  const text::SentencePieceClass* recipe = text::find_sentencepiece_class(kClasses[data[0] % std::size(kClasses)]);
  check(recipe != nullptr, "each class is known");
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    const text::Tokenizer::Impl made =
        text::sentencepiece_from_bytes(bytes, {"/nowhere/tokenizer.model", recipe}, std::nullopt, {});
    const text::Vocabulary& vocabulary = made.model->vocabulary();
    for (const std::string_view sample :
         {"a", "aab <s> \xC3\x89\xCC\x81  b!\t<mask>", "\xEA\xB0\x80\xE4\xB8\xAD a\n\n\xE2\x96\x81"}) {
      std::vector<int32_t> ids;
      made.tokenize(sample, ids);
      for (const int32_t id : ids) check(made.added_tokens.token(id) || vocabulary.token(id), "each id has a token");
      std::string decoded;
      made.start_decoding({}).advance(made.tokens_of(ids, {}), /*last=*/true, decoded);
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) throw;
  }
  return 0;
}
