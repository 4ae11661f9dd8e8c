#include "text/unigram.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/fail.h"
#include "text/byte_tokens.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

// Below the lowest score of the vocabulary: SentencePiece's kUnkPenalty.
constexpr double kUnknownPenalty = 10.0;

double power_of_ten(int exponent) {
  const std::string text = fmt::format("1e{}", exponent);
  double power = 1;
  std::from_chars(text.data(), text.data() + text.size(), power);
  return power;
}

[[noreturn]] void fail_without_unknown(const std::string& source) {
  fail(ErrorCode::kUnsupported, "{}: expected an unk_id, for the text has a character that is no token, found none",
       source);
}

}  // namespace

// A number as Hugging Face reads it: its digits as an integer, times or divided by a power of ten, which now and then
// is a unit in the last place off. Ways of equal score are told apart by just that.
double score_as_hugging_face_reads(double value) {
  constexpr int kMaxExponent = 308;
  if (!std::isfinite(value)) return value;  // Its digits would be letters.
  std::array<char, 32> shortest;
  const auto written =
      std::to_chars(shortest.data(), shortest.data() + shortest.size(), std::abs(value), std::chars_format::scientific);
  uint64_t digits = 0;
  int exponent = 0;
  bool after_point = false;
  for (const char* at = shortest.data(); at != written.ptr; ++at) {
    if (*at == 'e') {
      const char* number = at[1] == '+' ? at + 2 : at + 1;
      int power = 0;
      std::from_chars(number, written.ptr, power);
      exponent += power;
      break;
    }
    if (*at == '.') {
      after_point = true;
      continue;
    }
    digits = digits * 10 + static_cast<uint64_t>(*at - '0');
    exponent -= after_point;
  }
  if (std::abs(exponent) > kMaxExponent) return value;
  const auto read = static_cast<double>(digits);
  const double power = power_of_ten(std::abs(exponent));
  return std::copysign(exponent < 0 ? read / power : read * power, value);
}

Unigram::Unigram(Vocabulary vocabulary, LargeVector<double> scores, Options options, const std::string& source)
    : vocabulary_(std::move(vocabulary)),
      scores_(std::move(scores)),
      options_(options),
      source_(source),
      trie_(vocabulary_, source) {
  if (const auto unknown = options_.unknown_id; unknown && !vocabulary_.token(*unknown)) {
    fail(ErrorCode::kInvalidFile, "{}: unk_id: expected the id of a token, found {} where {} tokens are", source,
         *unknown, vocabulary_.size());
  }
  double lowest = std::numeric_limits<double>::infinity();
  for (size_t id = 0; id < scores_.size(); ++id) {
    if (!std::isfinite(scores_[id])) {
      fail(ErrorCode::kInvalidFile, "{}: expected a number as the score of token {}, found {}", source, id,
           scores_[id]);
    }
    lowest = std::min(lowest, scores_[id]);
  }
  unknown_score_ = lowest - kUnknownPenalty;
}

size_t Unigram::bytes() const {
  return vocabulary_.bytes() + scores_.capacity() * sizeof(double) + trie_.bytes() + cache_.bytes();
}

void Unigram::tokenize(std::string_view piece, std::vector<int32_t>& ids) const {
  if (cache_.find(piece, ids)) return;
  const size_t before = ids.size();
  tokenize_anew(piece, ids);
  cache_.insert(piece, std::span(ids).subspan(before));
}

std::vector<Unigram::Node> Unigram::best_paths(std::string_view piece) const {
  std::vector<Node> ends_at(piece.size() + 1);
  for (size_t start = 0, next = 0; start < piece.size(); start = next) {
    next_code_point(piece, next);
    const double score = ends_at[start].score;
    const auto offer = [&](size_t end, double candidate, int32_t id) {
      Node& node = ends_at[end];
      if (node.start != kUnreached && candidate <= node.score) return;
      node = {candidate, static_cast<uint32_t>(start), id};
    };
    bool single = false;
    trie_.find_prefixes(piece.substr(start), [&](size_t length, int32_t id) {
      offer(start + length, scores_[id] + score, id);
      single |= start + length == next;
    });
    if (single) continue;
    if (!options_.unknown_id) {
      // Hugging Face asks for it when this would be the best way.
      if (ends_at[next].start != kUnreached && unknown_score_ + score <= ends_at[next].score) continue;
      fail_without_unknown(source_);
    }
    offer(next, unknown_score_ + score, *options_.unknown_id);
  }
  return ends_at;
}

void Unigram::tokenize_anew(std::string_view piece, std::vector<int32_t>& ids) const {
  const std::vector<Node> ends_at = best_paths(piece);
  std::vector<size_t> ends;  // From the last to the first.
  for (size_t end = piece.size(); end > 0; end = ends_at[end].start) ends.push_back(end);
  std::reverse(ends.begin(), ends.end());
  size_t unknown_end = 0;  // Where a run of unknown tokens ends; it starts at `begin`.
  size_t begin = 0;
  for (const size_t end : ends) {
    const Node& node = ends_at[end];
    if (options_.unknown_id && node.id == *options_.unknown_id) {
      unknown_end = end;
      continue;
    }
    if (begin < unknown_end) append_unknown(piece.substr(begin, unknown_end - begin), ids);
    ids.push_back(node.id);
    begin = end;
  }
  if (begin < piece.size()) append_unknown(piece.substr(begin), ids);
}

// Neighbours that are unknown may be a token together.
void Unigram::append_unknown(std::string_view part, std::vector<int32_t>& ids) const {
  if (const auto id = vocabulary_.find(part)) return ids.push_back(*id);
  if (options_.byte_fallback && append_byte_tokens(vocabulary_, part, ids)) return;
  ids.push_back(*options_.unknown_id);
}

Vocabulary parse_pieces(const JsonValue& vocab, bool exact, LargeVector<double>& scores) {
  const auto items = vocab.items();
  Vocabulary vocabulary(vocab.where(), items.size());
  scores.reserve(items.size());
  for (const JsonValue& item : items) {
    const auto pair = item.items();
    if (pair.size() != 2) item.fail_expected("a token and its score");
    vocabulary.add(pair[0].as_string(), std::ssize(scores));
    const double score = pair[1].as_double();
    scores.push_back(exact ? score : score_as_hugging_face_reads(score));
  }
  return vocabulary;
}

std::unique_ptr<const Model> parse_unigram(const JsonValue& json) {
  LargeVector<double> scores;
  Vocabulary vocabulary = parse_pieces(json.at("vocab"), /*exact=*/false, scores);
  Unigram::Options options;
  if (const auto unknown = json.find("unk_id")) {
    options.unknown_id = static_cast<int32_t>(unknown->as_int(0, Vocabulary::kMaxId));
  }
  options.byte_fallback = json.bool_or("byte_fallback", false);
  return std::make_unique<Unigram>(std::move(vocabulary), std::move(scores), options, json.where());
}

}  // namespace remuda::text
