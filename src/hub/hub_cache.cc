#include "hub/hub_cache.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>
#include <utility>

#include "base/fail.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"

namespace remuda::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "models--";
constexpr size_t kMostEntries = 10'000;  // Of a directory; more are not a model's.
constexpr size_t kLeastDigits = 5;       // Of a commit's beginning, as Git has it.

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// $NAME and ${NAME}; what isn't set stays as it is, as in Python's expandvars.
std::string expand_variables(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (text.front() != '$') {
      out += text.front();
      text.remove_prefix(1);
      continue;
    }
    const bool braces = text.size() > 1 && text[1] == '{';
    const size_t begin = braces ? 2 : 1;
    size_t end = begin;
    while (end < text.size() && (braces ? text[end] != '}' : is_word(text[end]))) ++end;
    const bool whole = end > begin && (!braces || end < text.size());
    const std::string name(text.substr(begin, end - begin));
    const char* value = whole ? std::getenv(name.c_str()) : nullptr;
    const size_t used = whole ? end + (braces ? 1 : 0) : 1;
    out += value != nullptr ? std::string_view(value) : text.substr(0, used);
    text.remove_prefix(used);
  }
  return out;
}

fs::path expand(std::string_view path) { return expand_variables(expand_home(path).string()); }

// Entries' names, in order; none of what can't be read.
std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (names.size() == kMostEntries) break;
    names.push_back(entry->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

// Whether it can be one entry of a directory, and is neither "." nor "..".
bool is_plain_name(std::string_view name) {
  const auto plain = [](char c) { return is_word(c) || c == '-' || c == '.'; };
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." && std::ranges::all_of(name, plain);
}

// "main", "pr/1", a commit.
bool is_revision(std::string_view revision) {
  while (true) {
    const size_t slash = revision.find('/');
    if (!is_plain_name(revision.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    revision.remove_prefix(slash + 1);
  }
}

// What stands in refs/REVISION; empty: there is none.
std::string read_ref(const fs::path& folder, std::string_view revision) {
  constexpr uint64_t kMostBytes = 1024;
  constexpr size_t kMostShown = 40;
  const fs::path path = folder / "refs" / revision;
  std::string commit;
  try {
    commit = read_file(path, kMostBytes);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) return {};
    throw;
  }
  while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back())) != 0) commit.pop_back();
  if (is_plain_name(commit)) return commit;
  for (char& c : commit) c = c < 0x20 || c > 0x7e ? '?' : c;
  fail(ErrorCode::kInvalidFile,
       "{}: expected the name of one of the model's snapshots, found \"{}\"; download the model again", path.string(),
       commit.substr(0, kMostShown));
}

std::string download_command(const fs::path& folder) {
  return fmt::format("hf download {}", model_of_folder(folder.filename().string()));
}

// The commit that is meant; throws where none is.
std::string find_commit(const fs::path& folder, std::string_view revision) {
  const std::vector<std::string> commits = names_in(folder / "snapshots");
  const std::string wanted(revision.empty() ? "main" : revision);
  if (!is_revision(wanted)) {
    fail(ErrorCode::kInvalidArgument, "model {}: expected a branch, a tag or a commit behind \"@\", found \"{}\"",
         model_of_folder(folder.filename().string()), wanted);
  }
  if (std::string commit = read_ref(folder, wanted); !commit.empty()) return commit;
  if (std::ranges::find(commits, wanted) != commits.end()) return wanted;
  std::vector<std::string> close;
  if (wanted.size() >= kLeastDigits) {
    std::ranges::copy_if(commits, std::back_inserter(close),
                         [&](const auto& name) { return name.starts_with(wanted); });
  }
  if (close.size() == 1) return close.front();
  if (revision.empty() && commits.size() == 1) {
    // A download by its commit alone writes no refs.
    log::info("{}: there is no refs/main; taking its only snapshot, {}", folder.string(), commits.front());
    return commits.front();
  }
  if (commits.empty()) {
    fail(ErrorCode::kNotFound, "{}: its download isn't finished: there is no snapshot yet; finish it with: {}",
         folder.string(), download_command(folder));
  }
  fail(ErrorCode::kNotFound,
       "{}: expected the revision \"{}\", found {} {}; name one of them (NAME@COMMIT), or get that one with: {}{}",
       folder.string(), wanted, commits.size() == 1 ? "the snapshot" : "the snapshots", fmt::join(commits, ", "),
       download_command(folder), revision.empty() ? "" : fmt::format(" --revision {}", wanted));
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool is_dangling(const fs::path& path) {
  std::error_code ignored;
  return fs::is_symlink(path, ignored) && !fs::exists(path, ignored);
}

// Shards that an index names, and that aren't there.
void add_missing_shards(const fs::path& directory, const char* index, std::set<std::string>& missing) {
  constexpr uint64_t kMostBytes = uint64_t{100} << 20;
  if (!is_there(directory / index)) return;
  const JsonDocument document = JsonDocument::parse_file(directory / index, kMostBytes);
  const auto map = document.root().find("weight_map");
  if (!map || !map->is_object()) return;  // Whoever reads the weights says what is wrong with it.
  for (const auto& [tensor, shard] : map->members()) {
    if (!shard.is_string() || !is_plain_name(shard.as_string())) continue;
    const std::string name(shard.as_string());
    if (!missing.contains(name) && !is_there(directory / name)) missing.insert(name);
  }
}

// Adds what a directory of the model lacks; returns whether it has weights of its own.
bool look_for_missing(const fs::path& directory, Needs needs, std::set<std::string>& missing) {
  for (const std::string& name : names_in(directory)) {
    const std::string extension = fs::path(name).extension().string();
    const bool is_read = extension == ".json" || extension == ".txt" || extension == ".model";
    if (is_read && is_dangling(directory / name)) missing.insert(name);
  }
  if (needs == Needs::kConfiguration) return true;
  for (const auto& [file, index] : {std::pair("model.safetensors", "model.safetensors.index.json"),
                                    std::pair("pytorch_model.bin", "pytorch_model.bin.index.json")}) {
    if (is_there(directory / file)) return true;
    if (is_dangling(directory / file)) missing.insert(file);
    add_missing_shards(directory, index, missing);
    if (is_there(directory / index) || is_dangling(directory / file)) return true;
  }
  return false;
}

// "; blobs/ab12.incomplete has 1.5 MB so far".
std::string describe_incomplete(const fs::path& folder) {
  constexpr double kMega = 1e6;
  for (const std::string& name : names_in(folder / "blobs")) {
    if (!name.ends_with(".incomplete")) continue;
    std::error_code ignored;
    const auto bytes = static_cast<double>(fs::file_size(folder / "blobs" / name, ignored));
    return fmt::format(" (blobs/{} has {:.1f} MB so far)", name, ignored ? 0.0 : bytes / kMega);
  }
  return {};
}

}  // namespace

