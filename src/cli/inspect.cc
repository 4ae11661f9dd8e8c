// remuda inspect: what a model is, what it costs, and how many instances fit.
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/inspect_model.h"
#include "manager/model_kind.h"
#include "remuda/settings.h"

namespace remuda::cli {
namespace {

struct InspectFlags {
  std::string model;
  bool json = false;
};

int inspect(const InspectFlags& flags) {
  const std::string name = flags.model.empty() ? get_settings().embedding_model : flags.model;
  const bool summarizes = find_model_kind(name) == ModelKind::kSummarization;
  (summarizes ? show_summarization_model : show_embedding_model)(name, devices_for_models(), flags.json);
  return kSuccess;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App& command = *app.add_subcommand("inspect", "What a model is, costs, and how many instances fit");
  command.add_option("MODEL", flags->model, "A directory or a name [the default embedding model]")->option_text(" ");
  command.add_flag("--json", flags->json, "Print JSON; memory is in bytes");
  command.footer(
      "Reads the model's files, not its weights. \"Per instance\" is the workspace of one\n"
      "computing instance; instances share the weights. A GPU has a table of its own.\n"
      "Of a BART it shows the defaults of generation, and what a document and each of\n"
      "its sequences take while it is decoded, too.");
  command.callback([flags, &action] { action = [flags] { return inspect(*flags); }; });
}

}  // namespace remuda::cli
