#include "hub/resolve.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <exception>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "base/suggest.h"

namespace remuda::hub {
namespace {

namespace fs = std::filesystem;

// Models that come with the project, by their full names, and their directories below a models directory.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kBundled = {{
    {kDefaultEmbeddingModel, "all-MiniLM-L6-v2"},
    {"remuda/bart-small-synopsis", "bart-small-synopsis"},
}};

// Whose models need no organisation before their name.
constexpr std::string_view kDefaultOrganisation = "sentence-transformers/";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// What can't be looked at, because the name is too long say, is none.
bool is_model(const fs::path& directory) {
  std::error_code ignored;
  return fs::exists(directory / "config.json", ignored) || fs::exists(directory / "modules.json", ignored);
}

bool is_folder_there(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::vector<fs::path> models_directories() {
  std::vector<fs::path> directories;
  if (const std::string set = environment("REMUDA_MODELS_DIR"); !set.empty()) directories.push_back(expand_home(set));
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
  const std::string data = environment("XDG_DATA_HOME");
  directories.push_back((data.empty() ? expand_home("~/.local/share") : fs::path(data)) / "remuda" / "models");
  return directories;
}

// A name as it is looked for.
struct Request {
  std::string_view given;
  std::string_view name;      // Without the revision.
  std::string_view revision;  // Empty: main.
  Needs needs;
  bool is_path = false;  // Not a name of any model.
};

Request parse(std::string_view given, Needs needs) {
  Request request{given, given, {}, needs};
  if (const size_t at = given.rfind('@'); at != std::string_view::npos && at > 0) {
    request.name = given.substr(0, at);
    request.revision = given.substr(at + 1);
    if (request.revision == "main") request.revision = {};
  }
  const std::string_view name = request.name;
  const bool one_slash_inside = name.find('/') == name.rfind('/') && !name.ends_with('/');
  request.is_path = std::string_view("/.~").find(name.front()) != std::string_view::npos || !one_slash_inside ||
                    name.find("..") != std::string_view::npos;
  return request;
}

// Where a model was looked for.
using Places = std::vector<fs::path>;

fs::path find_in_models_directories(const Request& request, Places& places) {
  if (!request.revision.empty()) return {};  // These have no revisions.
  const auto bundled = std::ranges::find(kBundled, request.name, &std::pair<std::string_view, std::string_view>::first);
  for (const fs::path& directory : models_directories()) {
    std::vector<std::string_view> names = {request.name};
    if (bundled != kBundled.end()) names.push_back(bundled->second);
    for (const std::string_view name : names) {
      places.push_back(directory / name);
      if (is_model(places.back())) return places.back();
    }
  }
  return {};
}

fs::path find_in_caches(const Request& request, Places& places) {
  std::vector<std::string> names;
  if (request.name.find('/') == std::string_view::npos) {
    names.push_back(std::string(kDefaultOrganisation) + std::string(request.name));
  }
  names.emplace_back(request.name);
  std::exception_ptr first_error;
  for (const fs::path& cache : cache_directories()) {
    for (const std::string& name : names) {
      places.push_back(cache / folder_name(name));
      try {
        if (auto found = find_snapshot(places.back(), request.revision, request.needs)) return *std::move(found);
      } catch (const Error&) {
        if (first_error == nullptr) first_error = std::current_exception();
      }
    }
  }
  if (first_error != nullptr) std::rethrow_exception(first_error);
  return {};
}

// A directory that was given itself.
fs::path settle_directory(const fs::path& given, std::string_view revision, Needs needs) {
  const fs::path path = given.has_filename() ? given : given.parent_path();
  const bool is_folder = !is_model(path) && !model_of_folder(path.filename().string()).empty();
  if (is_folder && is_folder_there(path / "snapshots")) return *find_snapshot(path, revision, needs);
  const fs::path above = path.parent_path();
  const bool is_snapshot =
      above.filename() == "snapshots" && !model_of_folder(above.parent_path().filename().string()).empty();
  if (is_snapshot) check_complete(path, needs);
  return path;
}

// Appends the models below a directory, one or two levels deep, each as `name_of` its path's last parts.
void list_models(const fs::path& directory, std::vector<std::string>& names) {
  constexpr int kMost = 1000;
  int seen = 0;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (++seen > kMost) return;
    const std::string name = entry->path().filename().string();
    if (is_model(entry->path())) {
      const auto bundled = std::ranges::find(kBundled, name, &std::pair<std::string_view, std::string_view>::second);
      names.emplace_back(bundled == kBundled.end() ? std::string_view(name) : bundled->first);
    } else if (const std::string model = model_of_folder(name); !model.empty()) {
      names.push_back(model);
    } else if (is_folder_there(entry->path())) {
      std::error_code inner;
      for (fs::directory_iterator below(entry->path(), inner); !inner && below != fs::directory_iterator();
           below.increment(inner)) {
        if (++seen > kMost) return;
        if (is_model(below->path())) names.push_back(name + "/" + below->path().filename().string());
      }
    }
  }
}

