// The backend's table over GPUs that are described, in the host's memory. Alone it is a library without models;
// kernels/cuda/testing/ has what makes one with models of it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "device/cuda/stream.h"
#include "device/cuda_backend.h"
#include "device/testing/described_gpus.h"

namespace remuda::cuda {

struct Pool {
  int device;
  uint64_t reserved = 0;
  uint64_t allocated = 0;
  std::map<void*, uint64_t> blocks = {};  // By address: bytes.
  bool is_destroyed = false;              // It goes with its last block.
};

namespace {

constexpr double kGiB = 1 << 30;
constexpr const char* kOneGpu = "the host's memory,9.0,16,16";
constexpr std::align_val_t kAlignment{kMemoryAlignment};

std::mutex mutex;  // Of all below, and of pools.

// What streams have released, and not come to yet.
std::map<Stream*, std::vector<std::pair<Pool*, void*>>>& released() {
  static std::map<Stream*, std::vector<std::pair<Pool*, void*>>> all;
  return all;
}

void add_gpu(DescribedGpus& gpus, const std::string& text) {
  DescribedGpu& gpu = gpus.gpus[gpus.count];
  double total = 0, free = 0;
  if (std::sscanf(text.c_str(), "%63[^,],%d.%d,%lf,%lf", gpu.name, &gpu.major, &gpu.minor, &total, &free) != 5) {
    std::fprintf(stderr, "REMUDA_DESCRIBED_GPUS: what is %s?\n", text.c_str());
    std::abort();
  }
  gpu.memory_total = static_cast<uint64_t>(total * kGiB);
  gpu.taken_by_others = static_cast<uint64_t>((total - free) * kGiB);
  ++gpus.count;
}

DescribedGpus read_environment() {
  DescribedGpus gpus = {};
  const char* const described = std::getenv("REMUDA_DESCRIBED_GPUS");
  std::string_view rest = described == nullptr ? kOneGpu : described;
  while (!rest.empty() && gpus.count < 8) {
    const size_t end = rest.find(';');
    add_gpu(gpus, std::string(rest.substr(0, end)));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return gpus;
}

DescribedGpus& all() {
  static DescribedGpus gpus = read_environment();
  return gpus;
}

Status fail(Status status, const std::string& why, Message* message) {
  std::snprintf(message->text, sizeof message->text, "%s", why.c_str());
  return status;
}

Status look_at(int32_t device, Message* message) {
  if (device < 0 || device >= all().count) return fail(Status::kInvalidArgument, "no such device", message);
  if (all().gpus[device].is_lost) return fail(Status::kDeviceLost, "it fell off the bus", message);
  return Status::kOk;
}

uint64_t free_on(const DescribedGpu& gpu) {
  const uint64_t taken = gpu.taken_by_others + gpu.reserved;
  return gpu.memory_total - std::min(gpu.memory_total, taken);
}

std::set<Pool*>& pools() {
  static std::set<Pool*> all;
  return all;
}

// Of all pools anew: a test may have described the GPU anew, too.
void change_reserved(Pool& pool, uint64_t bytes) {
  pool.reserved = bytes;
  uint64_t& sum = all().gpus[pool.device].reserved;
  sum = 0;
  for (const Pool* each : pools()) sum += each->device == pool.device ? each->reserved : 0;
}

uint64_t in_pieces(uint64_t bytes) {
  return (bytes + kDescribedGranularity - 1) / kDescribedGranularity * kDescribedGranularity;
}

void delete_if_done(Pool* pool) {
  if (!pool->is_destroyed || !pool->blocks.empty()) return;
  change_reserved(*pool, 0);
  pools().erase(pool);
  delete pool;
}

void free_block(Pool* pool, void* memory) {
  const auto block = pool->blocks.find(memory);
  pool->allocated -= block->second;
  pool->blocks.erase(block);
  operator delete(memory, kAlignment);
  delete_if_done(pool);
}

void finish(Stream* stream) {
  for (const auto& [pool, memory] : released()[stream]) free_block(pool, memory);
  released().erase(stream);
}

Status start(int32_t* device_count, Message* message) {
  const std::lock_guard lock(mutex);
  ++all().starts;
  if (all().start_status != Status::kOk) return fail(all().start_status, all().start_message, message);
  if (all().count == 0) return fail(Status::kNoDevice, "NVIDIA's driver shows this process no GPU", message);
  *device_count = all().count;
  return Status::kOk;
}

Status describe(int32_t device, DeviceInfo* info, Message* message) {
  const std::lock_guard lock(mutex);
  if (device < 0 || device >= all().count) return fail(Status::kInvalidArgument, "no such device", message);
  const DescribedGpu& gpu = all().gpus[device];
  *info = {};
  std::snprintf(info->name, sizeof info->name, "%s", gpu.name);
  info->major = gpu.major;
  info->minor = gpu.minor;
  info->memory_total = gpu.memory_total;
  if (gpu.major < 8) {
    std::snprintf(info->problem, sizeof info->problem, "its compute capability is %d.%d, and 8.0 is needed", gpu.major,
                  gpu.minor);
  }
  return Status::kOk;
}

Status memory(int32_t device, uint64_t* free, uint64_t* total, Message* message) {
  const std::lock_guard lock(mutex);
  if (const Status status = look_at(device, message); status != Status::kOk) return status;
  const DescribedGpu& gpu = all().gpus[device];
  if (gpu.refuses_contexts) return fail(Status::kOutOfMemory, "no memory for a context", message);
  *free = free_on(gpu);
  *total = gpu.memory_total;
  return Status::kOk;
}

Status find_products(Message* message) {
  const std::lock_guard lock(mutex);
  if (all().products_status != Status::kOk) return fail(all().products_status, all().products_message, message);
  return Status::kOk;
}

Status make_stream(int32_t device, Stream** stream, Message* message) {
  const std::lock_guard lock(mutex);
  if (const Status status = look_at(device, message); status != Status::kOk) return status;
  *stream = new Stream{.device = device, .stream = nullptr};
  (*stream)->stream = reinterpret_cast<CUstream_st*>(*stream);  // Of no use but to be told from others.
  return Status::kOk;
}

void destroy_stream(Stream* stream) {
  const std::lock_guard lock(mutex);
  finish(stream);
  delete stream;
}

Status synchronize(Stream* stream, Message* message) {
  const std::lock_guard lock(mutex);
  if (const Status status = look_at(stream->device, message); status != Status::kOk) return status;
  finish(stream);
  return Status::kOk;
}

Status make_pool(int32_t device, Pool** pool, Message* message) {
  const std::lock_guard lock(mutex);
  if (const Status status = look_at(device, message); status != Status::kOk) return status;
  *pool = new Pool{.device = device};
  pools().insert(*pool);
  return Status::kOk;
}

void destroy_pool(Pool* pool) {
  const std::lock_guard lock(mutex);
  pool->is_destroyed = true;
  delete_if_done(pool);
}

Status allocate(Pool* pool, uint64_t bytes, Stream* stream, void** memory, Message* message) {
  const std::lock_guard lock(mutex);
  if (const Status status = look_at(pool->device, message); status != Status::kOk) return status;
  if (stream->device != pool->device) return fail(Status::kInvalidArgument, "another device's stream", message);
  if (all().gpus[pool->device].fails) return fail(Status::kFailed, "it stumbled", message);
  const uint64_t wanted = in_pieces(pool->allocated + bytes);
  if (wanted > pool->reserved) {
    if (wanted - pool->reserved > free_on(all().gpus[pool->device])) {
      return fail(Status::kOutOfMemory, "out of memory", message);
    }
    change_reserved(*pool, wanted);
  }
  // Exactly so much, so that the address sanitizer sees its ends, and nothing that anybody could take for numbers.
  *memory = operator new(bytes, kAlignment);
  std::memset(*memory, 0xff, bytes);
  pool->blocks[*memory] = bytes;
  pool->allocated += bytes;
  return Status::kOk;
}

Status release(Pool* pool, void* memory, Stream* stream, Message* message) {
  const std::lock_guard lock(mutex);
  if (const Status status = look_at(pool->device, message); status != Status::kOk) {
    free_block(pool, memory);
    return status;
  }
  if (!pool->blocks.contains(memory)) return fail(Status::kInvalidArgument, "not of this pool", message);
  released()[stream].emplace_back(pool, memory);
  return Status::kOk;
}

Status pool_memory(Pool* pool, uint64_t* reserved, uint64_t* allocated, Message* message) {
  const std::lock_guard lock(mutex);
  if (const Status status = look_at(pool->device, message); status != Status::kOk) return status;
  *reserved = pool->reserved;
  *allocated = pool->allocated;
  return Status::kOk;
}

Status trim(Pool* pool, uint64_t keep, Message* message) {
  const std::lock_guard lock(mutex);
  if (const Status status = look_at(pool->device, message); status != Status::kOk) return status;
  change_reserved(*pool, std::min(pool->reserved, std::max(in_pieces(pool->allocated), keep)));
  return Status::kOk;
}

Status copy(Stream* stream, void* to, const void* from, uint64_t bytes, Message* message) {
  const std::lock_guard lock(mutex);
  if (const Status status = look_at(stream->device, message); status != Status::kOk) return status;
  std::memcpy(to, from, bytes);
  return Status::kOk;
}

constexpr Backend kBackend = {.abi_version = kAbiVersion,
                              .computes_models = kComputesEncoders | kComputesBart,
                              .build = "described GPUs",
                              .start = start,
                              .describe = describe,
                              .memory = memory,
                              .find_products = find_products,
                              .make_stream = make_stream,
                              .destroy_stream = destroy_stream,
                              .synchronize = synchronize,
                              .make_pool = make_pool,
                              .destroy_pool = destroy_pool,
                              .allocate = allocate,
                              .release = release,
                              .pool_memory = pool_memory,
                              .trim = trim,
                              .copy_to_device = copy,
                              .copy_to_host = copy};

}  // namespace
}  // namespace remuda::cuda

extern "C" const remuda::cuda::Backend* remuda_cuda_backend() { return &remuda::cuda::kBackend; }

extern "C" remuda::DescribedGpus* remuda_described_gpus() { return &remuda::cuda::all(); }

extern "C" void remuda_described_take(int32_t gpu, uint64_t taken_by_others) {
  const std::lock_guard lock(remuda::cuda::mutex);
  remuda::cuda::all().gpus[gpu].taken_by_others = taken_by_others;
}

extern "C" void remuda_described_lose(int32_t gpu) {
  const std::lock_guard lock(remuda::cuda::mutex);
  remuda::cuda::all().gpus[gpu].is_lost = true;
}
