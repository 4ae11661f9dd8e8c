#include "device/devices.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/log_test_support.h"
#include "base/scratch_directory.h"
#include "device/cgroup.h"
#include "device/compute_pool.h"

namespace remuda {
namespace {

namespace fs = std::filesystem;

// A directory that stands for "/", with the files a test puts there.
class DevicesTest : public testing::Test {
 protected:
  void put(const std::string& path, const std::string& content) { root_.write(path, content); }

  const ScratchDirectory root_;
};

TEST_F(DevicesTest, WithoutProcTheKernelIsAskedHowMuchMemoryThereIs) {
  const Device cpu = list_devices(root_.path()).at(0);
  EXPECT_EQ(cpu.memory_total, list_devices().at(0).memory_total);
  EXPECT_GT(cpu.memory_available, 0u);
  EXPECT_LE(cpu.memory_available, cpu.memory_total);
}

TEST_F(DevicesTest, NoFilesMeanNoLimits) {
  EXPECT_EQ(cgroup_cpu_quota(root_.path()), std::nullopt);
  EXPECT_EQ(cgroup_memory_available(root_.path()), std::nullopt);
  const std::vector<Device> devices = list_devices(root_.path());
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].id, "cpu");
  EXPECT_EQ(devices[0].name, "unknown CPU");
  EXPECT_GE(devices[0].threads, 1);
}

