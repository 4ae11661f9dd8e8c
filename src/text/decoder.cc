#include "text/decoder.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/fail.h"
#include "text/byte_level.h"
#include "text/byte_tokens.h"
#include "text/components.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

constexpr int64_t kMaxSteps = 64;
constexpr int64_t kMaxStripped = 1 << 16;
constexpr size_t kMaxPatternBytes = 4096;
// A replacement may make a token this much longer.
constexpr size_t kMaxTokenGrowth = 64;
constexpr size_t kMaxTokenExtra = size_t{1} << 16;

using Parsed = std::vector<DecoderStep>;
using Replacement = std::pair<std::string_view, std::string_view>;

void replace_all(std::string& text, std::string_view pattern, std::string_view content) {
  size_t position = text.find(pattern);
  if (position == std::string::npos) return;
  std::string replaced;
  size_t copied = 0;
  for (; position != std::string::npos; position = text.find(pattern, copied)) {
    replaced.append(text, copied, position - copied).append(content);
    copied = position + pattern.size();
  }
  text = replaced.append(text, copied);
}

constexpr std::array<Replacement, 7> kBeforeDoNot = {
    {{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"}}};
constexpr std::array<Replacement, 3> kAfterDoNot = {{{" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}}};

// `do_not`: " do not" too, as tokenizers' WordPiece does and transformers' own clean-up doesn't.
void clean_up(std::string& text, bool do_not) {
  if (text.find(' ') == std::string::npos) return;
  for (const auto& [pattern, content] : kBeforeDoNot) replace_all(text, pattern, content);
  if (do_not) replace_all(text, " do not", " don't");
  for (const auto& [pattern, content] : kAfterDoNot) replace_all(text, pattern, content);
}

void push_lossy(std::string_view bytes, Tokens& out) {
  std::string repaired;
  if (repair_utf8(bytes, repaired) == 0) repaired = bytes;
  out.push_back(std::move(repaired));
}

// The bytes at the end that begin a character and could still be completed.
size_t incomplete_suffix(std::string_view bytes) {
  for (size_t length = 1; length <= std::min<size_t>(3, bytes.size()); ++length) {
    const auto lead = static_cast<unsigned char>(bytes[bytes.size() - length]);
    if (is_continuation(static_cast<char>(lead))) continue;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    std::string repaired;
    // One malformed sequence: the bytes are the start of a character. More: they can't be.
    const int64_t malformed = repair_utf8(bytes.substr(bytes.size() - length), repaired);
    return malformed == 1 && count_code_points(repaired) == 1 ? length : 0;
  }
  return 0;
}

// Without up to `limit` times `content` at the start.
size_t strip_start(std::string_view text, std::string_view content, size_t limit) {
  size_t count = 0;
  for (; count < limit && text.starts_with(content); ++count) text.remove_prefix(content.size());
  return count;
}

}  // namespace

void ByteLevelDecode::push(std::string token, Tokens& out) {
  std::string decoded;
  for (size_t position = 0; position < token.size();) {
    const auto byte = byte_of_character(next_code_point(token, position));
    if (!byte) {
      decoded = std::move(token);
      break;
    }
    decoded.push_back(*byte);
  }
  bytes += decoded;
  if (!is_last) return;
  const size_t settled = bytes.size() - incomplete_suffix(bytes);
  push_lossy(std::string_view(bytes).substr(0, settled), out);
  bytes.erase(0, settled);
}

void ByteLevelDecode::finish(Tokens& out) { push_lossy(std::exchange(bytes, {}), out); }

void WordPieceDecode::push(std::string token, Tokens& out) {
  if (!is_first) {
    if (token.starts_with(prefix)) {
      token.erase(0, prefix.size());
    } else {
      token.insert(0, 1, ' ');
    }
  }
  is_first = false;
  if (clean_up) text::clean_up(token, /*do_not=*/true);
  out.push_back(std::move(token));
}

void MetaspaceDecode::push(std::string token, Tokens& out) {
  const bool drop = is_first && metaspace.prepend != MetaspaceSplit::Prepend::kNever;
  is_first = false;
  replace_all(token, metaspace.replacement, drop ? "" : " ");
  out.push_back(std::move(token));
}

void SuffixDecode::push(std::string token, Tokens& out) {
  if (held) {
    replace_all(*held, suffix, " ");
    out.push_back(std::move(*held));
  }
  held = std::move(token);
}

void SuffixDecode::finish(Tokens& out) {
  if (!held) return;
  replace_all(*held, suffix, "");
  out.push_back(std::move(*held));
  held.reset();
}

void ByteFallbackDecode::push(std::string token, Tokens& out) {
  if (const auto byte = byte_of_token(token)) {
    bytes.push_back(*byte);
    return;
  }
  finish(out);
  out.push_back(std::move(token));
}

void ByteFallbackDecode::finish(Tokens& out) {
  if (bytes.empty()) return;
  std::string repaired;
  if (repair_utf8(bytes, repaired) == 0) {
    out.push_back(std::move(bytes));
  } else {
    std::string replacement;
    append_utf8(replacement, kReplacementCharacter);
    out.insert(out.end(), bytes.size(), replacement);
  }
  bytes.clear();
}

void StripDecode::push(std::string token, Tokens& out) {
  token.erase(0, strip_start(token, content, start) * content.size());
  for (size_t count = 0; count < stop && token.ends_with(content); ++count) token.resize(token.size() - content.size());
  out.push_back(std::move(token));
}

void StripStart::push(std::string token, Tokens& out) {
  if (token.empty()) return;
  const size_t stripped = strip_start(token, content, count);
  token.erase(0, stripped * content.size());
  count = token.empty() ? count - stripped : 0;
  out.push_back(std::move(token));
}

void ReplaceDecode::push(std::string token, Tokens& out) {
  const size_t max_bytes = kMaxTokenGrowth * token.size() + kMaxTokenExtra;
  std::string replaced;
  replace.normalize(token, replaced, max_bytes);
  if (replaced.size() > max_bytes) {
    fail(ErrorCode::kUnsupported, "tokenizer.json: its decoder makes more than {} bytes of a token of {}", max_bytes,
         token.size());
  }
  out.push_back(std::move(replaced));
}

void JoinWithSpaces::push(std::string token, Tokens& out) {
  if (!is_first) token.insert(0, 1, ' ');
  is_first = false;
  out.push_back(std::move(token));
}

// A pattern begins with a space and has no other, but one after an apostrophe: none reaches across a space that stands
// after anything but a space or an apostrophe. What is before the last such space is settled.
void CleanUp::push(std::string token, Tokens& out) {
  const size_t seen = text.size();
  text += token;
  for (size_t position = text.size() - 1; position + 1 > std::max<size_t>(seen, 1); --position) {
    if (text[position] != ' ' || text[position - 1] == ' ' || text[position - 1] == '\'') continue;
    std::string settled = text.substr(0, position);
    text.erase(0, position);
    text::clean_up(settled, /*do_not=*/false);
    return out.push_back(std::move(settled));
  }
}

void CleanUp::finish(Tokens& out) {
  text::clean_up(text, /*do_not=*/false);
  out.push_back(std::exchange(text, {}));
}

void Decoding::advance(Tokens tokens, bool last, std::string& text) {
  Tokens made;
  for (DecoderStep& step : steps_) {
    made.clear();
    std::visit(
        [&](auto& known) {
          for (std::string& token : tokens) known.push(std::move(token), made);
          if (last) known.finish(made);
        },
        step);
    tokens.swap(made);
  }
  for (const std::string& token : tokens) text += token;
}

namespace {

std::string parse_character(const JsonValue& json) {
  const std::string_view character = json.as_string();
  if (count_code_points(character) != 1) json.fail_expected("one character");
  return std::string(character);
}

void parse_strip(const JsonValue& json, Parsed& steps) {
  const auto count = [&](std::string_view field) {
    return static_cast<size_t>(json.at(field).as_int(0, kMaxStripped));
  };
  steps.emplace_back(StripDecode{parse_character(json.at("content")), count("start"), count("stop")});
}

void parse_suffix(const JsonValue& json, Parsed& steps) {
  SuffixDecode step;
  step.suffix = json.at("suffix").as_string();
  if (step.suffix.empty() || step.suffix.size() > kMaxPatternBytes) {
    json.at("suffix").fail_expected(fmt::format("a string of 1 to {} bytes", kMaxPatternBytes));
  }
  steps.emplace_back(std::move(step));
}

void parse_step(const JsonValue& json, Parsed& steps) {
  static const Component<Parsed> kKnown[] = {
      {"BPEDecoder", parse_suffix},
      {"ByteFallback", [](const JsonValue&, Parsed& to) { to.emplace_back(ByteFallbackDecode{}); }},
      {"ByteLevel", [](const JsonValue&, Parsed& to) { to.emplace_back(ByteLevelDecode{}); }},
      {"Fuse", [](const JsonValue&, Parsed& to) { to.emplace_back(FuseDecode{}); }},
      {"Metaspace",
       [](const JsonValue& value, Parsed& to) { to.emplace_back(MetaspaceDecode{parse_metaspace(value)}); }},
      {"Replace", [](const JsonValue& value, Parsed& to) { to.emplace_back(ReplaceDecode{parse_replace(value)}); }},
      {"Sequence",
       [](const JsonValue& value, Parsed& to) {
         for (const JsonValue& step : value.at("decoders").items()) parse_step(step, to);
       }},
      {"Strip", parse_strip},
      {"WordPiece",
       [](const JsonValue& value, Parsed& to) {
         to.emplace_back(WordPieceDecode{std::string(value.at("prefix").as_string()), value.at("cleanup").as_bool()});
       }},
  };
  parse_component<Parsed>(json, kKnown, steps);
  if (std::ssize(steps) > kMaxSteps) json.fail_expected(fmt::format("at most {} decoders", kMaxSteps));
}

// A fused text can't be given away before its end, unless what comes after the Fuse looks at the start alone.
void let_text_flow(Parsed& steps) {
  if (!steps.empty() && std::holds_alternative<FuseDecode>(steps.back())) steps.pop_back();
  for (size_t i = 0; i < steps.size(); ++i) {
    if (auto* bytes = std::get_if<ByteLevelDecode>(&steps[i])) bytes->is_last = i + 1 == steps.size();
  }
  const size_t size = steps.size();
  if (size < 2 || !std::holds_alternative<FuseDecode>(steps[size - 2])) return;
  if (const auto* strip = std::get_if<StripDecode>(&steps.back()); strip != nullptr && strip->stop == 0) {
    StripStart start{strip->content, strip->start};
    steps.resize(size - 2);
    steps.emplace_back(std::move(start));
  }
}

}  // namespace

std::vector<DecoderStep> parse_decoder(const std::optional<JsonValue>& json) {
  Parsed steps;
  if (!json) return {JoinWithSpaces{}};
  parse_step(*json, steps);
  let_text_flow(steps);
  return steps;
}

}  // namespace remuda::text
