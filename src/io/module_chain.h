// modules.json: which modules a sentence-transformers model runs, in order.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/module_config.h"

namespace remuda::io {

struct ModuleEntry {
  std::string kind;  // The class without its module: "Transformer", "Pooling", ...
  std::filesystem::path directory;
  std::string where;  // "<file>: <field>", for errors.
};

// The modules of a model's directory, the first a Transformer. A Router is replaced by the modules of the route that a
// text takes which nobody says the task of; what older versions called a Transformer (BERT, RoBERTa, ...) is called
// so. Throws Error: kNotFound, kInvalidFile, kUnsupported.
std::vector<ModuleEntry> read_module_entries(const std::filesystem::path& model);

// What is known of the vectors between modules.
struct ChainWidths {
  int64_t tokens = 0;
  int64_t sentence = 0;  // 0: there is no vector of the text yet.
};

// Reads the configurations of all but the first of `entries` and checks that they fit together; `widths` is what the
// transformer gives, and becomes what the last module does. What does nothing outside training is left out; so is a
// WeightedLayerPooling unless `gives_layers`. Throws as above.
std::vector<ModuleConfig> read_modules(const std::vector<ModuleEntry>& entries, bool gives_layers, ChainWidths& widths);

}  // namespace remuda::io
