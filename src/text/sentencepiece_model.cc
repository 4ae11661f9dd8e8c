#include "text/sentencepiece_model.h"

#include <bit>

#include "base/fail.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace remuda::text {
namespace {

constexpr size_t kMaxPieces = size_t{Vocabulary::kMaxId} + 1;
// A group may hold groups; nobody has written one since 2008.
constexpr int kMaxGroupDepth = 32;

enum class Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kGroup = 3, kEndGroup = 4, kFixed32 = 5 };

// A field of a message. `number` is its tag; of the values that of its wire type counts.
struct Field {
  uint32_t number = 0;
  Wire wire = Wire::kVarint;
  uint64_t varint = 0;
  uint32_t fixed32 = 0;
  std::string_view bytes;

  bool is(uint32_t wanted, Wire type) const { return number == wanted && wire == type; }
};

// Reads the fields of one message, one after the other.
class FieldReader {
 public:
  // `base`: where the message starts in the file, for errors.
  FieldReader(std::string_view message, size_t base, const std::string& source)
      : message_(message), base_(base), source_(&source) {}

  // False at the end of the message.
  bool next(Field& field) {
    if (position_ == message_.size()) return false;
    read_tag(field);
    if (field.wire == Wire::kEndGroup) fail_here("a field, or the end of the message", "the end of a group");
    read_value(field, 0);
    return true;
  }

  // Where a view into this message starts in the file.
  size_t offset_of(std::string_view part) const { return base_ + static_cast<size_t>(part.data() - message_.data()); }

 private:
  [[noreturn]] void fail_here(std::string_view expected, std::string_view found) const {
    fail(ErrorCode::kInvalidFile,
         "{}: at byte {}: expected {}, found {}: this is no SentencePiece model, or a damaged one", *source_,
         base_ + position_, expected, found);
  }

  uint64_t read_varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (position_ == message_.size()) fail_here("the rest of a number", "the end of the message");
      const auto byte = static_cast<unsigned char>(message_[position_++]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail_here("a number of at most 10 bytes", "a longer one");
  }

  std::string_view read_bytes(uint64_t length) {
    if (length > message_.size() - position_) {
      fail_here(fmt::format("{} bytes more", length), fmt::format("{}", message_.size() - position_));
    }
    const std::string_view bytes = message_.substr(position_, length);
    position_ += bytes.size();
    return bytes;
  }

  void read_tag(Field& field) {
    const uint64_t tag = read_varint();
    field.number = static_cast<uint32_t>(tag >> 3);
    field.wire = static_cast<Wire>(tag & 7);
    if (tag > UINT32_MAX || field.number == 0 || field.wire > Wire::kFixed32) {
      fail_here("a field", fmt::format("the tag {}", tag));
    }
  }

  void read_value(Field& field, int depth) {
    switch (field.wire) {
      case Wire::kVarint:
        field.varint = read_varint();
        break;
      case Wire::kFixed64:
        read_bytes(8);
        break;
      case Wire::kBytes:
        field.bytes = read_bytes(read_varint());
        break;
      case Wire::kGroup:
        skip_group(field.number, depth);
        break;
      case Wire::kEndGroup:
        break;
      case Wire::kFixed32:
        field.fixed32 = read_number(read_bytes(4));
        break;
    }
  }

  void skip_group(uint32_t number, int depth) {
    if (depth == kMaxGroupDepth) fail_here(fmt::format("at most {} groups in each other", kMaxGroupDepth), "more");
    for (Field field;;) {
      read_tag(field);
      if (field.wire == Wire::kEndGroup) {
        if (field.number != number) fail_here("the end of a group", "that of another");
        return;
      }
      read_value(field, depth + 1);
    }
  }

  static uint32_t read_number(std::string_view bytes) {
    uint32_t number = 0;
    for (int i = 3; i >= 0; --i) number = number << 8 | static_cast<unsigned char>(bytes[static_cast<size_t>(i)]);
    return number;
  }

