#include "io/transformer_options.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "base/fail.h"
#include "base/files.h"
#include "io/module_files.h"

namespace remuda::io {
namespace {

constexpr int64_t kMaxLength = 1 << 20;

// In the order in which sentence-transformers looks for them; the first that has anything in it counts.
constexpr std::array kFileNames = {"sentence_bert_config.json",       "sentence_roberta_config.json",
                                   "sentence_distilbert_config.json", "sentence_camembert_config.json",
                                   "sentence_albert_config.json",     "sentence_xlm-roberta_config.json",
                                   "sentence_xlnet_config.json"};

// A length as Python has it, an integer or a float that is one; 0 where it is none that can be. 10^30 is "no limit".
int64_t length_of(const JsonValue& value) {
  if (value.type() != JsonValue::Type::kNumber) return 0;
  const double length = value.as_double();
  return length >= 1.0 && length <= static_cast<double>(kMaxLength) ? static_cast<int64_t>(length) : 0;
}

// A section under its name of today or its older one, which goes first as it does there.
std::optional<JsonValue> section(const JsonValue& root, const char* old_name, const char* name) {
  for (const char* each : {old_name, name}) {
    if (const auto found = root.find(each)) {
      if (!found->is_object()) found->fail_expected("an object");
      return found;
    }
  }
  return std::nullopt;
}

// Keys that say where a model comes from, or how it is run there, and nothing of what it computes.
constexpr std::array<std::string_view, 22> kWithoutMeaning = {"trust_remote_code",
                                                              "revision",
                                                              "code_revision",
                                                              "token",
                                                              "use_auth_token",
                                                              "cache_dir",
                                                              "local_files_only",
                                                              "subfolder",
                                                              "force_download",
                                                              "resume_download",
                                                              "proxies",
                                                              "device_map",
                                                              "low_cpu_mem_usage",
                                                              "use_safetensors",
                                                              "attn_implementation",
                                                              "torch_dtype",
                                                              "dtype",
                                                              "add_pooling_layer",
                                                              "use_cache",
                                                              "use_fast",
                                                              "return_dict",
                                                              "ignore_mismatched_sizes"};

bool has_no_meaning(std::string_view key) { return std::ranges::find(kWithoutMeaning, key) != kWithoutMeaning.end(); }

void check_model_arguments(const JsonValue& arguments) {
  for (const auto& [key, value] : arguments.members()) {
    // The layers' outputs, which a module may want, are there in any case.
    if (has_no_meaning(key) || key == "output_hidden_states") continue;
    warn_once(fmt::format("{}: an argument of the model's loading that remuda has no use for", value.where()));
  }
}

[[noreturn]] void refuse(const JsonValue& value, std::string_view expected) {
  fail(ErrorCode::kUnsupported, "{}: expected {}, found another", value.where(), expected);
}

void refuse_variants(const JsonValue& root) {
  if (const auto task = root.find("transformer_task"); task && task->as_string() != "feature-extraction") {
    fail(ErrorCode::kUnsupported, "{}: expected feature-extraction, found \"{}\"", task->where(), task->as_string());
  }
  if (const auto output = root.find("module_output_name"); output && output->as_string() != "token_embeddings") {
    fail(ErrorCode::kUnsupported, "{}: expected token_embeddings, found \"{}\"", output->where(), output->as_string());
  }
  if (const auto modalities = root.find("modality_config")) {
    const JsonValue text = modalities->at("text");
    if (text.at("method").as_string() != "forward") refuse(text.at("method"), "forward");
    const JsonValue output = text.at("method_output_name");
    if (!output.is_string() || output.as_string() != "last_hidden_state") refuse(output, "last_hidden_state");
    if (modalities->find("message")) refuse(modalities->at("message"), "texts without a chat template");
  }
  if (const auto path = root.find("tokenizer_name_or_path")) {
    if (!path->is_string() || !path->as_string().empty()) refuse(*path, "the tokenizer beside the model (null)");
  }
  for (const char* field : {"query_expansion", "query_length", "document_length"}) {
    if (const auto value = root.find(field)) warn_once(fmt::format("{}: not used here", value->where()));
  }
  if (const auto processing = root.find("processing_kwargs"); processing && !processing->members().empty()) {
    refuse(*processing, "no arguments of the tokenizer's calls");
  }
}

std::string quoted(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      json += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      json += c;
    }
  }
  return json + '"';
}

// The value written as JSON again.
std::string json_text(const JsonValue& value) {
  std::string json;
  switch (value.type()) {
    case JsonValue::Type::kNull:
      return "null";
    case JsonValue::Type::kBool:
      return value.as_bool() ? "true" : "false";
    case JsonValue::Type::kNumber:
      return fmt::format("{}", value.as_double());
    case JsonValue::Type::kString:
      return quoted(value.as_string());
    case JsonValue::Type::kArray:
      for (const JsonValue& item : value.items()) json += (json.empty() ? "" : ",") + json_text(item);
      return "[" + json + "]";
    case JsonValue::Type::kObject:
      for (const auto& [key, member] : value.members()) {
        json += (json.empty() ? "" : ",") + quoted(key) + ":" + json_text(member);
      }
      return "{" + json + "}";
  }
  return "null";
}

int64_t parse_max_seq_length(const JsonValue& root, const std::optional<JsonValue>& tokenizer) {
  // The tokenizer's own argument goes first, and then max_seq_length isn't looked at.
  if (tokenizer) {
    if (const auto length = tokenizer->find("model_max_length")) return length_of(*length);
  }
  const auto value = root.find("max_seq_length");
  if (!value) return 0;
  const int64_t length = length_of(*value);
  // 0 cuts nothing there, and nor does a number that no text reaches.
  const bool has_no_limit =
      value->type() == JsonValue::Type::kNumber && (value->as_double() == 0.0 || value->as_double() > kMaxLength);
  if (length == 0 && !has_no_limit) value->fail_expected("a number of tokens, or 0 for no limit");
  return length == 0 ? kMaxLength : length;
}

}  // namespace

TransformerOptions read_transformer_options(const std::filesystem::path& directory) {
  for (const char* name : kFileNames) {
    if (!file_exists(directory / name)) continue;
    TransformerOptions options;
    options.document = JsonDocument::parse_file(directory / name);
    const JsonValue root = options.document->root();
    if (root.members().empty()) continue;
    warn_of_unknown_keys(root, {"max_seq_length", "do_lower_case", "transformer_task", "modality_config", "model_args",
                                "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs",
                                "module_output_name", "processing_kwargs", "unpad_inputs", "query_length",
                                "tokenizer_name_or_path", "document_length", "query_expansion"});
    if (const auto model = section(root, "model_args", "model_kwargs")) check_model_arguments(*model);
    options.config = section(root, "config_args", "config_kwargs");
    const auto tokenizer = section(root, "tokenizer_args", "processor_kwargs");
    if (tokenizer) options.tokenizer_overrides = json_text(*tokenizer);
    options.max_seq_length = parse_max_seq_length(root, tokenizer);
    options.do_lower_case = root.bool_or("do_lower_case", false);
    return options;
  }
  return {};
}

void require_token_vectors(const TransformerOptions& options) {
  if (options.document) refuse_variants(options.document->root());
}

int64_t read_tokenizer_max_length(const std::filesystem::path& directory) {
  const auto path = directory / "tokenizer_config.json";
  if (!file_exists(path)) return 0;
  const JsonDocument document = JsonDocument::parse_file(path);
  for (const char* field : {"model_max_length", "max_len"}) {
    if (const auto length = document.root().find(field)) return length_of(*length);
  }
  return 0;
}

}  // namespace remuda::io
