#include "device/gpu_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "device/testing/test_libraries.h"

namespace remuda {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kGiB = uint64_t{1} << 30;

TEST(GpuNumber, IsWhatFollowsCuda) {
  EXPECT_EQ(gpu_number("cuda:0"), 0);
  EXPECT_EQ(gpu_number("cuda:12"), 12);
  for (const char* id : {"cpu", "cuda", "cuda:", "cuda:-1", "cuda:1x", "cuda: 1", "cuda:99999999999", "gpu:0"}) {
    EXPECT_EQ(gpu_number(id), std::nullopt) << id;
  }
}

class GpuDevicesTest : public ::testing::Test {
 protected:
  GpuDevicesTest() { gpus_ = {}; }

  void add(const char* name, int major, int minor, uint64_t total, uint64_t free) {
    DescribedGpu& gpu = gpus_.gpus[gpus_.count++];
    std::snprintf(gpu.name, sizeof gpu.name, "%s", name);
    gpu.major = major;
    gpu.minor = minor;
    gpu.memory_total = total;
    gpu.taken_by_others = total - free;
  }

  const GpuBackend backend_ = open_gpu_backend(test_library("described_backend"));
  DescribedGpus& gpus_ = described_gpus(backend_);
};

TEST_F(GpuDevicesTest, AreDescribed) {
  add("NVIDIA H100", 9, 0, 80 * kGiB, 79 * kGiB);
  add("NVIDIA A100", 8, 0, 40 * kGiB, 3 * kGiB);
  GpuDevices looked_at(backend_);
  EXPECT_FALSE(looked_at.is_started());
  const std::vector<Device> devices = looked_at.devices();
  EXPECT_TRUE(looked_at.is_started());
  EXPECT_EQ(looked_at.problem(), "");
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].id, "cuda:0");
  EXPECT_EQ(devices[0].name, "NVIDIA H100");
  EXPECT_EQ(devices[0].kind, DeviceKind::kGpu);
  EXPECT_EQ(devices[0].compute_capability, "9.0");
  EXPECT_EQ(devices[0].memory_total, 80 * kGiB);
  EXPECT_EQ(devices[0].memory_available, 79 * kGiB);
  EXPECT_EQ(devices[0].problem, "");
  EXPECT_EQ(devices[1].id, "cuda:1");
  EXPECT_EQ(devices[1].memory_available, 3 * kGiB);
  ASSERT_TRUE(looked_at.device("cuda:1"));
  EXPECT_EQ(looked_at.device("cuda:1")->name, "NVIDIA A100");
  EXPECT_FALSE(looked_at.device("cuda:2"));
  EXPECT_FALSE(looked_at.device("cpu"));
}

TEST_F(GpuDevicesTest, WhatOthersTakeIsSeenTheNextTime) {
  add("GPU", 9, 0, 80 * kGiB, 79 * kGiB);
  GpuDevices looked_at(backend_);
  EXPECT_EQ(looked_at.device("cuda:0")->memory_available, 79 * kGiB);
  gpus_.gpus[0].taken_by_others = 70 * kGiB;
  EXPECT_EQ(looked_at.device("cuda:0")->memory_available, 10 * kGiB);
  EXPECT_EQ(looked_at.devices().at(0).memory_available, 10 * kGiB);
}

TEST_F(GpuDevicesTest, OneThatKernelsAreNotBuiltForHasAProblem) {
  add("Tesla T4", 7, 5, 16 * kGiB, 15 * kGiB);
  const Device device = GpuDevices(backend_).devices().at(0);
  EXPECT_THAT(device.problem, HasSubstr("7.5"));
  EXPECT_EQ(device.memory_available, 15 * kGiB);
}

TEST_F(GpuDevicesTest, OneThatHasNoMemoryForAContextIsFull) {
  add("GPU", 9, 0, 80 * kGiB, 79 * kGiB);
  gpus_.gpus[0].refuses_contexts = true;
  const Device device = GpuDevices(backend_).devices().at(0);
  EXPECT_EQ(device.memory_available, 0u);
  EXPECT_EQ(device.problem, "");
}

