#include "device/gpu_arena.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "base/log.h"
#include "device/gpu_devices.h"

namespace remuda {

struct GpuArena::State {
  State(const GpuBackend& backend, int gpu, MemoryBudget& used_budget)
      : table(*backend.table),
        number(gpu),
        budget(used_budget),
        idle(used_budget.reserve({.what = "an arena", .may_exceed = true})) {
    call_gpu(number, "making a pool of memory", table.make_pool, number, &pool);
  }
  ~State() { table.destroy_pool(pool); }

  // Looks at what the pool has. The mutex is held.
  void count() {
    cuda::Message ignored = {};
    const cuda::Status status = table.pool_memory(pool, &stats.reserved, &stats.allocated, &ignored);
    // The memory of a lost GPU is nobody's; what is left of it are the blocks' own figures.
    if (status == cuda::Status::kDeviceLost) stats = {.allocated = in_blocks, .reserved = in_blocks};
    idle.set_bytes(stats.reserved - std::min(stats.reserved, in_blocks));
  }

  void trim() {
    const std::lock_guard lock(mutex);
    cuda::Message ignored = {};
    table.trim(pool, 0, &ignored);
    count();
  }

  // In the pool; once more where the pool's pieces may have been too small. The mutex is held.
  cuda::Status allocate(uint64_t bytes, cuda::Stream* stream, void** data, cuda::Message* message) {
    cuda::Status status = table.allocate(pool, bytes, stream, data, message);
    if (status == cuda::Status::kOutOfMemory) {
      cuda::Message ignored = {};
      table.trim(pool, 0, &ignored);
      status = table.allocate(pool, bytes, stream, data, message);
    }
    return status;
  }

  const cuda::Backend& table;
  const int number;
  MemoryBudget& budget;
  cuda::Pool* pool = nullptr;

  std::mutex mutex;  // Not to be held when the budget is asked for memory: it may come back with trim().
  // All below are guarded by mutex.
  Reservation idle;        // What the pool has beside the blocks.
  uint64_t in_blocks = 0;  // Bytes of the blocks.
  GpuArenaStats stats;
};

struct GpuArena::Arenas {
  static Arenas& all() {
    static auto* const all = new Arenas;
    return *all;
  }

