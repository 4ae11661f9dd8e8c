#include "text/normalizer.h"

#include <algorithm>

#include "base/fail.h"
#include "text/components.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

// No Unicode mapping makes a text more than 11 times as long (U+FDFA, 3 bytes, to 33); BERT's spaces add less.
constexpr size_t kMaxGrowth = 32;
constexpr size_t kMaxExtra = size_t{1} << 16;
constexpr int64_t kMaxSteps = 64;
// The search for a pattern may compare all of it at each byte of the text.
constexpr size_t kMaxPatternBytes = 4096;

using Parsed = std::vector<NormalizerStep>;

void parse_bert(const JsonValue& json, Parsed& steps) {
  BertNormalizer::Options options;
  options.clean_text = json.at("clean_text").as_bool();
  options.handle_chinese_chars = json.at("handle_chinese_chars").as_bool();
  options.lowercase = json.at("lowercase").as_bool();
  options.strip_accents = json.bool_or("strip_accents", options.lowercase);
  steps.emplace_back(BertNormalizer(options));
}

void parse_step(const JsonValue& json, Parsed& steps);

void parse_sequence(const JsonValue& json, Parsed& steps) {
  for (const JsonValue& step : json.at("normalizers").items()) parse_step(step, steps);
}

void parse_step(const JsonValue& json, Parsed& steps) {
  static const Component<Parsed> kKnown[] = {
      {"BertNormalizer", parse_bert},
      {"Lowercase", [](const JsonValue&, Parsed& to) { to.emplace_back(Lowercase{}); }},
      {"NFC", [](const JsonValue&, Parsed& to) { to.emplace_back(UnicodeForm{false, true}); }},
      {"NFD", [](const JsonValue&, Parsed& to) { to.emplace_back(UnicodeForm{false, false}); }},
      {"NFKC", [](const JsonValue&, Parsed& to) { to.emplace_back(UnicodeForm{true, true}); }},
      {"NFKD", [](const JsonValue&, Parsed& to) { to.emplace_back(UnicodeForm{true, false}); }},
      {"Nmt", [](const JsonValue&, Parsed& to) { to.emplace_back(Nmt{}); }},
      {"Precompiled", [](const JsonValue& value, Parsed& to) { to.emplace_back(parse_precompiled(value)); }},
      {"Prepend", [](const JsonValue& value,
                     Parsed& to) { to.emplace_back(Prepend{std::string(value.at("prepend").as_string())}); }},
      {"Replace", [](const JsonValue& value, Parsed& to) { to.emplace_back(parse_replace(value)); }},
      {"Sequence", parse_sequence},
      {"Strip",
       [](const JsonValue& value, Parsed& to) {
         to.emplace_back(Strip{value.at("strip_left").as_bool(), value.at("strip_right").as_bool()});
       }},
      {"StripAccents", [](const JsonValue&, Parsed& to) { to.emplace_back(StripAccents{}); }},
  };
  parse_component<Parsed>(json, kKnown, steps);
  if (std::ssize(steps) > kMaxSteps) json.fail_expected(fmt::format("at most {} normalizers", kMaxSteps));
}

constexpr char32_t kCapitalSigma = 0x3A3;
constexpr char32_t kFinalSigma = 0x3C2;

// Unicode's Final_Sigma for the sigma of text[start, end): a letter with case stands before it and none after it, with
// nothing but what has no say in that (an apostrophe, a mark) between. https://www.unicode.org/versions/Unicode15.0.0,
// section 3.13.
bool ends_word(std::string_view text, size_t start, size_t end) {
  char32_t before = 0;
  while (start > 0 && ignores_case(before = previous_code_point(text, start))) before = 0;
  char32_t after = 0;
  while (end < text.size() && ignores_case(after = next_code_point(text, end))) after = 0;
  return has_case(before) && !has_case(after);
}

}  // namespace

