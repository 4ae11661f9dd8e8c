#include "cli/run.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <sstream>

#include "base/fail.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "remuda/version.h"

namespace remuda::cli {
namespace {

constexpr const char* kFooter = R"(
Examples:
  remuda demo
  echo "A herd at dawn" | remuda embed
  remuda embed -m ./my-model texts.txt --output vectors.npy
  remuda inspect sentence-transformers/all-MiniLM-L6-v2

A MODEL is a directory, a name in the local Hugging Face cache (org/name), or
the default model, which scripts/fetch_model.sh gets. Defaults come from the
environment (MODEL_POOL_MAX_INSTANCES, REMUDA_PRECISION, ...) and from
./remuda.toml; flags outweigh both.

Exit codes: 0 done, 1 the work failed, 2 bad usage, 130 interrupted (what was
done is kept). A closed pipe ends remuda as it does other tools, by SIGPIPE.)";

void report(const std::string& message) { say(fmt::format("remuda: error: {}\n", message)); }

// The command that was asked for, or the application itself.
const CLI::App& innermost(const CLI::App& app) {
  const auto subcommands = app.get_subcommands();
  return subcommands.empty() ? app : innermost(*subcommands.front());
}

// What would have been understood: commands where one is wanted, flags otherwise.
std::string known(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  const bool commands = !names.empty();
  if (!commands) {
    for (const CLI::Option* option : app.get_options()) {
      if (option->nonpositional()) names.push_back(option->get_name());
    }
  }
  return fmt::format("{} are {}", commands ? "commands" : "flags", fmt::join(names, ", "));
}

bool is(const CLI::ParseError& error, CLI::ExitCodes code) { return error.get_exit_code() == static_cast<int>(code); }

// CLI11 misses a command before it complains of the word that stands there.
std::string message(const CLI::App& asked, const CLI::ParseError& error) {
  const std::vector<std::string> rest = asked.remaining();
  const bool unknown_command = is(error, CLI::ExitCodes::RequiredError) && !rest.empty();
  return unknown_command ? fmt::format("unknown command or flag \"{}\"", rest.front()) : error.what();
}

int report_usage(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& asked = innermost(app);
  std::string path;
  for (const CLI::App* at = &asked; at != nullptr; at = at->get_parent()) {
    path = at->get_name() + (path.empty() ? "" : " ") + path;
  }
  report(message(asked, error));
  const bool unknown_name = is(error, CLI::ExitCodes::ExtrasError) || is(error, CLI::ExitCodes::RequiredError);
  if (unknown_name) say(fmt::format("The {}.\n", known(asked)));
  say(fmt::format("More: {} --help\n", path));
  return kBadUsage;
}

int exit_code(const Error& error) {
  if (error.code() == ErrorCode::kCancelled && interrupted()) return kInterrupted;
  report(error.what());
  return error.code() == ErrorCode::kInvalidArgument ? kBadUsage : kFailed;
}

// What stdio has held back is written now, so that a full disk is an error and no silent loss.
int finish(int code) {
  if (std::fflush(stdout) == 0) return code;
  report(fmt::format("stdout: {}", std::strerror(errno)));
  return code == kSuccess ? kFailed : code;
}

int perform(const Action& action) {
  try {
    return finish(action());
  } catch (const Error& error) {
    return exit_code(error);
  } catch (const std::bad_alloc&) {
    report("out of memory");
  } catch (const std::exception& error) {
    report(error.what());
  }
  return kFailed;
}

}  // namespace

int run(int argc, const char* const* argv) {
  CLI::App app("Pools of machine-learning models: embeddings and summaries on a native engine.", "remuda");
  app.footer(kFooter + 1);
  app.set_version_flag("--version", fmt::format("remuda {}", version()));
  app.require_subcommand(1);
  app.get_formatter()->column_width(32);
  Action action;
  for (const auto add : {add_embed, add_summarize, add_tokenize, add_inspect, add_devices, add_bench, add_demo})
    add(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version come as errors, too.
    if (error.get_exit_code() != 0) return report_usage(app, error);
    std::ostringstream text;
    app.exit(error, text);
    action = [&text] {
      fmt::print("{}", text.str());
      return kSuccess;
    };
    return perform(action);
  }
  return perform(action);
}

}  // namespace remuda::cli
