#include "remuda/model_pool.h"

#include <utility>

#include "pool/pool_core.h"

namespace remuda {

LeaseBase::LeaseBase(LeaseBase&& other) noexcept
    : core_(std::move(other.core_)), slot_(std::exchange(other.slot_, nullptr)) {}

LeaseBase& LeaseBase::operator=(LeaseBase&& other) noexcept {
  if (this != &other) {
    release();
    core_ = std::move(other.core_);
    slot_ = std::exchange(other.slot_, nullptr);
  }
  return *this;
}

LeaseBase::~LeaseBase() { release(); }

void LeaseBase::release() {
  if (slot_ != nullptr) core_->release(std::exchange(slot_, nullptr), /*discard=*/false);
}

void LeaseBase::discard() {
  if (slot_ != nullptr) core_->release(std::exchange(slot_, nullptr), /*discard=*/true);
}

ModelInstance* LeaseBase::instance() const { return slot_ == nullptr ? nullptr : slot_->instance.get(); }

PoolHandle::PoolHandle(PoolOptions options, Factory factory)
    : core_(std::make_shared<PoolCore>(std::move(options), std::move(factory))) {
  enlist(core_);
}

PoolHandle::~PoolHandle() { close(); }

LeaseBase PoolHandle::acquire(const AcquireOptions& options) {
  // Its own reference: the pool may be destroyed while this caller waits, which then gets PoolClosed.
  std::shared_ptr<PoolCore> core = core_;
  PoolSlot* slot = core->acquire(options, /*raw=*/false);
  return LeaseBase(std::move(core), slot);
}

std::optional<LeaseBase> PoolHandle::try_acquire() {
  std::shared_ptr<PoolCore> core = core_;
  PoolSlot* slot = core->try_acquire();
  if (slot == nullptr) return std::nullopt;
  return LeaseBase(std::move(core), slot);
}

ModelInstance* PoolHandle::get_instance(std::optional<std::chrono::nanoseconds> timeout) {
  const std::shared_ptr<PoolCore> core = core_;
  return core->acquire({.timeout = timeout}, /*raw=*/true)->instance.get();
}

void PoolHandle::release_instance(const ModelInstance* instance) { core_->release_instance(instance); }

bool PoolHandle::cleanup(std::optional<std::chrono::nanoseconds> timeout) { return core_->cleanup(timeout); }

void PoolHandle::close() { core_->close(); }

int64_t PoolHandle::shrink(int64_t instances) { return core_->shrink(instances); }

void PoolHandle::resize(int64_t max_instances) { core_->resize(max_instances); }

void PoolHandle::warm_up() { core_->warm_up(); }

bool PoolHandle::evict_idle(std::chrono::steady_clock::time_point not_used_since) {
  return core_->evict_idle(not_used_since);
}

std::optional<std::chrono::steady_clock::time_point> PoolHandle::least_recent_use() const {
  return core_->least_recent_use();
}

std::vector<LeakReport> PoolHandle::leaks() const { return core_->leaks(); }

PoolStats PoolHandle::get_pool_stats() const { return core_->get_pool_stats(); }

int64_t PoolHandle::waiting() const { return core_->waiting(); }

void PoolHandle::count_overload(const std::string& label) { core_->count_overload(label); }

int64_t PoolHandle::evict_idle_on(const std::string& device) {
  return core_->destroy_idle_on(device, DestroyReason::kEvicted);
}

int64_t PoolHandle::lose_device(const std::string& device) {
  return core_->destroy_idle_on(device, DestroyReason::kLost);
}

void PoolHandle::count_moved(int64_t calls) { core_->count(&PoolStats::moved, calls); }

void PoolHandle::count_room_waits(int64_t calls) { core_->count(&PoolStats::room_waits, calls); }

}  // namespace remuda
