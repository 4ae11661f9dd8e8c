// Flags that several commands have, and the settings that come of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "manager/model_kind.h"
#include "remuda/settings.h"

namespace CLI {
class App;
}

namespace remuda::cli {

// Empty: what the environment, remuda.toml or the default says.
struct CommonOptions {
  ModelKind kind = ModelKind::kEmbedding;  // Of the command; whose model --model is.
  std::optional<std::string> model;
  std::optional<std::string> device;
  std::optional<std::string> precision;
  std::optional<int64_t> threads;
  std::optional<int64_t> pool;
  std::optional<std::string> memory_limit;
  std::optional<std::string> log_level;
  bool task_params = false;  // Of summaries; see Settings.
};

void add_model_flag(CLI::App& command, CommonOptions& options);
void add_thread_and_log_flags(CLI::App& command, CommonOptions& options);
// --device, --precision, --pool, --memory-limit, and those above.
void add_compute_flags(CLI::App& command, CommonOptions& options);

void add_files(CLI::App& command, std::vector<std::string>& files, const char* what = "Texts, one a line");
void add_max_length(CLI::App& command, std::optional<int64_t>& max_length, const char* otherwise);
void add_max_batch_tokens(CLI::App& command, std::optional<int64_t>& max_batch_tokens);

// Reads remuda.toml and the environment, overrides them by the flags, and sets the log level. Throws
// Error(kInvalidArgument) naming the flag, the variable or the key.
Settings apply(const CommonOptions& options);

}  // namespace remuda::cli