std::string_view last_part(std::string_view name) { return name.substr(name.rfind('/') + 1); }

// Models that are there and may have been meant.
std::vector<std::string> suggest(const Request& request) {
  std::string_view wanted = request.name;
  while (wanted.ends_with('/')) wanted.remove_suffix(1);
  std::vector<std::string> known;
  for (const fs::path& directory : models_directories()) list_models(directory, known);
  for (const fs::path& cache : cache_directories()) list_models(cache, known);
  std::vector<std::string> parts;
  for (const std::string& name : known) parts.emplace_back(last_part(name));
  // By the whole name, or of another organisation or none.
  std::vector<std::string> close = close_names(wanted, known);
  for (const std::string& part : close_names(last_part(wanted), parts)) {
    for (const std::string& name : known) {
      if (last_part(name) == part && std::ranges::find(close, name) == close.end()) close.push_back(name);
    }
  }
  if (request.is_path) {
    std::vector<std::string> beside;
    const fs::path path = expand_home(wanted);
    list_models(path.parent_path(), beside);
    for (const std::string& name : close_names(path.filename().string(), beside)) {
      close.insert(close.begin(), (path.parent_path() / name).string());
    }
  }
  constexpr size_t kMost = 3;
  if (close.size() > kMost) close.resize(kMost);
  return close;
}

// Each place once, the shortest of its names, short ones first.
Places without_repetitions(Places places) {
  std::ranges::sort(places, {}, [](const fs::path& place) { return std::pair(place.native().size(), place.native()); });
  Places kept;
  std::vector<fs::path> seen;
  for (const fs::path& place : places) {
    std::error_code error;
    fs::path real = fs::weakly_canonical(place, error);
    if (error) real = place;
    if (std::ranges::find(seen, real) != seen.end()) continue;
    seen.push_back(std::move(real));
    kept.push_back(place);
  }
  return kept;
}

std::string advice(const Request& request) {
  const std::string_view name = request.name;
  if (request.is_path) return "Give a directory that is there, or a model's name as the Hugging Face Hub has it.";
  const bool has_organisation = name.find('/') != std::string_view::npos;
  std::string command = fmt::format("hf download {}{}", has_organisation ? "" : kDefaultOrganisation, name);
  if (!request.revision.empty()) command += fmt::format(" --revision {}", request.revision);
  std::string text = fmt::format("Get it with huggingface_hub's \"{}\", or give a directory.", command);
  if (name == kDefaultEmbeddingModel || last_part(kDefaultEmbeddingModel) == name) {
    text += "\nIn a checkout, scripts/fetch_model.sh gets it, too.";
  }
  return text;
}

[[noreturn]] void fail_not_found(const Request& request, Places places) {
  std::error_code error;
  const fs::path given = expand_home(request.given);
  const fs::file_type type = fs::status(given, error).type();
  if (type == fs::file_type::regular) {
    fail(ErrorCode::kNotFound, "model \"{}\": expected a model directory, found a file; give the directory it is in",
         request.given);
  }
  if (type != fs::file_type::not_found && type != fs::file_type::none) {
    fail(ErrorCode::kNotFound, "model \"{}\": expected a model directory, found something else", request.given);
  }
  if (error == std::errc::too_many_symbolic_link_levels || error == std::errc::permission_denied) {
    fail(ErrorCode::kIo, "model \"{}\": {} can't be looked at: {}", request.given, given.string(), error.message());
  }
  std::string message = fmt::format("model \"{}\": expected a model directory, found none at", request.given);
  for (const fs::path& place : without_repetitions(std::move(places))) message += "\n  " + place.string();
  for (const std::string& name : suggest(request)) message += fmt::format("\nDid you mean \"{}\"?", name);
  fail(ErrorCode::kNotFound, "{}\n{}", message, advice(request));
}

}  // namespace

fs::path resolve_model(std::string_view name, Needs needs) {
  if (name.empty()) fail(ErrorCode::kInvalidArgument, "model: expected a directory or a name, found nothing");
  Places places = {expand_home(name)};
  if (is_folder_there(places[0])) return settle_directory(places[0], {}, needs);
  const Request request = parse(name, needs);
  if (const fs::path path = expand_home(request.name); !request.revision.empty() && is_folder_there(path)) {
    return settle_directory(path, request.revision, needs);
  }
  if (!request.is_path) {
    if (const fs::path found = find_in_models_directories(request, places); !found.empty()) return found;
    if (const fs::path found = find_in_caches(request, places); !found.empty()) return found;
  }
  fail_not_found(request, std::move(places));
}

}  // namespace remuda::hub
