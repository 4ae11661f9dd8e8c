#include "text/pre_tokenizer.h"

#include <algorithm>

#include "base/fail.h"
#include "text/byte_level.h"
#include "text/components.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

constexpr std::string_view kGpt2Expression =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr int64_t kMaxSteps = 64;
// The search for a pattern may compare all of it at each byte of the text.
constexpr size_t kMaxPatternBytes = 4096;
// Spans count in 32 bits.
constexpr size_t kMaxTextBytes = UINT32_MAX;

using Parsed = std::vector<PreTokenizerStep>;

void push(std::vector<Span>& out, size_t begin, size_t end) {
  if (begin < end) out.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
}

// Takes the parts of a piece in order, each a delimiter or not, and appends what `behavior` makes of them.
class Splitter {
 public:
  Splitter(size_t begin, Delimiter behavior, std::vector<Span>& out) : begin_(begin), behavior_(behavior), out_(&out) {}

  void add(size_t start, size_t end, bool delimiter) {
    switch (behavior_) {
      case Delimiter::kRemoved:
        if (!delimiter) break;
        push(*out_, begin_, start);
        begin_ = end;
        break;
      case Delimiter::kIsolated:
        if (!delimiter) break;
        push(*out_, begin_, start);
        push(*out_, start, end);
        begin_ = end;
        break;
      case Delimiter::kMergedWithPrevious:
        if (!delimiter) break;
        push(*out_, begin_, end);
        begin_ = end;
        break;
      case Delimiter::kMergedWithNext:
        if (!delimiter) break;
        push(*out_, begin_, start);
        begin_ = start;
        break;
      case Delimiter::kContiguous:
        if (delimiter == after_delimiter_) break;
        push(*out_, begin_, start);
        begin_ = start;
        break;
    }
    after_delimiter_ = delimiter;
  }
  // Ends a piece, whatever the behavior.
  void cut(size_t position) {
    push(*out_, begin_, position);
    begin_ = position;
  }
  void finish(size_t end) { cut(end); }

 private:
  size_t begin_;
  Delimiter behavior_;
  std::vector<Span>* out_;
  bool after_delimiter_ = false;
};

// Splits at every character of which `is_delimiter` holds.
template <typename IsDelimiter>
void split_at(std::string_view text, Span span, Delimiter behavior, IsDelimiter is_delimiter, std::vector<Span>& out) {
  Splitter splitter(span.begin, behavior, out);
  for (size_t position = span.begin; position < span.end;) {
    const size_t start = position;
    const bool delimiter = is_delimiter(next_code_point(text, position));
    splitter.add(start, position, delimiter);
  }
  splitter.finish(span.end);
}

