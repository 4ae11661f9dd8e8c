#include "cli/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/log.h"
#include "remuda/embedding_model_manager.h"

namespace remuda::cli {
namespace {

constexpr int64_t kMostThreads = 4096;
constexpr int64_t kMostTokens = int64_t{1} << 20;

}  // namespace

void add_model_flag(CLI::App& command, CommonOptions& options) {
  command
      .add_option(
          "-m,--model", options.model,
          fmt::format("A directory, or a name in the Hugging Face cache\n[{}]",
                      options.kind == ModelKind::kEmbedding ? "$REMUDA_EMBEDDING_MODEL, or all-MiniLM-L6-v2"
                                                            : "$REMUDA_SUMMARIZATION_MODEL, or a small one of ours"))
      ->option_text("MODEL");
}

void add_thread_and_log_flags(CLI::App& command, CommonOptions& options) {
  command.add_option("--threads", options.threads, "Compute threads; 0: all the process may use [0]")
      ->option_text("N")
      ->check(CLI::Range(int64_t{0}, kMostThreads));
  command.add_option("--log-level", options.log_level, "debug, info, warning, error, off [warning]")
      ->option_text("LEVEL");
}

void add_compute_flags(CLI::App& command, CommonOptions& options) {
  const char* precisions = options.kind == ModelKind::kEmbedding
                               ? "fp32 (the reference's answers), bf16 or int8\n"
                                 "(faster, less memory; cosine to fp32 >= 0.9999\n"
                                 "and >= 0.995), fp16 or tf32 (GPUs), or auto: fp32,\n"
                                 "and fp16 on a GPU [auto]"
                               : "fp32 (the tokens that transformers generates),\n"
                                 "bf16 or int8 (faster, less memory; a summary\n"
                                 "may differ in words), fp16 or tf32 (GPUs), or\n"
                                 "auto: fp32, and fp16 on a GPU [auto]";
  command.add_option("--device", options.device, "auto, cpu, cuda (any GPU) or cuda:N\n[$REMUDA_DEVICE, or cpu]")
      ->option_text("DEVICE");
  command.add_option("--precision", options.precision, precisions)->option_text("NAME");
  command.add_option("--pool", options.pool, "Most model instances; they share the weights [2]")
      ->option_text("N")
      ->check(CLI::Range(int64_t{1}, kMostThreads));
  command
      .add_option("--memory-limit", options.memory_limit,
                  "Most memory for weights and workspace: 2GiB,\n"
                  "512MiB, or 80% of what is free [none]")
      ->option_text("SIZE");
  add_thread_and_log_flags(command, options);
}

void add_files(CLI::App& command, std::vector<std::string>& files, const char* what) {
  command.add_option("FILE", files, fmt::format("{}; \"-\" or none: standard input", what))->option_text("...");
}

void add_max_length(CLI::App& command, std::optional<int64_t>& max_length, const char* otherwise) {
  command
      .add_option("--max-length", max_length,
                  fmt::format("Cut texts at N tokens, special ones included\n[{}]", otherwise))
      ->option_text("N")
      ->check(CLI::Range(int64_t{1}, kMostTokens));
}

void add_max_batch_tokens(CLI::App& command, std::optional<int64_t>& max_batch_tokens) {
  command
      .add_option("--max-batch-tokens", max_batch_tokens,
                  fmt::format("Tokens computed at once; changes no result\n[{}; on a GPU {}]",
                              EmbedOptions::default_max_batch_tokens(DeviceKind::kCpu),
                              EmbedOptions::default_max_batch_tokens(DeviceKind::kGpu)))
      ->option_text("N")
      ->check(CLI::Range(int64_t{1}, kMostTokens));
}

Settings apply(const CommonOptions& options) {
  log::set_level(log::parse_level(options.log_level.value_or("warning"), "--log-level"));
  Settings settings = get_settings();
  if (options.model) {
    (options.kind == ModelKind::kEmbedding ? settings.embedding_model : settings.summarization_model) = *options.model;
  }
  if (options.task_params) settings.task_params = true;
  if (options.device) settings.device = parse_device(*options.device, "--device");
  if (options.precision) settings.precision = parse_precision(*options.precision, "--precision");
  if (options.threads) settings.compute_threads = *options.threads;
  if (options.pool) settings.model_pool_max_instances = *options.pool;
  if (options.memory_limit) settings.memory_limit = MemoryLimit::parse(*options.memory_limit, "--memory-limit");
  settings.validate();
  return settings;
}

}  // namespace remuda::cli