void Lowercase::normalize(std::string_view text, std::string& out) const {
  const UnicodeTable& table = UnicodeTable::get();
  for (size_t position = 0; position < text.size();) {
    const size_t start = position;
    const char32_t code_point = next_code_point(text, position);
    if (final_sigma && code_point == kCapitalSigma && ends_word(text, start, position)) {
      append_utf8(out, kFinalSigma);
    } else {
      append_lowercase(out, code_point, table[code_point]);
    }
  }
}

void StripAccents::normalize(std::string_view text, std::string& out) const {
  const UnicodeTable& table = UnicodeTable::get();
  for (size_t position = 0; position < text.size();) {
    const size_t start = position;
    if (!table.has(next_code_point(text, position), kMark)) out.append(text, start, position - start);
  }
}

void FoldWhiteSpace::normalize(std::string_view text, std::string& out) const {
  const UnicodeTable& table = UnicodeTable::get();
  for (size_t position = 0; position < text.size();) {
    const size_t start = position;
    size_t run = 0;
    size_t end = position;
    for (size_t next = position; next < text.size() && table.has(next_code_point(text, next), kWhiteSpace);
         end = next) {
      ++run;
    }
    if (run == 0) {
      next_code_point(text, position);
      out.append(text, start, position - start);
      continue;
    }
    position = end;
    const char first = text[start];
    if (run > 1 || first == '\n' || first == '\r' || first == '\t') {
      out += ' ';
    } else {
      out.append(text, start, end - start);
    }
  }
}

void Strip::normalize(std::string_view text, std::string& out) const {
  const UnicodeTable& table = UnicodeTable::get();
  size_t begin = 0;
  size_t end = text.size();
  for (size_t next = begin; left && begin < end; begin = next) {
    if (!table.has(next_code_point(text, next), kWhiteSpace)) break;
  }
  for (size_t previous = end; right && end > begin; end = previous) {
    if (!table.has(previous_code_point(text, previous), kWhiteSpace)) break;
  }
  out.append(text, begin, end - begin);
}

// The end of the run of `pattern` that starts at `position`.
size_t Replace::match_end(std::string_view text, size_t position) const {
  size_t end = position + pattern.size();
  while (min_run > 0 && text.substr(end).starts_with(pattern)) end += pattern.size();
  return end;
}

void Replace::normalize(std::string_view text, std::string& out, size_t max_bytes) const {
  size_t copied = 0;
  size_t position = 0;
  while ((position = text.find(pattern, position)) != std::string_view::npos) {
    const size_t end = match_end(text, position);
    if (end - position >= min_run * pattern.size()) {
      out.append(text, copied, position - copied).append(content);
      copied = end;
      if (out.size() > max_bytes) return;
    }
    position = end;
  }
  out.append(text, copied);
}

namespace {

// Of a regular expression that is one character, which stands for itself, and "+" or "{n,}": the files that
// transformers makes of SentencePiece models fold spaces so.
std::optional<Replace> parse_run(std::string_view expression) {
  constexpr std::string_view kSpecial = "\\^$.|?*+()[]{}";
  size_t end = 0;
  if (expression.empty() || kSpecial.find(expression.front()) != std::string_view::npos) return std::nullopt;
  next_code_point(expression, end);
  Replace replace;
  replace.pattern = expression.substr(0, end);
  const std::string_view quantifier = expression.substr(end);
  if (quantifier == "+") {
    replace.min_run = 1;
  } else if (quantifier.size() == 4 && quantifier.starts_with('{') && quantifier.ends_with(",}") &&
             quantifier[1] >= '1' && quantifier[1] <= '9') {
    replace.min_run = static_cast<size_t>(quantifier[1] - '0');
  } else {
    return std::nullopt;
  }
  return replace;
}

}  // namespace

