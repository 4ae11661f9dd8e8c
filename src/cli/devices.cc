// remuda devices: what there is to compute on, and what an automatic choice takes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/format.h"
#include "manager/inspection.h"

namespace remuda::cli {
namespace {

// What a context on a GPU takes, about: with less free, nothing can be computed there.
constexpr uint64_t kLeastMemory = uint64_t{512} << 20;

// Empty: it is, where a model fits.
std::string why_not_used(const Device& gpu) {
  if (!gpu.problem.empty() || gpu.memory_available >= kLeastMemory) return gpu.problem;
  return fmt::format("no memory: others have taken all but {}", human_bytes(gpu.memory_available));
}

nlohmann::ordered_json optional_text(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
}

void print_json(const MachineReport& machine) {
  nlohmann::ordered_json devices = nlohmann::ordered_json::array();
  for (const Device& device : machine.devices) {
    devices.push_back({{"id", device.id},
                       {"name", device.name},
                       {"threads", device.threads},
                       {"memory_total", device.memory_total},
                       {"memory_available", device.memory_available}});
    if (device.kind == DeviceKind::kGpu) {
      devices.back().erase("threads");
      devices.back()["compute_capability"] = device.compute_capability;
      devices.back()["problem"] = optional_text(why_not_used(device));
    }
  }
  const nlohmann::ordered_json report = {
      {"devices", std::move(devices)},
      {"gpu_problem", optional_text(machine.gpu_problem)},
      {"isa_available", machine.instruction_sets},
      {"isa", machine.active_instruction_set},
      {"memory_limit", machine.memory_limit},
      {"auto", {{"device", machine.auto_device}, {"precision", to_string(machine.auto_precision)}}}};
  fmt::print("{}\n", report.dump(2));
}

void print_gpu(const Device& gpu) {
  fmt::print("{:<10} {}, compute capability {}\n", gpu.id, gpu.name, gpu.compute_capability);
  fmt::print("  memory   {} available of {}\n", human_bytes(gpu.memory_available), human_bytes(gpu.memory_total));
  const std::string why = why_not_used(gpu);
  if (!why.empty()) fmt::print("  not used: {}\n", why);
}

void print_text(const MachineReport& machine) {
  for (const Device& device : machine.devices) {
    if (device.kind == DeviceKind::kGpu) {
      print_gpu(device);
      continue;
    }
    fmt::print("{:<10} {}\n", device.id, device.name);
    fmt::print("  threads  {}\n", device.threads);
    fmt::print("  memory   {} available of {}\n", human_bytes(device.memory_available),
               human_bytes(device.memory_total));
    fmt::print("  limit    {} for all models together\n", human_bytes(machine.memory_limit));
    fmt::print("  kernels  {} (REMUDA_ISA may choose: {})\n", machine.active_instruction_set,
               fmt::join(machine.instruction_sets, ", "));
  }
  if (!machine.gpu_problem.empty()) fmt::print("no GPU     {}\n", machine.gpu_problem);
  fmt::print("auto       device {}, precision {}\n", machine.auto_device, to_string(machine.auto_precision));
}

}  // namespace

void add_devices(CLI::App& app, Action& action) {
  auto json = std::make_shared<bool>(false);
  CLI::App& command = *app.add_subcommand("devices", "What this machine can compute on");
  command.add_flag("--json", *json, "Print JSON; memory is in bytes");
  command.footer(
      "Memory that is available is what this process could still take, its control\n"
      "groups' limits counted. The limit is memory_limit, and what is available less\n"
      "a headroom where that is less. REMUDA_ISA forces an instruction set.");
  command.callback([json, &action] {
    action = [json] {
      const MachineReport machine = describe_machine();
      *json ? print_json(machine) : print_text(machine);
      return kSuccess;
    };
  });
}

}  // namespace remuda::cli
