#include "text/normalizer.h"

#include <algorithm>
#include <type_traits>

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

void parse_replace(const JsonValue& json, Parsed& steps) {
  const JsonValue pattern = json.at("pattern");
  if (pattern.find("Regex")) {
    fail(ErrorCode::kUnsupported,
         "{}: expected {{\"String\": ...}}, found a regular expression, which remuda does not run", pattern.where());
  }
  Replace step{std::string(pattern.at("String").as_string()), std::string(json.at("content").as_string())};
  if (step.pattern.empty() || step.pattern.size() > kMaxPatternBytes) {
    pattern.at("String").fail_expected(fmt::format("a string of 1 to {} bytes", kMaxPatternBytes));
  }
  steps.emplace_back(std::move(step));
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
      {"Prepend", [](const JsonValue& value,
                     Parsed& to) { to.emplace_back(Prepend{std::string(value.at("prepend").as_string())}); }},
      {"Replace", parse_replace},
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

}  // namespace

void Lowercase::normalize(std::string_view text, std::string& out) const {
  const UnicodeTable& table = UnicodeTable::get();
  for (size_t position = 0; position < text.size();) {
    const char32_t code_point = next_code_point(text, position);
    append_lowercase(out, code_point, table[code_point]);
  }
}

void StripAccents::normalize(std::string_view text, std::string& out) const {
  const UnicodeTable& table = UnicodeTable::get();
  for (size_t position = 0; position < text.size();) {
    const size_t start = position;
    if (!table.has(next_code_point(text, position), kMark)) out.append(text, start, position - start);
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

void Replace::normalize(std::string_view text, std::string& out, size_t max_bytes) const {
  size_t position = 0;
  for (size_t found; (found = text.find(pattern, position)) != std::string_view::npos;) {
    out.append(text, position, found - position).append(content);
    position = found + pattern.size();
    if (out.size() > max_bytes) return;
  }
  out.append(text, position);
}

void Prepend::normalize(std::string_view text, std::string& out) const {
  if (!text.empty()) out.append(prefix).append(text);
}

void Normalizer::normalize(std::string_view text, std::string& out) const {
  out.clear();
  if (steps_.empty()) {
    out = text;
    return;
  }
  const size_t max_bytes = kMaxGrowth * text.size() + kMaxExtra;
  std::string previous;
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (i > 0) {
      previous.swap(out);
      out.clear();
    }
    const std::string_view input = i == 0 ? text : std::string_view(previous);
    const auto apply = [&](const auto& step) {
      if constexpr (std::is_same_v<decltype(step), const Replace&>) {
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
}

Normalizer parse_normalizer(const std::optional<JsonValue>& json) {
  Parsed steps;
  if (json) parse_step(*json, steps);
  return Normalizer(std::move(steps));
}

}  // namespace remuda::text