TEST_F(GpuDevicesTest, OneThatIsLostHasAProblemAndTheOthersHaveNone) {
  add("GPU", 9, 0, 80 * kGiB, 79 * kGiB);
  add("GPU", 9, 0, 80 * kGiB, 79 * kGiB);
  GpuDevices looked_at(backend_);
  EXPECT_EQ(looked_at.devices().at(0).problem, "");
  gpus_.gpus[0].is_lost = true;
  EXPECT_EQ(looked_at.device("cuda:0")->problem, "it fell off the bus");
  EXPECT_EQ(looked_at.devices().at(1).problem, "");
}

TEST_F(GpuDevicesTest, ADriverThatFailsIsTheProblemUntilItWorks) {
  add("GPU", 9, 0, 80 * kGiB, 79 * kGiB);
  gpus_.start_status = cuda::Status::kDriverTooOld;
  std::snprintf(gpus_.start_message, sizeof gpus_.start_message, "the driver is for CUDA 12.0");
  GpuDevices looked_at(backend_);
  EXPECT_THAT(looked_at.devices(), IsEmpty());
  EXPECT_EQ(looked_at.problem(), "the driver is for CUDA 12.0");
  EXPECT_FALSE(looked_at.device("cuda:0"));
  gpus_.start_status = cuda::Status::kOk;
  EXPECT_EQ(looked_at.devices().size(), 1u);
  EXPECT_EQ(looked_at.problem(), "");
  const int starts = gpus_.starts;
  EXPECT_EQ(looked_at.devices().size(), 1u);
  EXPECT_EQ(gpus_.starts, starts) << "what was found is not looked for again";
}

TEST_F(GpuDevicesTest, ALibraryWithoutKernelsIsTheProblemOfEveryGpu) {
  add("GPU", 9, 0, 80 * kGiB, 79 * kGiB);
  cuda::Backend table = *backend_.table;
  table.computes_models = 0;
  const Device device = GpuDevices({.table = &table, .file = backend_.file}).devices().at(0);
  EXPECT_THAT(device.problem, HasSubstr("no kernels"));
  EXPECT_EQ(device.memory_available, 79 * kGiB);
}

TEST_F(GpuDevicesTest, AMissingLibraryOfProductsIsTheProblemOfEveryGpuThatHasNoneOfItsOwn) {
  add("GPU", 9, 0, 80 * kGiB, 79 * kGiB);
  add("Tesla T4", 7, 5, 16 * kGiB, 15 * kGiB);
  gpus_.products_status = cuda::Status::kFailed;
  std::snprintf(gpus_.products_message, sizeof gpus_.products_message, "cuBLASLt is missing");
  const std::vector<Device> devices = GpuDevices(backend_).devices();
  EXPECT_EQ(devices.at(0).problem, "cuBLASLt is missing");
  EXPECT_THAT(devices.at(1).problem, HasSubstr("7.5"));
}

TEST_F(GpuDevicesTest, ComputeWhatTheLibrarySays) {
  add("GPU", 9, 0, 80 * kGiB, 79 * kGiB);
  cuda::Backend table = *backend_.table;
  table.computes_models = cuda::kComputesBart;
  const Device device = GpuDevices({.table = &table, .file = backend_.file}).devices().at(0);
  EXPECT_EQ(device.computes, cuda::kComputesBart);
  EXPECT_EQ(device.problem, "");
}

TEST_F(GpuDevicesTest, AForkOfAProcessThatLookedHasNone) {
  add("GPU", 9, 0, 80 * kGiB, 79 * kGiB);
  GpuDevices looked_at(backend_), untouched(backend_);
  ASSERT_EQ(looked_at.devices().size(), 1u);
  const pid_t child = fork();
  if (child == 0) {
    const bool has_none = looked_at.devices().empty() && !looked_at.device("cuda:0") &&
                          looked_at.problem().find("fork") != std::string::npos;
    const bool finds_its_own = untouched.devices().size() == 1 && untouched.problem().empty();
    _exit((has_none ? 0 : 1) + (finds_its_own ? 0 : 2));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(looked_at.devices().size(), 1u);
}

}  // namespace
}  // namespace remuda