// Calls add(start, end, matches) for the occurrences of `pattern` in text[span] and for what lies between.
template <typename Add>
void find_all(std::string_view text, Span span, std::string_view pattern, Add add) {
  text = text.substr(0, span.end);
  size_t position = span.begin;
  for (size_t found; (found = text.find(pattern, position)) != std::string_view::npos;) {
    if (position < found) add(position, found, false);
    position = found + pattern.size();
    add(found, position, true);
  }
  if (position < span.end) add(position, size_t{span.end}, false);
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

void parse_byte_level(const JsonValue& json, Parsed& steps) {
  steps.emplace_back(ByteLevelSplit{json.at("add_prefix_space").as_bool(), json.bool_or("use_regex", true)});
}

void parse_split(const JsonValue& json, Parsed& steps) {
  const JsonValue pattern = json.at("pattern");
  const Delimiter behavior = parse_delimiter(json);
  const bool invert = json.at("invert").as_bool();
  if (const auto regex = pattern.find("Regex")) {
    // The one that files split by before a ByteLevel without use_regex.
    if (regex->as_string() == kGpt2Expression && behavior == Delimiter::kIsolated && !invert) {
      steps.emplace_back(ByteLevelSplit{.add_prefix_space = false, .use_regex = true, .map_bytes = false});
      return;
    }
    fail(ErrorCode::kUnsupported,
         "{}: expected {{\"String\": ...}} or GPT-2's regular expression, isolated, found another regular expression, "
         "which remuda does not run",
         pattern.where());
  }
  StringSplit step{std::string(pattern.at("String").as_string()), behavior, invert};
  if (step.pattern.empty() || step.pattern.size() > kMaxPatternBytes) {
    pattern.at("String").fail_expected(fmt::format("a string of 1 to {} bytes", kMaxPatternBytes));
  }
  steps.emplace_back(std::move(step));
}

void parse_step(const JsonValue& json, Parsed& steps) {
  static const Component<Parsed> kKnown[] = {
      {"BertPreTokenizer", [](const JsonValue&, Parsed& to) { to.emplace_back(BertSplit{}); }},
      {"ByteLevel", parse_byte_level},
      {"Digits", [](const JsonValue& value,
                    Parsed& to) { to.emplace_back(DigitSplit{value.at("individual_digits").as_bool()}); }},
      {"Metaspace", [](const JsonValue& value, Parsed& to) { to.emplace_back(parse_metaspace(value)); }},
      {"Punctuation",
       [](const JsonValue& value, Parsed& to) { to.emplace_back(PunctuationSplit{parse_delimiter(value)}); }},
      {"Sequence",
       [](const JsonValue& value, Parsed& to) {
         for (const JsonValue& step : value.at("pretokenizers").items()) parse_step(step, to);
       }},
      {"Split", parse_split},
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

void DigitSplit::split(std::string_view text, Span span, std::vector<Span>& out) const {
  const UnicodeTable& table = UnicodeTable::get();
  const Delimiter behavior = individual ? Delimiter::kIsolated : Delimiter::kContiguous;
  split_at(text, span, behavior, [&](char32_t c) { return table.has(c, kNumeric); }, out);
}

void StringSplit::split(std::string_view text, Span span, std::vector<Span>& out) const {
  Splitter splitter(span.begin, behavior, out);
  bool after_delimiter = true;
  find_all(text, span, pattern, [&](size_t start, size_t end, bool matches) {
    const bool delimiter = matches != invert;
    // Occurrences that are no delimiters and follow each other are pieces of their own.
    if (!delimiter && !after_delimiter && behavior != Delimiter::kContiguous) splitter.cut(start);
    splitter.add(start, end, delimiter);
    after_delimiter = delimiter;
  });
  splitter.finish(span.end);
}

bool ByteLevelSplit::rewrites(std::string_view text, Span span, bool /*at_start*/) const {
  return map_bytes || (add_prefix_space && text[span.begin] != ' ');
}

void ByteLevelSplit::rewrite(std::string_view text, Span span, bool /*at_start*/, std::string& text_out,
                             std::vector<Span>& out) const {
  const std::string_view piece = text.substr(span.begin, span.end - span.begin);
  const auto size = [](const std::string& string) { return static_cast<uint32_t>(string.size()); };
  std::string raw(add_prefix_space && !piece.starts_with(' ') ? 1 : 0, ' ');
  raw += piece;
  std::vector<Span> parts;
  split(raw, {0, size(raw)}, parts);
  for (const auto [begin, end] : parts) {
    const uint32_t start = size(text_out);
    const std::string_view part = std::string_view(raw).substr(begin, end - begin);
    if (map_bytes) {
      append_byte_characters(text_out, part);
    } else {
      text_out += part;
    }
    out.push_back({start, size(text_out)});
  }
}

void ByteLevelSplit::split(std::string_view text, Span span, std::vector<Span>& out) const {
  if (use_regex) return split_as_gpt2(text, span, out);
  push(out, span.begin, span.end);
}

bool MetaspaceSplit::rewrites(std::string_view text, Span span, bool at_start) const {
  const std::string_view piece = text.substr(span.begin, span.end - span.begin);
  const bool prepends = prepend == Prepend::kAlways || (prepend == Prepend::kFirst && at_start);
  return (prepends && !piece.starts_with(replacement)) || piece.find(' ') != std::string_view::npos;
}

void MetaspaceSplit::rewrite(std::string_view text, Span span, bool at_start, std::string& text_out,
                             std::vector<Span>& out) const {
  const size_t start = text_out.size();
  const std::string_view piece = text.substr(span.begin, span.end - span.begin);
  const bool prepends = prepend == Prepend::kAlways || (prepend == Prepend::kFirst && at_start);
  if (prepends && !piece.starts_with(' ') && !piece.starts_with(replacement)) text_out += replacement;
  for (const char byte : piece) {
    if (byte == ' ') {
      text_out += replacement;
    } else {
      text_out += byte;
    }
  }
  split(text_out, {static_cast<uint32_t>(start), static_cast<uint32_t>(text_out.size())}, out);
}

void MetaspaceSplit::split(std::string_view text, Span span, std::vector<Span>& out) const {
  if (!split_pieces) return push(out, span.begin, span.end);
  Splitter splitter(span.begin, Delimiter::kMergedWithNext, out);
  find_all(text, span, replacement, [&](size_t start, size_t end, bool matches) { splitter.add(start, end, matches); });
  splitter.finish(span.end);
}

MetaspaceSplit parse_metaspace(const JsonValue& json) {
  using Prepend = MetaspaceSplit::Prepend;
  MetaspaceSplit step;
  step.replacement = json.at("replacement").as_string();
  if (count_code_points(step.replacement) != 1) json.at("replacement").fail_expected("one character");
  const std::string scheme = json.string_or("prepend_scheme", "always");
  if (scheme == "always") {
    step.prepend = Prepend::kAlways;
  } else if (scheme == "first") {
    step.prepend = Prepend::kFirst;
  } else if (scheme == "never") {
    step.prepend = Prepend::kNever;
  } else {
    json.at("prepend_scheme").fail_expected("always, first or never");
  }
  if (!json.bool_or("add_prefix_space", true) && step.prepend != Prepend::kNever) {
    json.at("add_prefix_space").fail_expected("true, or \"never\" as the prepend_scheme");
  }
  step.split_pieces = json.bool_or("split", true);
  return step;
}

namespace {

template <typename Step>
concept Rewriting = requires(const Step& step) { step.rewrites(std::string_view(), Span(), true); };

// `at_start` of each piece: the first one's is that of the text.
template <Rewriting Step>
void rewrite_pieces(const Step& step, bool at_start, const std::vector<Span>& previous, Pieces& pieces) {
  std::string text;
  text.reserve(pieces.text.size() + pieces.text.size() / 4);
  for (const Span span : previous) {
    step.rewrite(pieces.text, span, at_start && span.begin == 0, text, pieces.spans);
    if (text.size() > kMaxTextBytes) {
      fail(ErrorCode::kUnsupported, "tokenizer.json: its pre-tokenizer makes more than {} bytes of a text",
           kMaxTextBytes);
    }
  }
  pieces.storage = std::move(text);
  pieces.text = pieces.storage;
}

template <typename Step>
void apply(const Step& step, bool at_start, const std::vector<Span>& previous, Pieces& pieces) {
  if constexpr (Rewriting<Step>) {
    const auto rewrites = [&](Span span) { return step.rewrites(pieces.text, span, at_start && span.begin == 0); };
    if (std::any_of(previous.begin(), previous.end(), rewrites)) {
      return rewrite_pieces(step, at_start, previous, pieces);
    }
  }
  for (const Span span : previous) step.split(pieces.text, span, pieces.spans);
}

}  // namespace

void PreTokenizer::split(std::string_view text, bool at_start, Pieces& pieces) const {
  pieces.text = text;
  pieces.spans.clear();
  push(pieces.spans, 0, text.size());
  std::vector<Span> previous;
  for (const PreTokenizerStep& step : steps_) {
    previous.swap(pieces.spans);
    pieces.spans.clear();
    std::visit([&](const auto& known) { apply(known, at_start, previous, pieces); }, step);
  }
}

bool PreTokenizer::ends_with_bytes() const {
  const auto* last = steps_.empty() ? nullptr : std::get_if<ByteLevelSplit>(&steps_.back());
  return last != nullptr && last->map_bytes;
}

void PreTokenizer::leave_bytes_to_model() {
  if (ends_with_bytes()) std::get<ByteLevelSplit>(steps_.back()).map_bytes = false;
}

PreTokenizer parse_pre_tokenizer(const std::optional<JsonValue>& json) {
  Parsed steps;
  if (json) parse_step(*json, steps);
  return PreTokenizer(std::move(steps));
}

}  // namespace remuda::text
