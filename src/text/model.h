// The part of a tokenizer that turns one piece of text into ids: WordPiece, and what else tokenizer.json may name. A
// new kind is a class with this interface and a line in parse_model.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/pre_tokenizer.h"
#include "text/vocabulary.h"

namespace remuda::text {

// Immutable: any number of threads may use one at once.
class Model {
 public:
  virtual ~Model() = default;

  // Appends the ids of `piece`, which is valid UTF-8 and not empty.
  virtual void tokenize(std::string_view piece, std::vector<int32_t>& ids) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
  // Whether decoded text has its spaces as the text had them, so that cleaning them up would spoil it.
  virtual bool keeps_spaces() const { return false; }
  // Memory held, in bytes.
  virtual size_t bytes() const { return vocabulary().bytes(); }
};

// From tokenizer.json's "model". A model that writes bytes as characters itself takes that over from the pre-tokenizer.
// Throws Error(kInvalidFile) and Error(kUnsupported).
std::unique_ptr<const Model> parse_model(const JsonValue& json, PreTokenizer& pre_tokenizer);

}  // namespace remuda::text