Replace parse_replace(const JsonValue& json) {
  const JsonValue pattern = json.at("pattern");
  Replace replace;
  if (const auto expression = pattern.find("Regex")) {
    const auto run = parse_run(expression->as_string());
    if (!run) {
      fail(ErrorCode::kUnsupported,
           "{}: expected {{\"String\": ...}}, or as a regular expression a character and \"+\" or \"{{2,}}\", found "
           "\"{}\"",
           pattern.where(), expression->as_string().substr(0, 60));
    }
    replace = *run;
  } else {
    replace.pattern = pattern.at("String").as_string();
    if (replace.pattern.empty() || replace.pattern.size() > kMaxPatternBytes) {
      pattern.at("String").fail_expected(fmt::format("a string of 1 to {} bytes", kMaxPatternBytes));
    }
  }
  replace.content = json.at("content").as_string();
  return replace;
}

namespace {

bool within(char32_t c, char32_t first, char32_t last) { return first <= c && c <= last; }

bool dropped_by_nmt(char32_t c) {
  return within(c, 0x1, 0x8) || c == 0xB || within(c, 0xE, 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
}

char32_t first_code_point(std::string_view text) {
  size_t position = 0;
  return next_code_point(text, position);
}

}  // namespace

bool StripAccents::drops_start(std::string_view text) const {
  return UnicodeTable::get().has(first_code_point(text), kMark);
}

bool Strip::drops_start(std::string_view text) const {
  return left && UnicodeTable::get().has(first_code_point(text), kWhiteSpace);
}

bool Replace::drops_start(std::string_view text) const {
  return content.empty() && text.starts_with(pattern) && match_end(text, 0) >= min_run * pattern.size();
}

bool Nmt::drops_start(std::string_view text) const { return dropped_by_nmt(first_code_point(text)); }

void Nmt::normalize(std::string_view text, std::string& out) const {
  for (size_t position = 0; position < text.size();) {
    const char32_t c = next_code_point(text, position);
    const bool space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || within(c, 0x200B, 0x200F) ||
                       c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == kReplacementCharacter;
    if (!dropped_by_nmt(c)) append_utf8(out, space ? U' ' : c);
  }
}

void Prepend::normalize(std::string_view text, std::string& out) const {
  if (!text.empty()) out.append(prefix).append(text);
}

bool Normalizer::normalize(std::string_view text, std::string& out) const {
  out.clear();
  if (steps_.empty()) {
    out = text;
    return true;
  }
  bool start_kept = true;
  const size_t max_bytes = kMaxGrowth * text.size() + kMaxExtra;
  std::string previous;
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (i > 0) {
      previous.swap(out);
      out.clear();
    }
    const std::string_view input = i == 0 ? text : std::string_view(previous);
    const auto apply = [&](const auto& step) {
      if constexpr (requires { step.drops_start(input); }) start_kept &= input.empty() || !step.drops_start(input);
      if constexpr (requires { step.normalize(input, out, max_bytes); }) {
        step.normalize(input, out, max_bytes);
      } else {
        step.normalize(input, out);
      }
    };
    std::visit(apply, steps_[i]);
    if (out.size() > max_bytes) {
      fail(ErrorCode::kUnsupported, "tokenizer.json: its normalizer makes more than {} bytes of a text of {}",
           max_bytes, text.size());
    }
  }
  return start_kept;
}

void prepend_lowercase(std::vector<NormalizerStep>& steps) {
  const auto is_lowercase = [](const NormalizerStep& step) { return std::holds_alternative<Lowercase>(step); };
  if (std::ranges::none_of(steps, is_lowercase)) steps.insert(steps.begin(), Lowercase{});
}

namespace {

bool is_lowercase(const JsonValue& json) { return json.at("type").as_string() == "Lowercase"; }

// As sentence-transformers looks for one: a sequence within a sequence stays closed.
bool has_lowercase(const JsonValue& json) {
  if (json.at("type").as_string() != "Sequence") return is_lowercase(json);
  return std::ranges::any_of(json.at("normalizers").items(), is_lowercase);
}

}  // namespace

Normalizer parse_normalizer(const std::optional<JsonValue>& json, bool lower_case) {
  Parsed steps;
  if (lower_case && !(json && has_lowercase(*json))) steps.emplace_back(Lowercase{});
  if (json) parse_step(*json, steps);
  return Normalizer(std::move(steps));
}

}  // namespace remuda::text
