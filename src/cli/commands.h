// The subcommands: each adds itself to the application and, when it is the one that was asked for, sets the action.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace remuda::cli {

// Does the work and throws Error; its return is the exit code.
using Action = std::function<int()>;

inline constexpr int kSuccess = 0;
inline constexpr int kFailed = 1;
inline constexpr int kBadUsage = 2;
inline constexpr int kInterrupted = 130;

void add_embed(CLI::App& app, Action& action);
void add_summarize(CLI::App& app, Action& action);
void add_tokenize(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_devices(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_demo(CLI::App& app, Action& action);

}  // namespace remuda::cli
