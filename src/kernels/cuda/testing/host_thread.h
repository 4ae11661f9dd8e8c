// The machine that kernel bodies run on in the tests: a block of a GPU on one thread of the processor. The block's
// threads are fibers that change places where the GPU's would wait for each other.
//
// It finds what a GPU would leave to chance: shared memory and what is copied to it are poisoned until they are
// written, a barrier that not all threads reach is an error, and the order in which threads run between two barriers,
// and when copies happen, are chosen by the test: results that differ between orders come from a race.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/element.h"
#include "kernels/cuda/geometry.h"
#include "kernels/cuda/testing/fiber.h"

namespace remuda::kernels::cuda {

// How a block's threads take turns.
struct HostSchedule {
  enum class Order { kForward, kBackward, kShuffled };

  Order order = Order::kForward;
  // A GPU makes an asynchronous copy some time between its being asked for and being waited for.
  bool copies_at_once = false;
};

class HostBlock;

// What DeviceThread is on a GPU; the same functions.
class HostThread {
 public:
  HostThread(HostBlock& block, int index) : block_(block), index_(index) {}

  int index() const { return index_; }
  int64_t block() const;
  std::byte* shared() const;
  void sync();
  void sync_warp();

  float shuffle_xor(float x, int mask);
  double shuffle_xor(double x, int mask);
  int32_t shuffle_xor(int32_t x, int mask);
  float shuffle(float x, int lane);

  int32_t add(int32_t* to, int32_t x) const { return std::exchange(*to, *to + x); }
  void set_bits(uint32_t* in, uint32_t bits) const { *in |= bits; }

  float infinity() const { return std::numeric_limits<float>::infinity(); }
  float maximum(float a, float b) const { return std::fmax(a, b); }
  float square_root(float x) const { return std::sqrt(x); }
  double square_root(double x) const { return std::sqrt(x); }
  float exp(float x) const { return std::exp(x); }
  float log(float x) const { return std::log(x); }
  float exp2(float x) const { return std::exp2(x); }
  float error_function(float x) const { return std::erf(x); }
  float hyperbolic_tangent(float x) const { return std::tanh(x); }

  void copy_async(void* to, const void* from, bool there);
  void commit_copies() { groups_.emplace_back(); }
  template <int pending>
  void wait_for_copies() {
    // The last group is the one that has not been committed.
    while (static_cast<int>(groups_.size()) - 1 > pending) {
      for (const Copy& copy : groups_.front()) perform(copy);
      groups_.erase(groups_.begin());
    }
  }

  void load_matrices(uint32_t (&m)[4], const void* row);
  void load_matrices_transposed(uint32_t (&m)[4], const void* row);
  template <class Element>
  void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

 private:
  struct Copy {
    void* to;
    const void* from;
    bool there;
  };

  static void perform(const Copy& copy) {
    if (copy.there) std::memcpy(copy.to, copy.from, kChunkBytes);
    if (!copy.there) std::memset(copy.to, 0, kChunkBytes);
  }

  HostBlock& block_;
  int index_;
  std::vector<std::vector<Copy>> groups_{1};
};

class HostBlock {
 public:
  // Runs body(thread) on every thread of one block. Throws std::logic_error where threads wait for each other for ever,
  // or do together what they may not.
  static void run(const Launch& launch, int64_t number, HostSchedule schedule,
                  const std::function<void(HostThread&)>& body) {
    HostBlock block(launch, number, schedule);
    std::vector<std::unique_ptr<Fiber>> fibers;
    for (int i = 0; i < launch.threads; ++i) {
      fibers.push_back(std::make_unique<Fiber>([&block, &body, i] {
        try {
          HostThread thread(block, i);
          body(thread);
        } catch (const Stopped&) {
          // The block has a problem, which is this thread's or another's.
        }
        ++block.events_;
      }));
    }
    block.fibers_ = &fibers;
    block.take_turns();
  }

 private:
  friend class HostThread;

  // Ends a thread of a block that has a problem.
  struct Stopped {};

  // What a lane brings to a thing that its warp does together, and what it takes from it.
  struct LaneExchange {
    std::array<double, 4> numbers = {};
    std::array<uint32_t, 6> words = {};
    const std::byte* address = nullptr;
  };
  struct Warp {
    std::array<LaneExchange, kWarpSize> in = {};
    std::array<LaneExchange, kWarpSize> out = {};
    std::pair<const char*, int> what = {};  // Literals: the same one is the same address.
    int arrived = 0;
    uint64_t done = 0;
  };

