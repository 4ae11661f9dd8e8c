// What a Hugging Face directory of a BART model says about itself, read and checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "generation/options.h"
#include "io/bart_config.h"

namespace remuda::models {

struct BartDirectory {
  std::filesystem::path path;
  io::BartConfig config;
  // From generation_config.json; where an old checkpoint has none, from config.json and its
  // task_specific_params.summarization.
  GenerationOptions generation;
  // Tokens of a document at most: the positions that there are, or fewer where the tokenizer says so.
  int64_t window = 0;
};

// Reads everything but weights and tokenizer. Throws Error: kNotFound, kInvalidFile, kUnsupported.
BartDirectory read_bart_directory(const std::filesystem::path& path);

// The options, where they are unset those of the checkpoint, checked. Throws Error(kInvalidArgument) naming the option
// that contradicts another or the model.
std::shared_ptr<const GenerationPlan> make_plan(const BartDirectory& directory, const GenerationOptions& options);

}  // namespace remuda::models
