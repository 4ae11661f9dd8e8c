// The configuration file of each sentence-transformers module, read and checked.
#pragma once

#include <initializer_list>
#include <string_view>

#include "base/json.h"
#include "io/module_config.h"

namespace remuda::io {

// `directory` is the module's. Each throws Error: kNotFound, kInvalidFile, kUnsupported. Keys that nobody knows are
// warned about.
PoolingConfig read_pooling(const std::filesystem::path& directory);
DenseConfig read_dense(const std::filesystem::path& directory);
NormalizeConfig read_normalize(const std::filesystem::path& directory);
LayerNormConfig read_layer_norm(const std::filesystem::path& directory);
LayerPoolingConfig read_layer_pooling(const std::filesystem::path& directory);
CnnConfig read_cnn(const std::filesystem::path& directory);

// Logs a warning, once in the process for each key of a file, that names those that are none of `known`.
void warn_of_unknown_keys(const JsonValue& root, std::initializer_list<std::string_view> known);
// The same for what a message says: the first time that it is said.
void warn_once(const std::string& message);

}  // namespace remuda::io