  HostBlock(const Launch& launch, int64_t number, HostSchedule schedule)
      : number_(number),
        schedule_(schedule),
        shared_bytes_(launch.shared_bytes),
        // Exactly as many bytes as were asked for, so that the address sanitizer sees one too many.
        shared_(static_cast<std::byte*>(operator new(static_cast<size_t>(launch.shared_bytes), kAlignment))),
        warps_(static_cast<size_t>(divide_up(launch.threads, kWarpSize))) {
    std::memset(shared_.get(), kPoison, static_cast<size_t>(shared_bytes_));
  }

  void take_turns() {
    std::vector<int> order(fibers_->size());
    std::iota(order.begin(), order.end(), 0);
    if (schedule_.order == HostSchedule::Order::kBackward) std::reverse(order.begin(), order.end());
    std::mt19937 random(static_cast<uint32_t>(number_) + 1);
    while (true) {
      if (schedule_.order == HostSchedule::Order::kShuffled) std::shuffle(order.begin(), order.end(), random);
      const uint64_t before = events_;
      bool any = false;
      for (const int i : order) {
        if ((*fibers_)[i]->done()) continue;
        any = true;
        (*fibers_)[i]->resume();
      }
      if (!any) break;
      if (events_ == before) problem_ = "threads of a block wait for each other for ever";
    }
    if (!problem_.empty()) throw std::logic_error(problem_);
  }

  template <class Condition>
  void wait_until(int thread, Condition met) {
    while (!met()) {
      (*fibers_)[thread]->yield();
      if (!problem_.empty()) throw Stopped();
    }
  }
  [[noreturn]] void fail(const std::string& problem) {
    problem_ = problem;
    throw Stopped();
  }

  void sync(int thread) {
    const uint64_t mine = syncs_;
    ++events_;
    if (++synced_ == static_cast<int>(fibers_->size())) {
      synced_ = 0;
      ++syncs_;
    }
    wait_until(thread, [&] { return syncs_ != mine; });
  }

  // Every lane brings its part; the last one does `together` for all. `number` and `what` must be the same in all.
  template <class Together>
  LaneExchange exchange(int thread, const char* what, int number, const LaneExchange& part, Together together) {
    Warp& warp = warps_[static_cast<size_t>(thread / kWarpSize)];
    const int lane = thread % kWarpSize;
    if (warp.arrived == 0) warp.what = {what, number};
    if (warp.what.first != what || warp.what.second != number) {
      fail(std::string("a warp does both ") + warp.what.first + " and " + what);
    }
    warp.in[lane] = part;
    const uint64_t mine = warp.done;
    ++events_;
    if (++warp.arrived == kWarpSize) {
      together(warp);
      warp.arrived = 0;
      ++warp.done;
    }
    wait_until(thread, [&] { return warp.done != mine; });
    return warp.out[lane];
  }

  // A chunk of 16 bytes of shared memory.
  void check_chunk(const void* address) {
    const auto* at = static_cast<const std::byte*>(address);
    if (at < shared_.get() || at + kChunkBytes > shared_.get() + shared_bytes_) {
      fail("an address outside the block's shared memory");
    }
    if (reinterpret_cast<uintptr_t>(at) % kChunkBytes != 0) fail("an address that is no multiple of 16");
  }

  std::array<uint32_t, 4> load_matrices(int thread, const void* row, bool transposed) {
    check_chunk(row);
    LaneExchange part;
    part.address = static_cast<const std::byte*>(row);
    const auto load = [transposed](Warp& warp) {
      for (int lane = 0; lane < kWarpSize; ++lane) {
        for (int m = 0; m < 4; ++m) {
          uint16_t pair[2];
          for (int i = 0; i < 2; ++i) {
            const int r = transposed ? fragment_column(lane) + i : fragment_row(lane);
            const int c = transposed ? fragment_row(lane) : fragment_column(lane) + i;
            std::memcpy(&pair[i], warp.in[m * 8 + r].address + c * 2, 2);
          }
          warp.out[lane].words[m] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
        }
      }
    };
    const LaneExchange got = exchange(thread, "loads", transposed, part, load);
    return {got.words[0], got.words[1], got.words[2], got.words[3]};
  }

