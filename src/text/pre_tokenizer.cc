#include "text/pre_tokenizer.h"

#include <algorithm>

#include "text/components.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

constexpr int64_t kMaxSteps = 64;

using Parsed = std::vector<PreTokenizerStep>;

void push(std::vector<Span>& out, size_t begin, size_t end) {
  if (begin < end) out.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
}

// Splits at every character of which `is_delimiter` holds.
template <typename IsDelimiter>
void split_at(std::string_view text, Span span, Delimiter behavior, IsDelimiter is_delimiter, std::vector<Span>& out) {
  size_t begin = span.begin;
  bool after_delimiter = false;
  for (size_t position = span.begin; position < span.end;) {
    const size_t start = position;
    const bool delimiter = is_delimiter(next_code_point(text, position));
    switch (behavior) {
      case Delimiter::kRemoved:
        if (!delimiter) break;
        push(out, begin, start);
        begin = position;
        break;
      case Delimiter::kIsolated:
        if (!delimiter) break;
        push(out, begin, start);
        push(out, start, position);
        begin = position;
        break;
      case Delimiter::kMergedWithPrevious:
        if (!delimiter) break;
        push(out, begin, position);
        begin = position;
        break;
      case Delimiter::kMergedWithNext:
        if (!delimiter) break;
        push(out, begin, start);
        begin = start;
        break;
      case Delimiter::kContiguous:
        if (delimiter == after_delimiter) break;
        push(out, begin, start);
        begin = start;
        break;
    }
    after_delimiter = delimiter;
  }
  push(out, begin, span.end);
}

Delimiter parse_delimiter(const JsonValue& json) {
  const std::string behavior = json.string_or("behavior", "Isolated");
  if (behavior == "Removed") return Delimiter::kRemoved;
  if (behavior == "Isolated") return Delimiter::kIsolated;
  if (behavior == "MergedWithPrevious") return Delimiter::kMergedWithPrevious;
  if (behavior == "MergedWithNext") return Delimiter::kMergedWithNext;
  if (behavior == "Contiguous") return Delimiter::kContiguous;
  json.at("behavior").fail_expected("Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

void parse_step(const JsonValue& json, Parsed& steps) {
  static const Component<Parsed> kKnown[] = {
      {"BertPreTokenizer", [](const JsonValue&, Parsed& to) { to.emplace_back(BertSplit{}); }},
      {"Punctuation",
       [](const JsonValue& value, Parsed& to) { to.emplace_back(PunctuationSplit{parse_delimiter(value)}); }},
      {"Sequence",
       [](const JsonValue& value, Parsed& to) {
         for (const JsonValue& step : value.at("pretokenizers").items()) parse_step(step, to);
       }},
      {"Whitespace", [](const JsonValue&, Parsed& to) { to.emplace_back(WordRuns{}); }},
      {"WhitespaceSplit", [](const JsonValue&, Parsed& to) { to.emplace_back(WhitespaceSplit{}); }},
  };
  parse_component<Parsed>(json, kKnown, steps);
  if (std::ssize(steps) > kMaxSteps) json.fail_expected(fmt::format("at most {} pre-tokenizers", kMaxSteps));
}

}  // namespace

BertSplit::Class BertSplit::class_of(char32_t code_point) const {
  const uint16_t properties = (*table)[code_point];
  if (properties & kWhiteSpace) return Class::kSpace;
  return properties & kPunctuation ? Class::kPunctuation : Class::kWord;
}

std::array<BertSplit::Class, 128> BertSplit::classify() {
  const UnicodeTable& unicode = UnicodeTable::get();
  std::array<Class, 128> classes;
  for (size_t c = 0; c < classes.size(); ++c) {
    const uint16_t properties = unicode[static_cast<char32_t>(c)];
    classes[c] = properties & kWhiteSpace    ? Class::kSpace
                 : properties & kPunctuation ? Class::kPunctuation
                                             : Class::kWord;
  }
  return classes;
}

void BertSplit::split(std::string_view text, Span span, std::vector<Span>& out) const {
  size_t begin = span.begin;
  for (size_t position = span.begin; position < span.end;) {
    const size_t start = position;
    const char byte = text[position];
    const Class found = is_ascii(byte) ? ascii[static_cast<unsigned char>(text[position++])]
                                       : class_of(next_code_point(text, position));
    if (found == Class::kWord) continue;
    push(out, begin, start);
    if (found == Class::kPunctuation) push(out, start, position);
    begin = position;
  }
  push(out, begin, span.end);
}

void WhitespaceSplit::split(std::string_view text, Span span, std::vector<Span>& out) const {
  const UnicodeTable& table = UnicodeTable::get();
  split_at(text, span, Delimiter::kRemoved, [&](char32_t c) { return table.has(c, kWhiteSpace); }, out);
}

void WordRuns::split(std::string_view text, Span span, std::vector<Span>& out) const {
  const UnicodeTable& table = UnicodeTable::get();
  size_t begin = span.begin;
  uint16_t kind = kWhiteSpace;
  for (size_t position = span.begin; position < span.end;) {
    const size_t start = position;
    const uint16_t next = table[next_code_point(text, position)] & (kWord | kWhiteSpace);
    if (next == kind) continue;
    if (kind != kWhiteSpace) push(out, begin, start);
    begin = start;
    kind = next;
  }
  if (kind != kWhiteSpace) push(out, begin, span.end);
}

void PunctuationSplit::split(std::string_view text, Span span, std::vector<Span>& out) const {
  const UnicodeTable& table = UnicodeTable::get();
  split_at(text, span, behavior, [&](char32_t c) { return table.has(c, kPunctuation); }, out);
}

void PreTokenizer::split(std::string_view text, std::vector<Span>& pieces) const {
  pieces.clear();
  const Span whole{0, static_cast<uint32_t>(text.size())};
  if (steps_.empty()) return push(pieces, whole.begin, whole.end);
  std::visit([&](const auto& step) { step.split(text, whole, pieces); }, steps_.front());
  std::vector<Span> previous;
  for (size_t i = 1; i < steps_.size(); ++i) {
    previous.swap(pieces);
    pieces.clear();
    std::visit(
        [&](const auto& step) {
          for (const Span span : previous) step.split(text, span, pieces);
        },
        steps_[i]);
  }
}

PreTokenizer parse_pre_tokenizer(const std::optional<JsonValue>& json) {
  Parsed steps;
  if (json) parse_step(*json, steps);
  return PreTokenizer(std::move(steps));
}

}  // namespace remuda::text