  std::string_view message_;
  size_t base_;
  const std::string* source_;
  size_t position_ = 0;
};

// Sets `value` to the number of an enumeration if that has it; others count as not written, as in any proto2 message.
template <typename Enum>
void set_enum(Enum& value, uint64_t number, Enum last) {
  if (number >= 1 && number <= static_cast<uint64_t>(last)) value = static_cast<Enum>(number);
}

std::string_view text_of(const Field& field, size_t offset, const std::string& source) {
  std::string repaired;
  if (const int64_t malformed = repair_utf8(field.bytes, repaired); malformed > 0) {
    fail(ErrorCode::kInvalidFile, "{}: at byte {}: expected a piece in UTF-8, found {} malformed sequences in \"{}\"",
         source, offset, malformed, repaired.substr(0, 60));
  }
  return field.bytes;
}

SentencePieceModel::Piece parse_piece(FieldReader reader, const std::string& source) {
  SentencePieceModel::Piece piece;
  for (Field field; reader.next(field);) {
    if (field.is(1, Wire::kBytes)) piece.text = text_of(field, reader.offset_of(field.bytes), source);
    if (field.is(2, Wire::kFixed32)) piece.score = std::bit_cast<float>(field.fixed32);
    if (field.is(3, Wire::kVarint)) set_enum(piece.type, field.varint, SentencePieceModel::PieceType::kByte);
  }
  return piece;
}

void parse_trainer_spec(FieldReader reader, const std::string& source, SentencePieceModel& model) {
  for (Field field; reader.next(field);) {
    if (field.wire == Wire::kVarint) {
      const auto number = static_cast<int32_t>(static_cast<uint32_t>(field.varint));
      switch (field.number) {
        case 3:
          set_enum(model.algorithm, field.varint, SentencePieceModel::Algorithm::kChar);
          break;
        case 24:
          model.whitespace_as_suffix = field.varint != 0;
          break;
        case 35:
          model.byte_fallback = field.varint != 0;
          break;
        case 40:
          model.unknown_id = number;
          break;
        case 41:
          model.bos_id = number;
          break;
        case 42:
          model.eos_id = number;
          break;
        case 43:
          model.pad_id = number;
          break;
        default:
          break;
      }
    } else if (field.wire == Wire::kBytes && field.number >= 45 && field.number <= 48) {
      std::string_view* const names[] = {&model.unknown_piece, &model.bos_piece, &model.eos_piece, &model.pad_piece};
      *names[field.number - 45] = text_of(field, reader.offset_of(field.bytes), source);
    }
  }
}

void parse_normalizer_spec(FieldReader reader, SentencePieceModel& model) {
  for (Field field; reader.next(field);) {
    if (field.is(2, Wire::kBytes)) model.character_map = field.bytes;
    if (field.is(3, Wire::kVarint)) model.add_dummy_prefix = field.varint != 0;
    if (field.is(4, Wire::kVarint)) model.remove_extra_whitespaces = field.varint != 0;
    if (field.is(5, Wire::kVarint)) model.escape_whitespaces = field.varint != 0;
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& source) {
  SentencePieceModel model;
  FieldReader reader(bytes, 0, source);
  for (Field field; reader.next(field);) {
    if (field.wire != Wire::kBytes) continue;
    const FieldReader inner(field.bytes, reader.offset_of(field.bytes), source);
    if (field.number == 1) {
      if (model.pieces.size() == kMaxPieces) {
        fail(ErrorCode::kInvalidFile, "{}: expected at most {} pieces, found more", source, kMaxPieces);
      }
      model.pieces.push_back(parse_piece(inner, source));
    } else if (field.number == 2) {
      parse_trainer_spec(inner, source, model);
    } else if (field.number == 3) {
      parse_normalizer_spec(inner, model);
    }
  }
  if (model.pieces.empty()) {
    fail(ErrorCode::kInvalidFile, "{}: expected pieces, found none in {} bytes: this is no SentencePiece model", source,
         bytes.size());
  }
  return model;
}

}  // namespace remuda::text
