// A GPU's memory for weights and intermediate results: blocks that come and go in the order of a stream's work, from a
// pool that keeps what was given back for the next.
//
// All that the pool has of the driver counts in the GPU's MemoryBudget: a block as what it is for, the rest as
// workspace. That rest goes back to the driver when the budget is full, when the driver has no more, and by trim().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "device/gpu_stream.h"
#include "device/memory_budget.h"

namespace remuda {

// Bytes.
struct GpuArenaStats {
  uint64_t allocated = 0;  // In blocks, and what streams have not come to give back yet.
  uint64_t reserved = 0;   // Of the driver, those included.
};

class GpuArena {
  struct State;
  struct Arenas;

 public:
  // Memory on loan. Move-only; belongs to one thread at a time; its stream must outlive it, the arena need not.
  class Block {
   public:
    Block() = default;
    Block(Block&& other) noexcept = default;
    Block& operator=(Block&& other) noexcept;
    ~Block() { release(); }

    void* data() const { return data_; }  // The GPU's.
    uint64_t bytes() const { return bytes_; }
    // For whoever comes next, once the stream has come so far.
    void release();

   private:
    friend class GpuArena;

    std::shared_ptr<State> state_;
    cuda::Stream* stream_ = nullptr;
    void* data_ = nullptr;
    uint64_t bytes_ = 0;
    Reservation reused_;  // What lay idle in the pool before.
    Reservation taken_;
  };

  // The process's, of a GPU by its id. Never destroyed. Throws Error(kUnsupported) where there is no such GPU.
  static GpuArena& of(const std::string& device);
  // Of all arenas, by their budgets' devices.
  static std::map<std::string, GpuArenaStats> all_stats();

  // Of GPU `number`, in a budget that must outlive arena and blocks.
  GpuArena(const GpuBackend& backend, int number, MemoryBudget& budget);

  // A block that counts as workspace; room for it is made, and waited for, as MemoryBudget::reserve() does, which
  // throws as it says. Where others have the memory that the budget counted on, idle instances are evicted until it is
  // there; throws OutOfMemory, too, where that doesn't help, and as GpuStream does. More than 0 bytes. Thread-safe.
  Block allocate(uint64_t bytes, GpuStream& stream, std::string_view what);
  // The same for a computation that holds blocks already: the budget neither makes it wait nor refuses it.
  Block allocate_more(uint64_t bytes, GpuStream& stream, std::string_view what);
  // A block of memory that the caller has reserved already, as a model's weights are.
  Block allocate_reserved(uint64_t bytes, GpuStream& stream);

  // Gives the driver what is not in use. Where the GPU is lost, so is its memory, and nothing is done. Thread-safe.
  void trim();
  // As it is now; of a GPU that is lost, what blocks stand for. Thread-safe.
  GpuArenaStats stats() const;

 private:
  Block allocate(GpuStream& stream, MemoryRequest request);
  Block take(uint64_t bytes, GpuStream& stream, Block block);

  std::shared_ptr<State> state_;
};

}  // namespace remuda
