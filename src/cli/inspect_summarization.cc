// remuda inspect, of a summarization model.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/format.h"
#include "cli/inspect_model.h"
#include "remuda/summarization_model_manager.h"

namespace remuda::cli {
namespace {

using Json = nlohmann::ordered_json;

Json to_json_value(EarlyStopping value) {
  if (value == EarlyStopping::kNever) return "never";
  return value == EarlyStopping::kTrue;
}

template <typename T>
Json to_json_value(const T& value) {
  return value;
}

// The options that the checkpoint sets, under their names in transformers.
Json generation_json(const GenerationOptions& options) {
  Json json = Json::object();
  GenerationOptions::for_each(
      [&json](const char* name, const auto& value) {
        if (value) json[name] = to_json_value(*value);
      },
      options);
  return json;
}

Json precisions_json(const SummarizationModelInfo& info, const Device& device) {
  Json precisions = Json::object();
  for (const PrecisionCost& cost : precision_costs(info, device)) {
    precisions[std::string(to_string(cost.precision))] = {{"shared_weights_bytes", cost.memory.shared_weights},
                                                          {"workspace_bytes", cost.memory.workspace},
                                                          {"document_bytes", cost.memory.document},
                                                          {"sequence_bytes", cost.memory.sequence},
                                                          {"instances_that_fit", cost.instances}};
  }
  return precisions;
}

void print_json(const SummarizationModelInfo& info, std::span<const Device> devices) {
  const Json report = {{"name", info.name},
                       {"directory", info.directory},
                       {"architecture", info.architecture},
                       {"window", info.window},
                       {"max_positions", info.max_positions},
                       {"encoder_layers", info.encoder_layers},
                       {"decoder_layers", info.decoder_layers},
                       {"encoder_heads", info.encoder_heads},
                       {"decoder_heads", info.decoder_heads},
                       {"hidden_size", info.hidden_size},
                       {"encoder_intermediate_size", info.encoder_intermediate_size},
                       {"decoder_intermediate_size", info.decoder_intermediate_size},
                       {"vocab_size", info.vocab_size},
                       {"parameters", info.parameters},
                       {"file_bytes", info.file_bytes},
                       {"files", info.files},
                       {"generation", generation_json(info.generation)},
                       {"device", devices[0].id},
                       {"memory_limit", devices[0].memory_available},
                       {"precisions", precisions_json(info, devices[0])},
                       {"gpus", gpus_json(devices, [&info](const Device& gpu) { return precisions_json(info, gpu); })}};
  fmt::print("{}\n", report.dump(2));
}

void print_generation(const GenerationOptions& options) {
  constexpr size_t kWidth = 78;
  constexpr size_t kIndent = 16;
  const Json json = generation_json(options);
  std::string line = "  generation    ";
  size_t left = json.size();
  for (const auto& [name, value] : json.items()) {
    const std::string item = fmt::format("{} {}{}", name, value.dump(), --left > 0 ? ", " : "");
    if (line.size() + item.size() > kWidth) {
      fmt::print("{}\n", line);
      line = std::string(kIndent, ' ');
    }
    line += item;
  }
  fmt::print("{}{}\n", line, json.empty() ? "as transformers has it" : "");
}

void print_costs(const SummarizationModelInfo& info, const Device& device) {
  if (device.kind == DeviceKind::kGpu) fmt::print("\n  {}\n", heading(device));
  fmt::print("  {:<10} {:>10} {:>13} {:>13} {:>13} {:>8}\n", "precision", "weights", "per instance", "per document",
             "per sequence", "fit");
  for (const PrecisionCost& cost : precision_costs(info, device)) {
    fmt::print("  {:<10} {:>10} {:>13} {:>13} {:>13} {:>8}\n", to_string(cost.precision),
               human_bytes(cost.memory.shared_weights), human_bytes(cost.memory.workspace),
               human_bytes(cost.memory.document), human_bytes(cost.memory.sequence),
               with_commas(static_cast<int64_t>(cost.instances)));
  }
}

void print_text(const SummarizationModelInfo& info, std::span<const Device> devices) {
  fmt::print("{}\n", info.name);
  fmt::print("  architecture  {}: hidden {}\n", info.architecture, info.hidden_size);
  fmt::print("  encoder       {} layers, {} heads, intermediate {}\n", info.encoder_layers, info.encoder_heads,
             info.encoder_intermediate_size);
  fmt::print("  decoder       {} layers, {} heads, intermediate {}\n", info.decoder_layers, info.decoder_heads,
             info.decoder_intermediate_size);
  fmt::print("  window        {} tokens; longer documents are cut, or split with --long\n", info.window);
  fmt::print("  vocabulary    {}\n", with_commas(info.vocab_size));
  fmt::print("  parameters    {}\n", with_commas(info.parameters));
  print_generation(info.generation);
  fmt::print("  directory     {}\n", info.directory);
  fmt::print("  weights       {} in {}\n\n", human_bytes(info.file_bytes), fmt::join(info.files, ", "));

  for (const Device& device : devices) print_costs(info, device);
  fmt::print(
      "\n  Instances share the weights. \"per instance\": the workspace of one that computes,\n"
      "  documents included. \"per document\": one that fills the window, with its sequences\n"
      "  (beams). \"per sequence\": of that, the cache of one. \"fit\": in the {} that\n"
      "  models may take on {}.\n"
      "  remuda bench summarize --precision int8 measures what a precision gains here.\n",
      human_bytes(devices[0].memory_available), devices[0].id);
}

}  // namespace

void show_summarization_model(const std::string& name, std::span<const Device> devices, bool json) {
  const SummarizationModelInfo info = inspect_summarization_model(name);
  json ? print_json(info, devices) : print_text(info, devices);
}

}  // namespace remuda::cli
