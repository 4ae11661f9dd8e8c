// The generation options as flags, each under its name in transformers with dashes.
#pragma once

#include <string>
#include <string_view>

#include "remuda/generation_options.h"

namespace CLI {
class App;
}

namespace remuda::cli {

// `options` must live until the command line has been parsed.
void add_generation_flags(CLI::App& command, GenerationOptions& options);

// "--num-beams", for num_beams.
std::string flag_name(std::string_view option);

}  // namespace remuda::cli
