#include "text/characters.h"

#include "base/fail.h"
#include "text/normalizer.h"
#include "text/utf8.h"

namespace remuda::text {

Characters::Characters(Vocabulary vocabulary, const std::string& unknown_token, const std::string& source)
    : vocabulary_(std::move(vocabulary)), unknown_id_(vocabulary_.find(unknown_token).value_or(-1)) {
  if (unknown_id_ < 0) {
    fail(ErrorCode::kInvalidFile, "{}: expected the unknown token \"{}\", found {} other tokens", source, unknown_token,
         vocabulary_.size());
  }
}

void Characters::tokenize(std::string_view piece, std::vector<int32_t>& ids) const {
  std::string text;
  UnicodeForm{.compatibility = true, .compose = true}.normalize(piece, text);
  for (size_t position = 0; position < text.size();) {
    const size_t start = position;
    next_code_point(text, position);
    ids.push_back(vocabulary_.find(std::string_view(text).substr(start, position - start)).value_or(unknown_id_));
  }
}

}  // namespace remuda::text
