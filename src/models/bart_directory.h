// What a Hugging Face directory of a BART model says about itself, read and checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "generation/options.h"
#include "io/bart_config.h"

namespace remuda::models {

struct BartDirectory {
  std::filesystem::path path;
  io::BartConfig config;
  // From generation_config.json; where an old checkpoint has none, from config.json. With the task's parameters, those
  // of config.json's task_specific_params.summarization are laid over them.
  CheckpointGeneration generation;
  // What the old summarization pipeline put before every document; empty without the task's parameters.
  std::string prefix;
  // Tokens of a document at most: the positions that there are, or fewer where the tokenizer says so.
  int64_t window = 0;
};

// Reads everything but weights and tokenizer. `task_params`: as transformers' summarization pipeline took the files, as
// long as there was one; else as `generate` takes them. Throws Error: kNotFound, kInvalidFile, kUnsupported.
BartDirectory read_bart_directory(const std::filesystem::path& path, bool task_params = false);

// The options, where they are unset those of the checkpoint, checked. Throws Error that names the option, or the file
// and the key, that contradicts another or the model: kInvalidArgument, kInvalidFile, kUnsupported.
std::shared_ptr<const GenerationPlan> make_plan(const BartDirectory& directory, const GenerationOptions& options);

}  // namespace remuda::models
