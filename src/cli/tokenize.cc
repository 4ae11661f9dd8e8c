// remuda tokenize: texts to token ids, without loading a model's weights.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/fail.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/text_command.h"
#include "cli/text_reader.h"
#include "manager/model_tokenizer.h"

namespace remuda::cli {
namespace {

constexpr const char* kHelp = R"(
Output, a line a text in input order:
  {"ids": [101, 7592, 102], "tokens": ["[CLS]", "hello", "[SEP]"]}

Examples:
  echo "Hello, world!" | remuda tokenize
  remuda tokenize -m ./my-model --max-length 128 texts.txt > ids.jsonl)";

struct TokenizeFlags {
  CommonOptions common;
  TextReaderOptions input;
  std::optional<int64_t> max_length;
};

template <typename Values>
void append_array(std::string& out, const Values& values) {
  out += '[';
  for (const auto& value : values) {
    if (&value != &*std::begin(values)) out += ", ";
    append_json(out, value);
  }
  out += ']';
}

void append_line(std::string& out, const TokenizedText& text) {
  out += "{\"ids\": ";
  append_array(out, text.ids);
  out += ", \"tokens\": ";
  append_array(out, text.tokens);
  out += "}\n";
}

int tokenize(const TokenizeFlags& flags) {
  const Settings settings = apply(flags.common);
  catch_interrupts();
  TextReader reader(flags.input);
  const ModelTokenizer tokenizer(settings.embedding_model, settings.compute_threads);
  Output out(STDOUT_FILENO, "stdout");
  std::vector<std::string> texts;
  int64_t invalid = 0;
  while (reader.read(texts)) {
    for (const TokenizedText& text : tokenizer.tokenize(texts, flags.max_length)) {
      append_line(out.buffer(), text);
      out.flush_if_full();
      invalid += text.invalid_sequences;
    }
    out.flush();
  }
  warn_of_invalid_utf8(invalid + reader.repaired());
  return interrupted() ? kInterrupted : kSuccess;
}

}  // namespace

void add_tokenize(CLI::App& app, Action& action) {
  auto flags = std::make_shared<TokenizeFlags>();
  CLI::App& command = *app.add_subcommand("tokenize", "Token ids and tokens of texts, one a line");
  add_files(command, flags->input.files);
  add_model_flag(command, flags->common);
  command.add_flag("--jsonl", flags->input.jsonl, "Lines are JSON objects; the text is in \"text\"");
  add_max_length(command, flags->max_length, "no limit");
  add_thread_and_log_flags(command, flags->common);
  command.footer(kHelp + 1);
  command.callback([flags, &action] { action = [flags] { return tokenize(*flags); }; });
}

}  // namespace remuda::cli
