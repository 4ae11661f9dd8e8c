// What the readers of config.json files share.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"

namespace remuda::io {

// Bounds far above any real model; what keeps a hostile file from asking for more than can be.
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxHidden = 1 << 16;
constexpr int64_t kMaxIntermediate = 1 << 18;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxPositions = 1 << 20;

// The activation that the field names, "gelu" where it is missing, by the first of its names in base/activations.h.
// Throws Error(kUnsupported) for one that isn't there.
std::string parse_activation(const JsonValue& root, const char* field);
// The same of the field's own value.
std::string parse_activation(const JsonValue& value);

}  // namespace remuda::io
