// A model's name to its directory.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "hub/hub_cache.h"

namespace remuda::hub {

// The embedding model that comes with the project (scripts/fetch_model.sh puts it there).
inline constexpr std::string_view kDefaultEmbeddingModel = "sentence-transformers/all-MiniLM-L6-v2";

// A name is, in this order:
// - a path of a directory ("~" expanded), of a snapshot or of a model's folder in a Hugging Face cache;
// - `org/name`, the organisation always counting: a directory org/name below a models directory ($REMUDA_MODELS_DIR,
//   ./models, models/ and pretrained/ of the checkout or share/remuda/models of the installation that the running
//   binary is of, $XDG_DATA_HOME/remuda/models); a model that comes with the project, by its full name; the Hugging
//   Face cache's (hub_cache.h), `org/name@revision` that revision's;
// - `name`, a directory below a models directory, or `sentence-transformers/name`, or a model without an organisation.
// What begins with "/", "." or "~", or has more than one "/", is a path alone.
// Throws Error(kNotFound) listing every place that was looked at and what to do, and as find_snapshot() does.
std::filesystem::path resolve_model(std::string_view name, Needs needs = Needs::kWeights);

}  // namespace remuda::hub
