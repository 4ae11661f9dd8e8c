// A token for each character of a piece in its compatibility form (NFKC); one that isn't in the vocabulary is the
// unknown token.
#pragma once

#include <string>

#include "text/model.h"

namespace remuda::text {

class Characters final : public Model {
 public:
  // `source` names the model. Throws Error(kInvalidFile) where the vocabulary lacks the unknown token.
  Characters(Vocabulary vocabulary, const std::string& unknown_token, const std::string& source);

  void tokenize(std::string_view piece, std::vector<int32_t>& ids) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  Vocabulary vocabulary_;
  int32_t unknown_id_;
};

}  // namespace remuda::text
