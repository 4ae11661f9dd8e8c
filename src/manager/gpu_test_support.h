// Machines whose GPUs compute: libremuda_cuda_on_host.so, with the processor in their place, is the library of every
// process that has this header in one of its tests.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "device/devices.h"
#include "device/gpu_devices.h"
#include "device/testing/test_libraries.h"
#include "remuda/error.h"
#include "remuda/settings.h"

namespace remuda {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

// Before anybody looks for GPUs; there are none until a test describes them.
[[maybe_unused]] inline const int kLibraryIsOnHost =
    setenv("REMUDA_CUDA_LIBRARY", test_library("remuda_cuda_on_host").c_str(), 1) |
    setenv("REMUDA_DESCRIBED_GPUS", "", 1);

// A machine with the GPUs of a backend, as the process's own has them.
class MachineWithBackend : public DeviceProvider {
 public:
  explicit MachineWithBackend(const GpuBackend& backend) : gpus_(backend) {}

  std::vector<Device> devices() override {
    std::vector<Device> devices = list_devices();
    for (Device& gpu : gpus_.devices()) devices.push_back(std::move(gpu));
    return devices;
  }
  std::optional<Device> device(const std::string& id) override {
    return id == kCpuDevice ? list_devices().front() : gpus_.device(id);
  }
  std::vector<Device> known_devices() override { return gpus_.is_started() ? devices() : list_devices(); }
  std::string gpu_problem() override { return gpus_.problem(); }

 private:
  GpuDevices gpus_;
};

inline void expect_within_a_tenth(const char* what, uint64_t estimate, uint64_t found) {
  EXPECT_NEAR(static_cast<double>(estimate) / static_cast<double>(found), 1, 0.1)
      << what << ": " << estimate << " bytes were expected, " << found << " found";
}

// A machine with one GPU of 4 GiB.
class GpuTest : public ::testing::Test {
 protected:
  GpuTest() {
    gpus_ = {};
    gpus_.count = 1;
    gpus_.gpus[0] = {.name = "GPU", .major = 9, .minor = 0, .memory_total = 4096 * kMiB};
  }
  ~GpuTest() override {
    set_device_provider(before_);
    gpus_.count = 0;
  }

  static Settings on_a_gpu(Settings settings = {}) {
    settings.device = "cuda:0";
    return settings;
  }
  // What this process has of the GPU's memory.
  uint64_t taken() const { return gpus_.gpus[0].reserved; }

  const GpuBackend& backend_ = gpu_backend();
  DescribedGpus& gpus_ = described_gpus(backend_);
  const std::shared_ptr<DeviceProvider> before_ = set_device_provider(std::make_shared<MachineWithBackend>(backend_));
};

// Threads that call again and again until they are told to stop; what they get is right, or counted.
class Callers {
 public:
  // call(thread) returns whether the answer was right.
  Callers(int threads, const std::function<bool(int thread)>& call) {
    for (int t = 0; t < threads; ++t) {
      threads_.emplace_back([this, t, call] {
        try {
          while (!stop_) {
            wrong_ += call(t) ? 0 : 1;
            ++done_;
          }
        } catch (const DeviceError&) {
          ++device_errors_;
        } catch (const std::exception& error) {
          ADD_FAILURE() << error.what();
        }
      });
    }
  }
  ~Callers() { stop(); }

  void wait_for_more(int calls) {
    const int until = done_ + calls;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (done_ < until && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  void stop() {
    stop_ = true;
    threads_.clear();
  }
  int done() const { return done_; }
  int wrong() const { return wrong_; }
  int device_errors() const { return device_errors_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int> done_{0}, wrong_{0}, device_errors_{0};
  std::vector<std::jthread> threads_;
};

// A machine with two, of which the first is chosen first, and the second is full until a test leaves it room.
class TwoGpusTest : public GpuTest {
 protected:
  TwoGpusTest() {
    gpus_.count = 2;
    gpus_.gpus[1] = gpus_.gpus[0];
    gpus_.gpus[1].memory_total = 2048 * kMiB;
    leave_one();
  }

  void leave_one() { take_described(backend_, 1, gpus_.gpus[1].memory_total); }
  void leave_both() { take_described(backend_, 1, 0); }
  // Of the first: all that this process doesn't have.
  void others_take_all() { take_described(backend_, 0, gpus_.gpus[0].memory_total - taken()); }
  void others_take_nothing() { take_described(backend_, 0, 0); }
  // The first one is there again, and nobody has reported it.
  void bring_back() {
    gpus_.gpus[0].is_lost = false;
    set_device_provider(std::make_shared<MachineWithBackend>(backend_));
  }
};

}  // namespace remuda
