// The Hugging Face cache, as huggingface_hub lays it out:
//
//   models--org--name/refs/main            the commit that "main" was when it was downloaded
//   models--org--name/snapshots/COMMIT/    the model's files, links to
//   models--org--name/blobs/               their contents; "*.incomplete" while they are downloaded
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace remuda::hub {

// What a caller reads of a model.
enum class Needs { kConfiguration, kWeights };

// A leading "~" or "~user" of a path replaced by the home directory, where there is one.
std::filesystem::path expand_home(std::string_view path);

// Where caches stand, the first to look at first: $SENTENCE_TRANSFORMERS_HOME where it is set; then $HF_HUB_CACHE,
// $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub, the first of
// these that is set. "~" and $VARIABLES in them are expanded, as huggingface_hub does; empty ones count as unset.
std::vector<std::filesystem::path> cache_directories();

// "models--org--name".
std::string folder_name(std::string_view model);

// The model that a folder of a cache holds, "org/name"; empty: none.
std::string model_of_folder(std::string_view folder);

// The snapshot of a revision (a ref's name, a commit or the first digits of one; empty: main) in a model's folder;
// nullopt where there is no such folder. Without a refs/main, the only snapshot there is.
// Throws Error(kNotFound) for a revision that isn't there, and for a download that isn't finished; Error(kInvalidFile)
// for refs that name no snapshot and for snapshots outside the folder.
std::optional<std::filesystem::path> find_snapshot(const std::filesystem::path& folder, std::string_view revision,
                                                   Needs needs);

// Throws Error(kNotFound) for a snapshot that lacks files of its model, naming them.
void check_complete(const std::filesystem::path& snapshot, Needs needs);

}  // namespace remuda::hub
