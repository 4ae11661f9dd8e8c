#include "device/gpu_backend.h"

#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>
#include <link.h>

#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "device/backends/gpu_build.h"
#include "remuda/error.h"

namespace remuda {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFileName = "libremuda_cuda.so";

// The directory of the program or library that this code was linked into; empty where nobody knows.
fs::path own_directory() {
  Dl_info info = {};
  link_map* object = nullptr;
  static const char in_this_object = 0;
  if (dladdr1(&in_this_object, &info, reinterpret_cast<void**>(&object), RTLD_DL_LINKMAP) == 0) return {};
  // A program has no name in its map, and info's is the one that it was called by.
  const bool is_program = object == nullptr || object->l_name == nullptr || *object->l_name == '\0';
  std::error_code failed;
  const fs::path file = fs::canonical(is_program ? "/proc/self/exe" : object->l_name, failed);
  return failed ? fs::path() : file.parent_path();
}

GpuBackend refused(const fs::path& file, std::string problem) {
  return {.table = nullptr, .file = file, .problem = std::move(problem)};
}

// Whether a library ends before its section headers, which linkers put last. dlopen() would map what isn't there, and
// the process would end by a signal.
bool is_cut_short(const OpenFile& file) {
  Elf64_Ehdr header = {};
  if (file.size() < sizeof header) return false;  // dlopen() says what is wrong with it.
  file.read({reinterpret_cast<char*>(&header), sizeof header});
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return false;
  const uint64_t sections = uint64_t{header.e_shnum} * header.e_shentsize;
  return header.e_shoff > file.size() || sections > file.size() - header.e_shoff;
}

// Why a file can't be a library that is whole; empty: it may be one. dlopen() would wait for a FIFO's writer.
std::string problem_of(const fs::path& file) {
  try {
    if (!is_cut_short(OpenFile(file))) return {};
    return fmt::format("{} can't be loaded: the file is cut short; install it again", file.string());
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) return {};  // dlopen() looks elsewhere, too.
    return error.what();
  }
}

GpuBackend find_gpu_backend() {
  std::vector<fs::path> files = gpu_backend_files();
  for (const fs::path& file : files) {
    std::error_code ignored;
    if (!fs::exists(file, ignored) && std::getenv("REMUDA_CUDA_LIBRARY") == nullptr) continue;
    GpuBackend backend = open_gpu_backend(file);
    if (backend.table == nullptr) log::warning("GPUs are not used: {}", backend.problem);
    return backend;
  }
  const std::string where = files.empty() ? "" : files.front().string();
  return refused(where, fmt::format("there is no {}: {}", where.empty() ? kFileName : where, missing_gpu_backend()));
}

}  // namespace

GpuBackend open_gpu_backend(const fs::path& file) {
  if (std::string problem = problem_of(file); !problem.empty()) return refused(file, std::move(problem));
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = dlerror();
    return refused(file, fmt::format("{} can't be loaded: {}", file.string(), why ? why : "nobody says why"));
  }
  const auto backend = reinterpret_cast<cuda::BackendFunction>(dlsym(library, cuda::kBackendSymbol));
  if (backend == nullptr) {
    dlclose(library);
    return refused(file, fmt::format("{} is not remuda's: it has no {}", file.string(), cuda::kBackendSymbol));
  }
  const cuda::Backend* const table = backend();
  if (table->abi_version != cuda::kAbiVersion) {
    const uint32_t version = table->abi_version;
    dlclose(library);
    return refused(file, fmt::format("{} is of another remuda: it has version {} of the interface, and this needs {}",
                                     file.string(), version, cuda::kAbiVersion));
  }
  log::debug("GPU backend: {} ({})", file.string(), table->build);
  return {.table = table, .file = file};
}

void* find_in_gpu_backend(const GpuBackend& backend, const char* symbol) {
  if (backend.table == nullptr) return nullptr;
  void* const library = dlopen(backend.file.c_str(), RTLD_NOW | RTLD_NOLOAD);
  if (library == nullptr) return nullptr;
  void* const found = dlsym(library, symbol);
  dlclose(library);  // The backend holds it as well.
  return found;
}

std::vector<fs::path> gpu_backend_files() {
  if (const char* named = std::getenv("REMUDA_CUDA_LIBRARY"); named != nullptr && *named != '\0') return {named};
  const fs::path directory = own_directory();
  if (directory.empty()) return {};
  return {directory / kFileName, directory.parent_path() / "lib" / "remuda" / kFileName};
}

const GpuBackend& gpu_backend() {
  static const auto* const backend = new GpuBackend(find_gpu_backend());
  return *backend;
}

}  // namespace remuda
