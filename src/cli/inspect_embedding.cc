// remuda inspect, of an embedding model.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/format.h"
#include "cli/inspect_model.h"
#include "remuda/embedding_model_manager.h"

namespace remuda::cli {
namespace {

// What a precision trades. The bounds are those that the test suite holds the bundled model to.
const char* trade(Precision precision) {
  switch (precision) {
    case Precision::kBf16:
      return "matrices in half the memory; cosine to fp32 >= 0.9999";
    case Precision::kInt8:
      return "matrices in a quarter, the fastest; cosine >= 0.995";
    default:
      return "the reference's answers";
  }
}

nlohmann::ordered_json precisions_json(const EmbeddingModelInfo& info, const Device& device) {
  nlohmann::ordered_json precisions = nlohmann::ordered_json::object();
  for (const PrecisionCost& cost : precision_costs(info, device)) {
    precisions[std::string(to_string(cost.precision))] = {{"shared_weights_bytes", cost.memory.shared_weights},
                                                          {"workspace_bytes", cost.memory.workspace},
                                                          {"instances_that_fit", cost.instances}};
  }
  return precisions;
}

void print_json(const EmbeddingModelInfo& info, std::span<const Device> devices) {
  const nlohmann::ordered_json report = {
      {"name", info.name},
      {"directory", info.directory},
      {"architecture", info.architecture},
      {"dimension", info.dimension},
      {"max_seq_length", info.max_seq_length},
      {"num_layers", info.num_layers},
      {"num_heads", info.num_heads},
      {"hidden_size", info.hidden_size},
      {"intermediate_size", info.intermediate_size},
      {"vocab_size", info.vocab_size},
      {"parameters", info.parameters},
      {"file_bytes", info.file_bytes},
      {"files", info.files},
      {"modules", info.modules},
      {"prompts", info.prompts},
      {"similarity", info.similarity},
      {"device", devices[0].id},
      {"memory_limit", devices[0].memory_available},
      {"precisions", precisions_json(info, devices[0])},
      {"gpus", gpus_json(devices, [&info](const Device& gpu) { return precisions_json(info, gpu); })}};
  fmt::print("{}\n", report.dump(2));
}

void print_costs(const EmbeddingModelInfo& info, const Device& device) {
  const bool gpu = device.kind == DeviceKind::kGpu;
  if (gpu) fmt::print("\n  {}\n", heading(device));
  fmt::print("  {:<10} {:>12} {:>14} {:>10}\n", "precision", "weights", "per instance", "fit");
  for (const PrecisionCost& cost : precision_costs(info, device)) {
    fmt::print("  {:<10} {:>12} {:>14} {:>10}{}\n", to_string(cost.precision), human_bytes(cost.memory.shared_weights),
               human_bytes(cost.memory.workspace), with_commas(static_cast<int64_t>(cost.instances)),
               gpu ? "" : fmt::format("   {}", trade(cost.precision)));
  }
}

void print_text(const EmbeddingModelInfo& info, std::span<const Device> devices) {
  fmt::print("{}\n", info.name);
  fmt::print("  architecture  {}: {} layers, {} heads, hidden {}, intermediate {}\n", info.architecture,
             info.num_layers, info.num_heads, info.hidden_size, info.intermediate_size);
  fmt::print("  modules       {}\n", fmt::join(info.modules, " > "));
  fmt::print("  embedding     {} dimensions, texts cut at {} tokens\n", info.dimension, info.max_seq_length);
  fmt::print("  vocabulary    {}\n", with_commas(info.vocab_size));
  fmt::print("  parameters    {}\n", with_commas(info.parameters));
  fmt::print("  prompts       {}\n", fmt::join(info.prompts, ", "));
  fmt::print("  directory     {}\n", info.directory);
  fmt::print("  weights       {} in {}\n\n", human_bytes(info.file_bytes), fmt::join(info.files, ", "));

  for (const Device& device : devices) print_costs(info, device);
  fmt::print(
      "\n  Instances share the weights. \"fit\": in the {} that models may take on {}.\n"
      "  remuda bench embed --precision int8 measures what a precision gains here.\n",
      human_bytes(devices[0].memory_available), devices[0].id);
}

}  // namespace

void show_embedding_model(const std::string& name, std::span<const Device> devices, bool json) {
  const EmbeddingModelInfo info = inspect_embedding_model(name);
  json ? print_json(info, devices) : print_text(info, devices);
}

}  // namespace remuda::cli
