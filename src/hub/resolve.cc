#include "hub/resolve.h"

#include <dlfcn.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "base/fail.h"

namespace remuda::hub {
namespace {

namespace fs = std::filesystem;

// Where a model was looked for, for the error that says so.
using Places = std::vector<std::string>;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// $variable, or ~/fallback.
fs::path from_home(const char* variable, const char* fallback) {
  const std::string value = environment(variable);
  return value.empty() ? fs::path(environment("HOME")) / fallback : fs::path(value);
}

// What can't be looked at, because the name is too long say, is none.
bool is_model(const fs::path& directory) {
  std::error_code ignored;
  return fs::exists(directory / "config.json", ignored) || fs::exists(directory / "modules.json", ignored);
}

std::vector<fs::path> models_directories() {
  std::vector<fs::path> directories;
  if (const std::string set = environment("REMUDA_MODELS_DIR"); !set.empty()) directories.emplace_back(set);
  directories.emplace_back("models");
  directories.emplace_back("pretrained");
  char binary[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", binary, sizeof(binary));
  if (length > 0) {
    // Built in its checkout it stands in build/PRESET, installed in PREFIX/bin.
    const fs::path folder = fs::path(std::string(binary, static_cast<size_t>(length))).parent_path();
    const fs::path checkout = folder.parent_path().parent_path();
    directories.push_back(checkout / "models");
    directories.push_back(checkout / "pretrained");
    directories.push_back(folder.parent_path() / "share" / "remuda" / "models");
  }
  // In a shared library, the Python package's say, models may stand beside it.
  Dl_info library;
  if (dladdr(reinterpret_cast<const void*>(&models_directories), &library) != 0 && library.dli_fname != nullptr) {
    directories.push_back(fs::path(library.dli_fname).parent_path() / "models");
  }
  directories.push_back(from_home("XDG_DATA_HOME", ".local/share") / "remuda" / "models");
  return directories;
}

// models--org--name/snapshots/REVISION, the revision being the one that refs/main names.
fs::path find_in_cache(std::string_view name, Places& places) {
  std::string folder = "models--" + std::string(name);
  for (size_t slash; (slash = folder.find('/')) != std::string::npos;) folder.replace(slash, 1, "--");
  fs::path cache = environment("HF_HUB_CACHE");
  if (cache.empty()) cache = from_home("HF_HOME", ".cache/huggingface") / "hub";
  const fs::path model = cache / folder;
  places.push_back(model.string());
  std::string revision;
  std::ifstream(model / "refs" / "main") >> revision;
  const fs::path snapshot = model / "snapshots" / revision;
  return !revision.empty() && is_model(snapshot) ? snapshot : fs::path();
}

}  // namespace

fs::path resolve_model(std::string_view name) {
  if (name.empty()) fail(ErrorCode::kInvalidArgument, "model: expected a directory or a name, found nothing");
  Places places;
  places.emplace_back(name);
  std::error_code ignored;
  if (fs::is_directory(name, ignored)) return fs::path(name);
  const bool is_path = name.front() == '/' || name.front() == '.' || name.find("..") != std::string_view::npos;
  if (!is_path) {
    for (const fs::path& directory : models_directories()) {
      for (const fs::path& candidate : {directory / name, directory / name.substr(name.rfind('/') + 1)}) {
        places.push_back(candidate.string());
        if (is_model(candidate)) return candidate;
      }
    }
    if (const fs::path found = find_in_cache(name, places); !found.empty()) return found;
  }
  if (fs::is_regular_file(name, ignored)) {
    fail(ErrorCode::kNotFound, "model \"{}\": expected a model directory, found a file; give the directory it is in",
         name);
  }
  std::string looked;
  for (const std::string& place : places) looked += "\n  " + place;
  fail(ErrorCode::kNotFound,
       "model \"{}\": expected a model directory, found none at{}\nGive a directory, or run scripts/fetch_model.sh for "
       "all-MiniLM-L6-v2.",
       name, looked);
}

}  // namespace remuda::hub
