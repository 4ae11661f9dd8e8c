// The file that SentencePiece writes: a ModelProto of its sentencepiece_model.proto, in protocol buffers' wire format
// (https://protobuf.dev/programming-guides/encoding/), read without trusting any length in it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/large_vector.h"

namespace remuda::text {

// What tokenizers are built from; the rest of the file is passed over. Defaults are those of sentencepiece_model.proto.
struct SentencePieceModel {
  enum class PieceType : uint8_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  enum class Algorithm : uint8_t { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

  struct Piece {
    std::string_view text;
    float score = 0;
    PieceType type = PieceType::kNormal;
  };

  LargeVector<Piece> pieces;  // A piece's id is its index.

  Algorithm algorithm = Algorithm::kUnigram;
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  int32_t unknown_id = 0;
  int32_t bos_id = 1;
  int32_t eos_id = 2;
  int32_t pad_id = -1;
  std::string_view unknown_piece = "<unk>";
  std::string_view bos_piece = "<s>";
  std::string_view eos_piece = "</s>";
  std::string_view pad_piece = "<pad>";

  std::string_view character_map;  // The rules that CharacterMap reads; empty: none.
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

// `bytes` must outlive the result, which views them. Throws Error(kInvalidFile), naming `source`, for bytes that are no
// such message, pieces that aren't UTF-8, and no pieces or more than a vocabulary may have.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& source);

}  // namespace remuda::text