fs::path expand_home(std::string_view path) {
  if (!path.starts_with('~')) return path;
  const size_t end = std::min(path.find('/'), path.size());
  const std::string user(path.substr(1, end - 1));
  std::string home = user.empty() ? environment("HOME") : std::string();
  if (home.empty()) {
    const passwd* entry = user.empty() ? getpwuid(getuid()) : getpwnam(user.c_str());
    if (entry == nullptr || entry->pw_dir == nullptr) return path;
    home = entry->pw_dir;
  }
  return home + std::string(path.substr(end));
}

std::vector<fs::path> cache_directories() {
  std::vector<fs::path> directories;
  if (const std::string own = environment("SENTENCE_TRANSFORMERS_HOME"); !own.empty()) {
    directories.push_back(expand(own));
  }
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const std::string cache = environment(name); !cache.empty()) {
      directories.push_back(expand(cache));
      return directories;
    }
  }
  const std::string home = environment("HF_HOME");
  const std::string xdg = environment("XDG_CACHE_HOME");
  const std::string base = !home.empty() ? home : (xdg.empty() ? "~/.cache" : xdg) + "/huggingface";
  directories.push_back(expand(base) / "hub");
  return directories;
}

std::string folder_name(std::string_view model) {
  std::string folder(kPrefix);
  for (const char c : model) c == '/' ? folder += "--" : folder += c;
  return folder;
}

std::string model_of_folder(std::string_view folder) {
  if (!folder.starts_with(kPrefix)) return {};
  std::string model(folder.substr(kPrefix.size()));
  if (const size_t dashes = model.find("--"); dashes != std::string::npos) model.replace(dashes, 2, "/");
  return model;
}

std::optional<fs::path> find_snapshot(const fs::path& folder, std::string_view revision, Needs needs) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return std::nullopt;
  const std::string commit = find_commit(folder, revision);
  fs::path snapshot = folder / "snapshots" / commit;
  if (!is_there(snapshot)) {
    fail(ErrorCode::kNotFound, "{}: its download isn't finished: there is no snapshots/{} yet{}; finish it with: {}",
         folder.string(), commit, describe_incomplete(folder), download_command(folder));
  }
  // A link among the snapshots may lead anywhere.
  const fs::path inside = fs::canonical(folder, error);
  const fs::path real = fs::canonical(snapshot, error);
  if (error || std::mismatch(inside.begin(), inside.end(), real.begin(), real.end()).first != inside.end()) {
    fail(ErrorCode::kInvalidFile, "{}: expected a directory of {}, found a link out of it", snapshot.string(),
         folder.string());
  }
  check_complete(snapshot, needs);
  return snapshot;
}

void check_complete(const fs::path& snapshot, Needs needs) {
  std::set<std::string> missing;
  bool has_weights = look_for_missing(snapshot, needs, missing);
  if (!is_there(snapshot / "config.json") && !is_there(snapshot / "modules.json")) missing.insert("config.json");
  for (const std::string& name : names_in(snapshot)) {
    std::error_code ignored;
    if (!fs::is_directory(snapshot / name, ignored)) continue;
    // Weights, or some of them, may be in the modules' directories, "1_Pooling" say. What others lack nobody may need.
    std::set<std::string> unneeded;
    const bool is_module =
        std::isdigit(static_cast<unsigned char>(name[0])) != 0 && name.find('_') != std::string::npos;
    has_weights = look_for_missing(snapshot / name, needs, is_module ? missing : unneeded) || has_weights;
  }
  // Of another kind: whoever reads the model says that it can't be used.
  for (const char* name : {"tf_model.h5", "flax_model.msgpack", "adapter_model.safetensors"}) {
    has_weights = has_weights || is_there(snapshot / name);
  }
  if (!has_weights) missing.insert("model.safetensors");
  if (missing.empty()) return;
  const fs::path folder = snapshot.parent_path().parent_path();
  fail(ErrorCode::kNotFound, "{}: its download isn't finished: {} {} missing{}; finish it with: {}", snapshot.string(),
       fmt::join(missing, ", "), missing.size() == 1 ? "is" : "are", describe_incomplete(folder),
       download_command(folder));
}

}  // namespace remuda::hub
