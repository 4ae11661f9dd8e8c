#include "cli/summary_writer.h"

#include <span>
#include <string>

namespace remuda::cli {
namespace {

// `append` for each, in brackets.
template <typename T, typename Append>
void append_array(std::string& out, std::span<const T> values, Append append) {
  out += '[';
  for (const T& value : values) {
    if (&value != values.data()) out += ", ";
    append(value);
  }
  out += ']';
}

// What a GeneratedText has under the same keys wherever it stands.
void append_text(std::string& out, const GeneratedText& text) {
  out += "\"summary\": ";
  append_json(out, text.text);
  out += ", \"ids\": ";
  append_array<int32_t>(out, text.ids, [&out](int32_t id) { append_json(out, id); });
}

void append_score(std::string& out, const GeneratedText& text) {
  out += ", \"score\": ";
  append_json(out, text.score);
}

void append_bool(std::string& out, const char* key, bool value) {
  out += ", \"";
  out += key;
  out += value ? "\": true" : "\": false";
}

void append_int(std::string& out, const char* key, int64_t value) {
  out += ", \"";
  out += key;
  out += "\": ";
  append_json(out, value);
}

void append_others(std::string& out, const Summary& summary) {
  append_score(out, summary.best);
  out += ", \"others\": ";
  append_array<GeneratedText>(out, summary.others, [&out](const GeneratedText& other) {
    out += '{';
    append_text(out, other);
    append_score(out, other);
    out += '}';
  });
}

void append_coverage(std::string& out, const LongSummary& summary) {
  out += ", \"parts\": ";
  append_array<DocumentPart>(out, summary.parts, [&out](const DocumentPart& part) {
    out += "{\"begin\": ";
    append_json(out, part.begin);
    append_int(out, "end", part.end);
    append_int(out, "tokens", part.tokens);
    out += '}';
  });
  append_int(out, "merges", summary.merges);
  append_bool(out, "merged", summary.merged);
}

}  // namespace

void SummaryWriter::write(int64_t index, const LongSummary& summary) {
  std::string& line = out_.buffer();
  line += "{\"index\": ";
  append_json(line, index);
  line += ", ";
  append_text(line, summary.summary.best);
  append_int(line, "input_tokens", summary.summary.input_tokens);
  append_int(line, "output_tokens", summary.summary.output_tokens());
  append_bool(line, "truncated", summary.summary.truncated());
  if (fields_.complete) append_bool(line, "complete", summary.summary.best.complete);
  if (fields_.others) append_others(line, summary.summary);
  if (fields_.coverage) append_coverage(line, summary);
  line += "}\n";
  out_.flush_if_full();
}

}  // namespace remuda::cli
