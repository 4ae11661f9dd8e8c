// What libremuda_cuda.so and the rest of remuda know of each other: one table of functions. The library is all of
// remuda that needs CUDA. It is opened at run time (device/gpu_backend.h), so that nothing else links to CUDA, and
// built by another compiler perhaps, so that only plain data crosses: no exception, no C++ type, no memory that the
// other side frees.
//
// Whoever changes anything here raises kAbiVersion: a library of another version is not used.
#pragma once

#include <cstdint>

namespace remuda::cuda {

inline constexpr uint32_t kAbiVersion = 2;
inline constexpr const char* kBackendSymbol = "remuda_cuda_backend";  // Of BackendFunction.

inline constexpr uint64_t kMemoryAlignment = 256;  // Bytes; what the driver aligns a GPU's memory to.

// Bits of Backend::computes_models, by kinds of model.
inline constexpr int32_t kComputesEncoders = 1;
inline constexpr int32_t kComputesBart = 2;

enum class Status : int32_t {
  kOk = 0,
  kNoDriver = 1,         // libcuda.so.1 isn't there.
  kDriverTooOld = 2,     // For the CUDA that the library was built with.
  kNoDevice = 3,         // The driver shows this process no GPU.
  kOutOfMemory = 4,      // Of the GPU's memory.
  kDeviceLost = 5,       // The GPU, or this process's context on it, is of no use any more.
  kInvalidArgument = 6,  // A bug of the caller's.
  kFailed = 7,           // Anything else; the message says what.
};

// For people, filled in when a function's status isn't kOk; ends with a zero.
struct Message {
  char text[512];
};

// A GPU as it will always be.
struct DeviceInfo {
  char name[128];
  int32_t major;            // Compute capability.
  int32_t minor;            //
  int32_t multiprocessors;  //
  int32_t reserved;
  uint64_t memory_total;  // Bytes.
  char problem[256];      // Why the library's kernels don't run on it; empty: they do.
};

struct Stream;  // An order of work on one GPU.
struct Pool;    // Memory of one GPU that is kept for the next who asks.

// Devices have numbers from 0 on, in the driver's order. All functions may be called from any thread, on different
// streams at once; those of one stream from one thread at a time. The calling thread's current CUDA device stays as it
// was. Pointers to memory are the GPU's unless a comment says otherwise.
struct Backend {
  uint32_t abi_version;     // First in every version.
  int32_t computes_models;  // kComputes*: what the library has kernels for.
  const char* build;        // "CUDA 13.0, sm_80 sm_90".

  // Looks for driver and GPUs, without a context on any of them; what was found is found again, what failed is tried
  // anew.
  Status (*start)(int32_t* device_count, Message* message);
  Status (*describe)(int32_t device, DeviceInfo* info, Message* message);
  // Bytes that are free now, for whoever asks the driver first, and that there are. Makes no context where the driver's
  // management library (NVML) is there; once a device was lost, it is kDeviceLost.
  Status (*memory)(int32_t device, uint64_t* free, uint64_t* total, Message* message);
  // Whether cuBLASLt, which matrix products and so all models need, is there. Loads it.
  Status (*find_products)(Message* message);

  Status (*make_stream)(int32_t device, Stream** stream, Message* message);
  void (*destroy_stream)(Stream* stream);  // Does not wait for its work.
  Status (*synchronize)(Stream* stream, Message* message);

  Status (*make_pool)(int32_t device, Pool** pool, Message* message);
  // All must have been released; what streams have not come to release yet goes when they have.
  void (*destroy_pool)(Pool* pool);
  // In the stream's order: the memory is there for what the stream does next, and after release() for what comes then.
  Status (*allocate)(Pool* pool, uint64_t bytes, Stream* stream, void** memory, Message* message);
  Status (*release)(Pool* pool, void* memory, Stream* stream, Message* message);
  // Bytes that the pool has of the driver, and of those, that are allocated.
  Status (*pool_memory)(Pool* pool, uint64_t* reserved, uint64_t* allocated, Message* message);
  // Gives the driver what isn't allocated, down to `keep` bytes reserved. What a stream has not come to release stays.
  Status (*trim)(Pool* pool, uint64_t keep, Message* message);

  // In the stream's order; `from` and `to` of the host must stay until the stream was synchronized.
  Status (*copy_to_device)(Stream* stream, void* to, const void* from, uint64_t bytes, Message* message);
  Status (*copy_to_host)(Stream* stream, void* to, const void* from, uint64_t bytes, Message* message);
};

// Never null; the table lives as long as the library is loaded.
using BackendFunction = const Backend* (*)();

}  // namespace remuda::cuda