TEST_F(DevicesTest, Version2TakesTheTightestQuotaUpTheTree) {
  put("proc/self/cgroup", "0::/kube/pod/box\n");
  put("sys/fs/cgroup/kube/cpu.max", "150000 100000\n");
  put("sys/fs/cgroup/kube/pod/cpu.max", "400000 100000\n");
  put("sys/fs/cgroup/kube/pod/box/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root_.path()), 1.5);
}

TEST_F(DevicesTest, Version2InAContainerIsTheRootOfItsMount) {
  put("proc/self/cgroup", "0::/\n");
  put("sys/fs/cgroup/cpu.max", "50000 200000\n");
  put("sys/fs/cgroup/memory.max", "1000000\n");
  put("sys/fs/cgroup/memory.current", "600000\n");
  put("sys/fs/cgroup/memory.stat", "anon 300000\nfile 300000\ninactive_file 150000\nactive_file 50000\nshmem 100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root_.path()), 0.25);
  EXPECT_EQ(cgroup_memory_available(root_.path()), 600000u)
      << "shared memory is in use, the rest of the page cache is not";
}

TEST_F(DevicesTest, AHostsPathThatTheContainerCannotSeeIsSkipped) {
  put("proc/self/cgroup", "0::/system.slice/docker-4f2a.scope\n");
  put("sys/fs/cgroup/cpu.max", "300000 100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root_.path()), 3.0);
}

TEST_F(DevicesTest, MemoryLimitsOfAncestorsHold) {
  put("proc/self/cgroup", "0::/a/b\n");
  put("sys/fs/cgroup/a/memory.max", "1000\n");
  put("sys/fs/cgroup/a/memory.current", "900\n");
  put("sys/fs/cgroup/a/b/memory.max", "500\n");
  put("sys/fs/cgroup/a/b/memory.current", "100\n");
  EXPECT_EQ(cgroup_memory_available(root_.path()), 100u);
  put("sys/fs/cgroup/a/memory.current", "1100\n");
  EXPECT_EQ(cgroup_memory_available(root_.path()), 0u) << "over its limit is nothing left, not a huge number";
}

TEST_F(DevicesTest, Version1) {
  put("proc/self/cgroup", "11:memory:/box\n4:cpu,cpuacct:/box\n1:name=systemd:/box\n");
  put("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "250000\n");
  put("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("sys/fs/cgroup/memory/memory.usage_in_bytes", "77777\n");
  put("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "5000\n");
  put("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "3000\n");
  put("sys/fs/cgroup/memory/box/memory.stat", "active_file 1\ntotal_active_file 700\ntotal_inactive_file 300\n");
  EXPECT_EQ(cgroup_cpu_quota(root_.path()), 2.5);
  EXPECT_EQ(cgroup_memory_available(root_.path()), 3000u);
}

TEST_F(DevicesTest, Version1ControllersMountedUnderTheirOwnNames) {
  put("proc/self/cgroup", "4:cpuacct,cpu:/\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "50000\n");
  EXPECT_EQ(cgroup_cpu_quota(root_.path()), 2.0);
}

TEST_F(DevicesTest, GarbageIsNoLimit) {
  put("proc/self/cgroup", "nonsense\n0:\n::\n0::/\n");
  for (const char* garbage : {"", "\n", "max", "12", "12 0", "-5 100", "99999999999999999999 1", "x y"}) {
    put("sys/fs/cgroup/cpu.max", garbage);
    put("sys/fs/cgroup/memory.max", std::string("x") + garbage);
    EXPECT_EQ(cgroup_cpu_quota(root_.path()), std::nullopt) << garbage;
    EXPECT_EQ(cgroup_memory_available(root_.path()), std::nullopt) << garbage;
  }
}

TEST_F(DevicesTest, TheCpuHasAModelAndTheSmallerOfTheMachinesAndTheGroupsMemory) {
  put("proc/cpuinfo", "processor\t: 0\nmodel\t\t: 17\nmodel name\t: Example 9000 @ 3.2GHz\n");
  put("proc/meminfo",
      "MemTotal:       4000 kB\nMemFree:         100 kB\nMemAvailable:   3000 kB\nHugePages_Total: 0\n");
  put("proc/self/cgroup", "0::/\n");
  Device cpu = list_devices(root_.path()).at(0);
  EXPECT_EQ(cpu.name, "Example 9000 @ 3.2GHz");
  EXPECT_EQ(cpu.memory_total, 4000u * 1024);
  EXPECT_EQ(cpu.memory_available, 3000u * 1024);
  put("sys/fs/cgroup/memory.max", "1048576\n");
  EXPECT_EQ(list_devices(root_.path()).at(0).memory_available, 1048576u);
}

TEST(Devices, OfThisMachine) {
  const Device cpu = list_devices().at(0);
  EXPECT_FALSE(cpu.name.empty());
  EXPECT_EQ(cpu.threads, available_threads());
  EXPECT_GT(cpu.memory_available, 0u);
  EXPECT_LE(cpu.memory_available, cpu.memory_total);
}

class OneGpu : public DeviceProvider {
 public:
  std::vector<Device> devices() override { return {gpu}; }

  Device gpu{.id = "cuda:0", .name = "GPU", .kind = DeviceKind::kGpu, .memory_total = 8, .memory_available = 4};
};

class LostDevices : public ::testing::Test {
 protected:
  LostDevices() {
    told.clear();
    static const bool listens = [] {
      on_lost_device([](const std::string& id) { told.push_back(id); });
      return true;
    }();
    EXPECT_TRUE(listens);
  }
  ~LostDevices() override { set_device_provider(before_); }

  static inline std::vector<std::string> told;
  const std::shared_ptr<OneGpu> machine_ = std::make_shared<OneGpu>();
  const std::shared_ptr<DeviceProvider> before_ = set_device_provider(machine_);
};

TEST_F(LostDevices, AreReportedOnceAndStayLostWhateverTheProviderSays) {
  const LoggedLines logged;
  report_lost_device("cuda:0", "an illegal address");
  report_lost_device("cuda:0", "the same again");
  EXPECT_EQ(told, std::vector<std::string>{"cuda:0"});
  EXPECT_EQ(logged.all(),
            std::vector<std::string>{"cuda:0 is lost to this process, and all that was on it: an illegal address"});
  for (const Device& device : {current_devices().at(0), *current_device("cuda:0"), known_devices().at(0)}) {
    EXPECT_TRUE(device.is_lost);
    EXPECT_EQ(device.problem, "an illegal address");
    EXPECT_EQ(device.memory_available, 0u);
  }
  EXPECT_EQ(memory_available("cuda:0"), std::nullopt);
}

TEST_F(LostDevices, ALookThatFindsOneIsAReport) {
  const LoggedLines logged;
  EXPECT_FALSE(current_device("cuda:0")->is_lost);
  machine_->gpu.problem = "its compute capability is too low";
  EXPECT_FALSE(current_devices().at(0).is_lost) << "it never was of use";
  EXPECT_EQ(told.size(), 0u);
  machine_->gpu.problem = "it fell off the bus";
  machine_->gpu.is_lost = true;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(current_devices().at(0).is_lost);
  EXPECT_EQ(told.size(), 1u);
  EXPECT_EQ(logged.all().size(), 1u);
}

TEST_F(LostDevices, AreAnotherMachinesNoMore) {
  report_lost_device("cuda:0", "it fell off the bus");
  set_device_provider(std::make_shared<OneGpu>());
  EXPECT_FALSE(current_device("cuda:0")->is_lost);
}

}  // namespace
}  // namespace remuda