  std::mutex mutex;
  // All below are guarded by mutex.
  std::map<std::string, std::unique_ptr<GpuArena>> by_device;  // Of of().
  std::vector<std::weak_ptr<State>> states;                    // Of any that there are.
};

GpuArena::Block& GpuArena::Block::operator=(Block&& other) noexcept {
  if (this == &other) return *this;
  release();
  state_ = std::move(other.state_);
  stream_ = other.stream_;
  data_ = other.data_;
  bytes_ = other.bytes_;
  reused_ = std::move(other.reused_);
  taken_ = std::move(other.taken_);
  return *this;
}

void GpuArena::Block::release() {
  if (state_ == nullptr) return;
  const std::shared_ptr<State> state = std::exchange(state_, nullptr);
  const std::lock_guard lock(state->mutex);
  cuda::Message ignored = {};
  if (data_ != nullptr) {
    state->table.release(state->pool, data_, stream_, &ignored);  // A lost GPU's memory is lost anyhow.
    state->in_blocks -= bytes_;
  }
  reused_.release();
  taken_.release();
  state->count();
}

GpuArena& GpuArena::of(const std::string& device) {
  const auto find = [&device]() -> GpuArena* {
    const auto found = Arenas::all().by_device.find(device);
    return found == Arenas::all().by_device.end() ? nullptr : found->second.get();
  };
  {
    const std::lock_guard lock(Arenas::all().mutex);
    if (GpuArena* arena = find()) return *arena;
  }
  const std::optional<int> number = gpu_number(device);
  if (!number || gpu_backend().table == nullptr || !current_device(device)) {
    const std::string why = gpu_problem();
    fail(ErrorCode::kUnsupported, "there is no GPU {}{}{}", device, why.empty() ? "" : ": ", why);
  }
  auto made = std::make_unique<GpuArena>(gpu_backend(), *number, MemoryBudget::of(device));
  const std::lock_guard lock(Arenas::all().mutex);
  if (GpuArena* arena = find()) return *arena;  // Somebody else was quicker.
  return *Arenas::all().by_device.emplace(device, std::move(made)).first->second;
}

std::map<std::string, GpuArenaStats> GpuArena::all_stats() {
  std::vector<std::shared_ptr<State>> states;
  {
    const std::lock_guard lock(Arenas::all().mutex);
    for (const auto& weak : Arenas::all().states) {
      if (auto state = weak.lock()) states.push_back(std::move(state));
    }
  }
  std::map<std::string, GpuArenaStats> all;
  for (const auto& state : states) {
    const std::lock_guard lock(state->mutex);
    state->count();
    GpuArenaStats& sum = all[state->budget.device()];
    sum.allocated += state->stats.allocated;
    sum.reserved += state->stats.reserved;
  }
  return all;
}

GpuArena::GpuArena(const GpuBackend& backend, int number, MemoryBudget& budget)
    : state_(std::make_shared<State>(backend, number, budget)) {
  budget.add_cache([weak = std::weak_ptr(state_)] {
    if (const std::shared_ptr<State> state = weak.lock()) state->trim();
  });
  const std::lock_guard lock(Arenas::all().mutex);
  std::erase_if(Arenas::all().states, [](const auto& other) { return other.expired(); });
  Arenas::all().states.push_back(state_);
}

GpuArena::Block GpuArena::allocate(uint64_t bytes, GpuStream& stream, std::string_view what) {
  return allocate(stream, {.bytes = bytes, .what = what});
}

GpuArena::Block GpuArena::allocate_more(uint64_t bytes, GpuStream& stream, std::string_view what) {
  return allocate(stream, {.bytes = bytes, .what = what, .may_exceed = true});
}

GpuArena::Block GpuArena::allocate(GpuStream& stream, MemoryRequest request) {
  const uint64_t bytes = request.bytes;
  Block block;
  {
    // What lies idle counts already.
    const std::lock_guard lock(state_->mutex);
    block.reused_ = state_->idle.split(std::min(bytes, state_->idle.bytes()), MemoryUse::kWorkspace);
  }
  request.bytes -= block.reused_.bytes();
  if (request.bytes > 0) block.taken_ = state_->budget.reserve(request);
  return take(bytes, stream, std::move(block));
}

GpuArena::Block GpuArena::allocate_reserved(uint64_t bytes, GpuStream& stream) { return take(bytes, stream, {}); }

GpuArena::Block GpuArena::take(uint64_t bytes, GpuStream& stream, Block block) {
  check_invariant(bytes > 0, "a block of a GPU's memory has bytes");
  cuda::Message message = {};
  const auto try_to_take = [&] {
    const std::lock_guard lock(state_->mutex);
    void* data = nullptr;
    const cuda::Status status = state_->allocate(bytes, stream.get(), &data, &message);
    if (status != cuda::Status::kOk) return status;
    block.state_ = state_;
    block.stream_ = stream.get();
    block.data_ = data;
    block.bytes_ = bytes;
    state_->in_blocks += bytes;
    state_->count();
    return status;
  };
  cuda::Status status = try_to_take();
  // Others have taken what the budget counted on.
  int64_t evicted = 0;
  while (status == cuda::Status::kOutOfMemory && state_->budget.make_room_on_device()) {
    ++evicted;
    status = try_to_take();
  }
  if (evicted > 0) {
    log::warning("{} had not {} bytes left for this process: {} idle instances were evicted, and {}",
                 state_->budget.device(), bytes, evicted,
                 status == cuda::Status::kOk ? "now it has" : "that was not enough");
  }
  if (status == cuda::Status::kOk) return block;
  {
    const std::lock_guard lock(state_->mutex);
    block.reused_.release();
    block.taken_.release();
    state_->count();
  }
  fail_on_gpu(status, state_->number, fmt::format("taking {} bytes", bytes), message);
}

void GpuArena::trim() { state_->trim(); }

GpuArenaStats GpuArena::stats() const {
  const std::lock_guard lock(state_->mutex);
  state_->count();
  return state_->stats;
}

}  // namespace remuda
