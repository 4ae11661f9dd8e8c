// A model's name to its directory.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace remuda::hub {

// The embedding model that comes with the project (scripts/fetch_model.sh puts it there).
inline constexpr std::string_view kDefaultEmbeddingModel = "sentence-transformers/all-MiniLM-L6-v2";

// In this order: a path of a directory; a directory below the models directories ($REMUDA_MODELS_DIR, ./models, models/
// and pretrained/ of the checkout or share/remuda/models of the installation that the running binary is of,
// $XDG_DATA_HOME/remuda/models), by the name or by its last part; `org/name` in the local Hugging Face cache
// ($HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub: models--org--name/snapshots, the revision that refs/main
// names). Throws Error(kNotFound) listing every place that was looked at and what to do.
std::filesystem::path resolve_model(std::string_view name);

}  // namespace remuda::hub