  // d += a b; the fragments are laid out as the PTX ISA has them for mma.m16n8k16.
  template <class Element>
  static void multiply(Warp& warp) {
    const auto element = [](uint32_t pair, int i) {
      return to_float(Element{static_cast<uint16_t>(pair >> (16 * i))});
    };
    float a[16][16];
    float b[16][8];
    for (int lane = 0; lane < kWarpSize; ++lane) {
      for (int i = 0; i < 2; ++i) {
        const int r = fragment_row(lane);
        const int c = fragment_column(lane) + i;
        for (int part = 0; part < 4; ++part) {
          a[r + part % 2 * 8][c + part / 2 * 8] = element(warp.in[lane].words[part], i);
        }
        for (int part = 0; part < 2; ++part) b[c + part * 8][r] = element(warp.in[lane].words[4 + part], i);
      }
    }
    for (int lane = 0; lane < kWarpSize; ++lane) {
      for (int i = 0; i < 4; ++i) {
        double sum = warp.in[lane].numbers[i];
        for (int k = 0; k < 16; ++k) {
          sum += static_cast<double>(a[fragment_row(lane) + i / 2 * 8][k]) *
                 static_cast<double>(b[k][fragment_column(lane) + i % 2]);
        }
        warp.out[lane].numbers[i] = sum;
      }
    }
  }

  struct FreeShared {
    void operator()(std::byte* memory) const { operator delete(memory, kAlignment); }
  };

  static constexpr std::align_val_t kAlignment{128};
  static constexpr int kPoison = 0xff;  // A NaN, of every type.

  int64_t number_;
  HostSchedule schedule_;
  int shared_bytes_;
  std::unique_ptr<std::byte, FreeShared> shared_;
  std::vector<Warp> warps_;
  std::vector<std::unique_ptr<Fiber>>* fibers_ = nullptr;
  int synced_ = 0;
  uint64_t syncs_ = 0;
  uint64_t events_ = 0;  // Arrivals and ends: while there are some, the block gets on.
  std::string problem_;
};

inline int64_t HostThread::block() const { return block_.number_; }
inline std::byte* HostThread::shared() const { return block_.shared_.get(); }
inline void HostThread::sync() { block_.sync(index_); }

inline void HostThread::sync_warp() {
  block_.exchange(index_, "sync_warp", 0, {}, [](HostBlock::Warp&) {});
}

inline double HostThread::shuffle_xor(double x, int mask) {
  HostBlock::LaneExchange part;
  part.numbers[0] = x;
  return block_
      .exchange(index_, "shuffle_xor", mask, part,
                [mask](HostBlock::Warp& warp) {
                  for (int lane = 0; lane < kWarpSize; ++lane) warp.out[lane].numbers = warp.in[lane ^ mask].numbers;
                })
      .numbers[0];
}
inline float HostThread::shuffle_xor(float x, int mask) {
  return static_cast<float>(shuffle_xor(static_cast<double>(x), mask));
}
inline int32_t HostThread::shuffle_xor(int32_t x, int mask) {
  return static_cast<int32_t>(shuffle_xor(static_cast<double>(x), mask));
}
inline float HostThread::shuffle(float x, int lane) {
  HostBlock::LaneExchange part;
  part.numbers[0] = x;
  const auto give = [lane](HostBlock::Warp& warp) {
    for (HostBlock::LaneExchange& out : warp.out) out.numbers = warp.in[lane].numbers;
  };
  return static_cast<float>(block_.exchange(index_, "shuffle", lane, part, give).numbers[0]);
}

inline void HostThread::copy_async(void* to, const void* from, bool there) {
  block_.check_chunk(to);
  if (there && reinterpret_cast<uintptr_t>(from) % kChunkBytes != 0) {
    block_.fail("a copy from an address that is no multiple of 16");
  }
  const Copy copy{to, from, there};
  if (block_.schedule_.copies_at_once) return perform(copy);
  std::memset(to, HostBlock::kPoison, kChunkBytes);
  groups_.back().push_back(copy);
}
inline void HostThread::load_matrices(uint32_t (&m)[4], const void* row) {
  const std::array<uint32_t, 4> words = block_.load_matrices(index_, row, false);
  std::copy(words.begin(), words.end(), m);
}
inline void HostThread::load_matrices_transposed(uint32_t (&m)[4], const void* row) {
  const std::array<uint32_t, 4> words = block_.load_matrices(index_, row, true);
  std::copy(words.begin(), words.end(), m);
}
template <class Element>
void HostThread::multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const HostBlock::LaneExchange got =
      block_.exchange(index_, "multiply", 0, {{d[0], d[1], d[2], d[3]}, {a[0], a[1], a[2], a[3], b0, b1}, nullptr},
                      [](HostBlock::Warp& warp) { HostBlock::multiply<Element>(warp); });
  for (int i = 0; i < 4; ++i) d[i] = static_cast<float>(got.numbers[i]);
}

// Runs a launch's blocks one after the other.
template <class Body>
void run_on_host(const Launch& launch, HostSchedule schedule, Body body) {
  for (int64_t block = 0; block < launch.blocks; ++block) HostBlock::run(launch, block, schedule, body);
}

}  // namespace remuda::kernels::cuda
