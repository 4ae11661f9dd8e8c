// Managers on machines with GPUs. The GPUs are described, not there: what they have free is what a test says, and the
// processor computes in their place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/log_test_support.h"
#include "device/memory_budget.h"
#include "manager/gpu_test_support.h"
#include "manager/placement.h"
#include "manager/placement_test_support.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/error.h"
#include "remuda/snapshot.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

using ::testing::AllOf;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;
using ::testing::ThrowsMessage;
constexpr std::chrono::milliseconds kSoon{100};
// Tokens that a place has memory for, at least.
constexpr int64_t kBatch = 512;
using ByDevice = std::map<std::string, int64_t>;

// GPUs whose memory is taken by what the budgets have on them, and by others.
class BusyMachine : public DeviceProvider {
 public:
  explicit BusyMachine(const std::vector<uint64_t>& available) : described_(available) {}

  std::vector<Device> devices() override {
    std::vector<Device> devices;
    {
      const std::lock_guard lock(mutex_);
      if (on_look_) on_look_(described_);
      devices = described_.devices();
    }
    for (const MemoryBudgetStats& budget : MemoryBudget::all_stats()) {
      for (Device& device : devices) {
        if (device.kind == DeviceKind::kGpu && device.id == budget.device) {
          device.memory_available -= std::min(device.memory_available, budget.used);
        }
      }
    }
    return devices;
  }

  void change(const std::function<void(DescribedMachine&)>& change) {
    const std::lock_guard lock(mutex_);
    change(described_);
  }
  // Called with every look at the devices, before it.
  void on_look(std::function<void(DescribedMachine&)> hook) {
    const std::lock_guard lock(mutex_);
    on_look_ = std::move(hook);
  }

 private:
  std::mutex mutex_;
  DescribedMachine described_;                      // Guarded by mutex_.
  std::function<void(DescribedMachine&)> on_look_;  // Guarded by mutex_.
};

class DevicePlacement : public ::testing::Test {
 protected:
  // Of the library's GPUs there are always enough, with memory enough.
  DevicePlacement() {
    DescribedGpus& gpus = described_gpus(gpu_backend());
    gpus = {};
    gpus.count = 8;
    for (DescribedGpu& gpu : gpus.gpus) gpu = {.name = "GPU", .major = 9, .minor = 0, .memory_total = 80 * kGiB};
  }
  ~DevicePlacement() override {
    if (before_ != nullptr) set_device_provider(before_);
    described_gpus(gpu_backend()).count = 0;
  }

  // GPUs with so much memory available.
  BusyMachine& machine(const std::vector<uint64_t>& available) {
    auto machine = std::make_shared<BusyMachine>(available);
    auto replaced = set_device_provider(machine);
    if (before_ == nullptr) before_ = std::move(replaced);
    machine_ = machine;
    return *machine_;
  }

  static Settings automatic(int64_t instances, Fallback fallback = Fallback::kPrefer) {
    Settings settings;
    settings.masx_force_cpu = false;
    settings.model_pool_max_instances = instances;
    settings.fallback = fallback;
    return settings;
  }

  // Leases so many at once; what cannot be had is an error.
  static std::vector<Lease<EmbeddingInstance>> lease(EmbeddingModelManager& manager, int64_t count) {
    std::vector<Lease<EmbeddingInstance>> leases;
    for (int64_t i = 0; i < count; ++i) leases.push_back(manager.acquire({.timeout = std::chrono::seconds(20)}));
    return leases;
  }

 private:
  std::shared_ptr<DeviceProvider> before_;
  std::shared_ptr<BusyMachine> machine_;
};

TEST_F(DevicePlacement, WithoutGpusItIsTheCpu) {
  machine({});
  EmbeddingModelManager manager(automatic(2));
  EXPECT_EQ(manager.get_device(), "cpu");
  const auto leases = lease(manager, 2);
  EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cpu", 2}}));
  EXPECT_EQ(manager.get_pool_stats().fallbacks, 0u);
}

TEST_F(DevicePlacement, WithoutGpusADemandedOneIsAnErrorAtOnce) {
  machine({});
  Settings settings = automatic(1);
  settings.masx_force_gpu = true;
  EXPECT_THAT([&] { EmbeddingModelManager manager(settings); },
              ThrowsMessage<Error>(AllOf(HasSubstr("a GPU is demanded (masx_force_gpu)"), HasSubstr("has no GPU"),
                                         HasSubstr("set device to auto or cpu"))));
  for (const char* device : {"cuda", "cuda:0"}) {
    settings = {};
    settings.device = device;
    EXPECT_THAT([&] { SummarizationModelManager manager(settings); },
                ThrowsMessage<Error>(HasSubstr(std::string("a GPU is demanded (device ") + device + ")")));
  }
}

TEST_F(DevicePlacement, BothForceFlagsAreAnErrorThatSaysWhatToDo) {
  Settings settings;
  settings.masx_force_gpu = true;
  EXPECT_THAT([&] { EmbeddingModelManager manager(settings); },
              ThrowsMessage<Error>(AllOf(HasSubstr("are both true"), HasSubstr("set one of them, or neither"))));
}

TEST_F(DevicePlacement, AGpuByItsNumberIsTakenThoughOthersHaveMore) {
  machine({4 * kGiB, 8 * kGiB, 2 * kGiB});
  Settings settings;
  settings.device = "cuda:2";  // The force flags are as they are by default, the CPU's set.
  EmbeddingModelManager embedder(settings);
  EXPECT_EQ(embedder.get_device(), "cuda:2");
  const auto leases = lease(embedder, 2);
  EXPECT_EQ(embedder.get_pool_stats().by_device, (ByDevice{{"cuda:2", 2}}));
  SummarizationModelManager summarizer(settings);
  EXPECT_EQ(summarizer.acquire()->metadata().device, "cuda:2");

  settings.device = "cuda";
  EXPECT_EQ(EmbeddingModelManager(settings).get_device(), "cuda:1") << "any: the one with most free";
  settings.device = "auto";
  EXPECT_EQ(EmbeddingModelManager(settings).get_device(), "cuda:1");
  settings.device = "cpu";
  settings.masx_force_cpu = false;
  settings.masx_force_gpu = true;
  EXPECT_EQ(EmbeddingModelManager(settings).get_device(), "cpu") << "whatever the flags say";
}

TEST_F(DevicePlacement, AGpuByItsNumberThatIsNotThereIsAnErrorThatListsThoseThatAre) {
  BusyMachine& busy = machine({4 * kGiB, 8 * kGiB});
  busy.change([](DescribedMachine& described) { described.gpu(1).problem = "too hot"; });
  Settings settings;
  settings.device = "cuda:9";
  EXPECT_THAT([&] { EmbeddingModelManager manager(settings); },
              ThrowsMessage<Error>(AllOf(HasSubstr("there is no cuda:9 that"), HasSubstr("cuda:0 (GPU)"),
                                         HasSubstr("cuda:1 can't be used: too hot"), HasSubstr("name one that"))));
  settings.device = "cuda:1";
  EXPECT_THROW(EmbeddingModelManager manager(settings), Error);
}

TEST_F(DevicePlacement, AFullGpuThatWasAskedForIsLeftAsTheSettingsSayAndNotForAnother) {
  machine({1, 8 * kGiB});
  Settings settings;
  settings.device = "cuda:0";
  EmbeddingModelManager prefers(settings);
  EXPECT_EQ(prefers.acquire()->metadata().device, "cpu");
  EXPECT_EQ(prefers.get_pool_stats().fallbacks, 1u);
  settings.fallback = Fallback::kRequire;
  EmbeddingModelManager requires_gpu(settings);
  EXPECT_THAT([&] { requires_gpu.acquire({.timeout = kSoon}); },
              ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("cuda:0 has"), ::testing::Not(HasSubstr("cuda:1")))));
}

TEST_F(DevicePlacement, OnAGpuWeightsAreCountedInItsBudgetAndResultsAreAlmostTheSame) {
  machine({});
  const std::vector<float> expected = EmbeddingModelManager(Settings{}).embed_text("The herd at dawn.");
  machine({8 * kGiB});
  Settings settings = automatic(2);
  settings.gpu_use_fp16 = false;
  EmbeddingModelManager manager(settings);
  EXPECT_EQ(manager.get_device(), "cuda:0") << "before there is an instance, too";
  EXPECT_THAT(manager.embed_text("The herd at dawn."), Pointwise(FloatNear(1e-5f), expected));
  const auto leases = lease(manager, 2);
  EXPECT_EQ(leases[0]->metadata().device, "cuda:0");
  EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cuda:0", 2}}));
  const ProcessSnapshot found = snapshot();
  // Other tests of the process may have left models in main memory.
  uint64_t bytes = 0;
  int64_t copies = 0;
  for (const WeightsSnapshot& weights : found.weights) {
    if (weights.device != "cuda:0") continue;
    bytes += weights.bytes;
    ++copies;
  }
  EXPECT_EQ(copies, 1) << "one for two instances";
  EXPECT_EQ(bytes, leases[0]->metadata().shared_bytes);
  EXPECT_GE(MemoryBudget::of("cuda:0").stats().used, bytes);
  EXPECT_EQ(found.devices.size(), 2u);
}

TEST_F(DevicePlacement, WhatAGpuComputesInIsWhatIsAskedForAndCountedSo) {
  const EmbeddingModelInfo info = inspect_embedding_model(Settings{}.embedding_model);
  struct Case {
    Precision asked;
    bool use_fp16;
    Precision found;
  };
  for (const Case& each :
       {Case{Precision::kAuto, true, Precision::kFp16}, Case{Precision::kAuto, false, Precision::kFp32},
        Case{Precision::kFp16, false, Precision::kFp16}, Case{Precision::kBf16, true, Precision::kBf16},
        Case{Precision::kFp32, true, Precision::kFp32}, Case{Precision::kTf32, true, Precision::kTf32}}) {
    machine({8 * kGiB});
    Settings settings = automatic(1);
    settings.precision = each.asked;
    settings.gpu_use_fp16 = each.use_fp16;
    EmbeddingModelManager manager(settings);
    EXPECT_EQ(manager.precision(), each.found);
    const uint64_t before = MemoryBudget::of("cuda:0").stats().weights;
    const auto lease = manager.acquire();
    EXPECT_EQ(lease->metadata().precision, each.found);
    const MemoryCost cost = estimate_memory(info, each.found, kBatch, DeviceKind::kGpu);
    const uint64_t bytes = lease->metadata().shared_bytes;
    EXPECT_NEAR(static_cast<double>(bytes), static_cast<double>(cost.shared_weights),
                0.01 * static_cast<double>(bytes));
    EXPECT_EQ(MemoryBudget::of("cuda:0").stats().weights - before, bytes) << to_string(each.found);
  }
}

TEST_F(DevicePlacement, AModelThatFitsInFp16AloneGoesToTheGpuInFp16Alone) {
  const EmbeddingModelInfo info = inspect_embedding_model(Settings{}.embedding_model);
  const MemoryCost half = estimate_memory(info, Precision::kFp16, kBatch, DeviceKind::kGpu);
  const MemoryCost full = estimate_memory(info, Precision::kFp32, kBatch, DeviceKind::kGpu);
  // Of so little a quarter is kept free.
  const uint64_t room = (half.shared_weights + half.loading + 2 * half.workspace) * 4 / 3;
  ASSERT_LT(room, full.shared_weights + full.loading + full.workspace);
  for (const bool use_fp16 : {true, false}) {
    machine({room});
    Settings settings = automatic(1);
    settings.gpu_use_fp16 = use_fp16;
    EmbeddingModelManager manager(settings);
    const auto lease = manager.acquire();
    EXPECT_EQ(lease->metadata().device, use_fp16 ? "cuda:0" : "cpu");
    EXPECT_EQ(lease->metadata().precision, use_fp16 ? Precision::kFp16 : Precision::kFp32);
    EXPECT_EQ(manager.get_pool_stats().fallbacks, use_fp16 ? 0u : 1u);
  }
}

TEST_F(DevicePlacement, Int8IsForCpus) {
  machine({8 * kGiB});
  Settings settings = automatic(1);
  settings.precision = Precision::kInt8;
  {
    EmbeddingModelManager manager(settings);
    EXPECT_EQ(manager.acquire()->metadata().device, "cpu");
    EXPECT_EQ(manager.get_pool_stats().fallbacks, 0u) << "it was chosen";
  }
  settings.device = "cuda:0";
  EXPECT_THAT([&] { EmbeddingModelManager manager(settings); },
              ThrowsMessage<Error>(AllOf(HasSubstr("precision int8 is for CPUs"), HasSubstr("(device cuda:0)"),
                                         HasSubstr("use fp32, fp16, bf16 or tf32, or set device to cpu"))));
}

TEST_F(DevicePlacement, Fp16AndTf32AreForGpus) {
  for (const Precision precision : {Precision::kFp16, Precision::kTf32}) {
    const std::string name = "precision " + std::string(to_string(precision));
    Settings settings = automatic(1);
    settings.precision = precision;
    machine({});
    EXPECT_THAT([&] { EmbeddingModelManager manager(settings); },
                ThrowsMessage<Error>(AllOf(HasSubstr("a GPU is demanded (" + name + ")"),
                                           HasSubstr("this machine has no GPU; set precision to auto"))));
    machine({1});
    {
      EmbeddingModelManager full(settings);
      EXPECT_THROW(full.acquire({.timeout = kSoon}), OutOfMemory) << "the CPU can't stand in";
    }
    settings.device = "cpu";
    EXPECT_THAT([&] { EmbeddingModelManager manager(settings); },
                ThrowsMessage<Error>(HasSubstr(name + " is for GPUs; on a CPU use fp32, bf16 or int8")));
  }
}

TEST_F(DevicePlacement, ASummarizerGoesThereToo) {
  machine({8 * kGiB});
  SummarizationModelManager manager(automatic(1));
  EXPECT_EQ(manager.acquire()->metadata().device, "cuda:0");
  EXPECT_EQ(manager.get_device(), "cuda:0");
}

TEST_F(DevicePlacement, EightGpusShareTheInstancesByWhatTheyHaveFree) {
  machine({4 * kGiB, 5 * kGiB, 6 * kGiB, 7 * kGiB, 8 * kGiB, 9 * kGiB, 10 * kGiB, 11 * kGiB});
  {
    EmbeddingModelManager manager(automatic(2));
    const auto leases = lease(manager, 2);
    EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cuda:7", 2}})) << "most free, even with the weights";
  }
  machine(std::vector<uint64_t>(8, 4 * kGiB));
  EmbeddingModelManager spread(automatic(8));
  const auto eight = lease(spread, 8);
  EXPECT_EQ(spread.get_pool_stats().by_device.size(), 8u) << "each takes what makes another the roomiest";
}

TEST_F(DevicePlacement, AFullGpuIsLeftAsTheSettingsSay) {
  machine({1});
  EmbeddingModelManager prefers(automatic(2, Fallback::kPrefer));
  EXPECT_EQ(prefers.acquire()->metadata().device, "cpu");
  EXPECT_EQ(prefers.get_pool_stats().fallbacks, 1u);
  EXPECT_EQ(snapshot().pools.back().fallbacks, 1u);

  EmbeddingModelManager requires_gpu(automatic(2, Fallback::kRequire));
  EXPECT_THAT([&] { requires_gpu.acquire({.timeout = kSoon}); },
              ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("cuda:0"), HasSubstr("set fallback to prefer or spill"))));
}

TEST_F(DevicePlacement, WhatAGpuHasNoRoomForWaitsOrSpills) {
  MemoryCost cost;
  {
    EmbeddingModelManager on_cpu((Settings()));
    cost = estimate_memory(on_cpu.info(), Precision::kAuto, kBatch, DeviceKind::kGpu);
  }
  // Room for few to compute beside the weights; of so little a budget keeps a quarter free.
  machine({(cost.shared_weights + cost.loading + cost.workspace * 3 / 2) * 4 / 3});
  constexpr int64_t kMost = 20;
  int64_t fit = 0;
  {
    EmbeddingModelManager waits(automatic(kMost, Fallback::kPrefer));
    waits.warm_up();
    const MemoryBudgetStats budget = MemoryBudget::of("cuda:0").stats();
    fit = static_cast<int64_t>((budget.limit - budget.used) / cost.workspace);
    ASSERT_GE(fit, 1);
    ASSERT_LT(fit, kMost);
    const auto leases = lease(waits, fit);
    EXPECT_THROW(waits.acquire({.timeout = std::chrono::milliseconds(50)}), TimeoutError);
    EXPECT_EQ(waits.get_pool_stats().by_device, (ByDevice{{"cuda:0", fit}}));
  }
  EmbeddingModelManager spills(automatic(kMost, Fallback::kSpill));
  const auto leases = lease(spills, fit + 1);
  EXPECT_EQ(spills.get_pool_stats().by_device, (ByDevice{{"cpu", 1}, {"cuda:0", fit}}));
  EXPECT_EQ(spills.get_pool_stats().fallbacks, 1u);
}

TEST_F(DevicePlacement, MemoryThatOthersTakeMeanwhileIsNoError) {
  BusyMachine& busy = machine({8 * kGiB, 4 * kGiB});
  EmbeddingModelManager manager(automatic(1));
  // Chosen with 8 GiB free, which are gone when the weights are to be reserved.
  busy.on_look([looks = 0](DescribedMachine& described) mutable {
    if (++looks == 2) described.gpu(0).memory_available = 0;
  });
  EXPECT_EQ(manager.acquire()->metadata().device, "cuda:1");
  EXPECT_EQ(manager.get_pool_stats().fallbacks, 0u);
}

TEST_F(DevicePlacement, WhoRequiresAGpuWaitsForItsMemoryUntilTheDeadline) {
  BusyMachine& busy = machine({1});
  EmbeddingModelManager manager(automatic(1, Fallback::kRequire));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT([&] { manager.embed_text("A horse.", {.timeout = std::chrono::milliseconds(300)}); },
              ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("bytes of weights"), HasSubstr("cuda:0 has 1 bytes"))));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(290));
  EXPECT_FALSE(manager.try_acquire());
  std::jthread others([&busy] {
    std::this_thread::sleep_for(kSoon);
    busy.change([](DescribedMachine& described) { described.gpu(0).memory_available = 8 * kGiB; });
  });
  EXPECT_EQ(manager.embed_text("A horse.", {.timeout = std::chrono::seconds(20)}).size(), 384u);
  EXPECT_EQ(manager.acquire()->metadata().device, "cuda:0");
  EXPECT_EQ(manager.get_pool_stats().fallbacks, 0u);
}

TEST_F(DevicePlacement, AModelLargerThanTheGpuIsRefusedAtOnceOrGoesToTheCpu) {
  BusyMachine& busy = machine({20 << 20});
  busy.change([](DescribedMachine& described) { described.gpu(0).memory_total = 20 << 20; });
  EmbeddingModelManager requires_gpu(automatic(1, Fallback::kRequire));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT([&] { requires_gpu.acquire(); },
              ThrowsMessage<OutOfMemory>(AllOf(HasSubstr("bytes of weights"), HasSubstr("20971520 bytes available"),
                                               HasSubstr("use a smaller precision, or set fallback"))));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5)) << "there is nothing to wait for";
  EmbeddingModelManager prefers(automatic(1));
  EXPECT_EQ(prefers.embed_text("A horse.").size(), 384u);
  EXPECT_EQ(prefers.get_pool_stats().by_device, (ByDevice{{"cpu", 1}}));
}

TEST_F(DevicePlacement, AGpuWithOneHundredMegabytesFreeTakesWhatFits) {
  machine({100'000'000});
  EmbeddingModelManager manager(automatic(2));
  EXPECT_EQ(manager.embed_text("A horse.").size(), 384u);
  EXPECT_EQ(manager.get_pool_stats().by_device, (ByDevice{{"cuda:0", 1}}));
  Settings settings = automatic(2);
  settings.gpu_use_fp16 = false;  // Twice as large.
  EmbeddingModelManager larger(settings);
  EXPECT_EQ(larger.embed_text("A horse.").size(), 384u);
  EXPECT_EQ(larger.get_pool_stats().by_device, (ByDevice{{"cpu", 1}}));
}

TEST_F(DevicePlacement, IdleModelsOfOthersMakeRoomOnAGpuBeforeTheCpuIsTaken) {
  machine({170'000'000});
  Settings settings = automatic(1);
  EmbeddingModelManager half(settings);
  settings.gpu_use_fp16 = false;
  EmbeddingModelManager full(settings);
  EXPECT_EQ(half.acquire()->metadata().device, "cuda:0");
  {
    const auto in_use = half.acquire();
    EXPECT_EQ(full.acquire()->metadata().device, "cpu") << "not what is in use";
    full.cleanup();
  }
  std::this_thread::sleep_for(2 * kSoon);  // What was used just now stays.
  EXPECT_EQ(full.acquire()->metadata().device, "cuda:0");
  EXPECT_EQ(half.get_pool_stats().evicted, 1u);
  EXPECT_EQ(MemoryBudget::of("cuda:0").stats().models, 1);
}

TEST_F(DevicePlacement, WhatFellBackReturnsWhenThereIsRoom) {
  BusyMachine& busy = machine({1});
  EmbeddingModelManager manager(automatic(1));
  EXPECT_EQ(manager.acquire()->metadata().device, "cpu");
  busy.change([](DescribedMachine& described) { described.gpu(0).memory_available = 8 * kGiB; });
  EXPECT_EQ(manager.acquire()->metadata().device, "cpu") << "it is looked at once a second";
  std::this_thread::sleep_for(Placement::kAvoided + kSoon);
  EXPECT_EQ(manager.acquire()->metadata().device, "cpu");
  EXPECT_EQ(manager.acquire()->metadata().device, "cuda:0");
  EXPECT_EQ(manager.get_pool_stats().fallbacks, 1u);
}

TEST_F(DevicePlacement, ALostGpuTakesTheIdleInstancesOfAllManagersAndNobodyElses) {
  const LoggedLines logged;
  BusyMachine& busy = machine({8 * kGiB, 4 * kGiB});
  Settings settings = automatic(2);
  EmbeddingModelManager embedder(settings);
  SummarizationModelManager summarizer(settings);
  settings.device = "cuda:1";
  EmbeddingModelManager elsewhere(settings);
  const uint64_t there = elsewhere.acquire()->metadata().id;
  summarizer.warm_up();
  auto lease = std::make_unique<Lease<EmbeddingInstance>>(embedder.acquire());
  embedder.acquire();
  EXPECT_EQ(embedder.get_pool_stats().by_device, (ByDevice{{"cuda:0", 2}}));

  busy.change([](DescribedMachine& described) {
    described.gpu(0).problem = "it fell off the bus";
    described.gpu(0).is_lost = true;
  });
  const ProcessSnapshot found = snapshot();  // Whoever looks finds out.
  EXPECT_EQ(embedder.get_pool_stats().by_device, (ByDevice{{"cuda:0", 1}})) << "what is on lease";
  EXPECT_EQ(embedder.get_pool_stats().lost, 1u);
  EXPECT_EQ(summarizer.get_pool_stats().lost, 1u);
  EXPECT_EQ(summarizer.get_pool_stats().total, 0);
  lease.reset();
  EXPECT_EQ(embedder.get_pool_stats().lost, 2u);
  EXPECT_EQ(MemoryBudget::of("cuda:0").stats().models, 0) << "its weights are gone";
  EXPECT_EQ(elsewhere.acquire()->metadata().id, there);
  EXPECT_EQ(embedder.acquire()->metadata().device, "cuda:1");
  EXPECT_EQ(embedder.embed_text("A horse.").size(), 384u);
  EXPECT_EQ(embedder.get_pool_stats().fallbacks, 0u);
  EXPECT_EQ(logged.all(),
            std::vector<std::string>{"cuda:0 is lost to this process, and all that was on it: it fell off the bus"});
  settings.device = "cuda:0";
  EXPECT_THAT([&] { EmbeddingModelManager demanding(settings); },
              ThrowsMessage<DeviceError>(HasSubstr("cuda:0 can't be used: it fell off the bus; it is lost")));
}

TEST_F(DevicePlacement, WhoDemandsAGpuThatIsLostGetsTheErrorThatSaysWhy) {
  BusyMachine& busy = machine({8 * kGiB, 8 * kGiB});
  Settings settings = automatic(1);
  settings.device = "cuda:0";
  EmbeddingModelManager manager(settings);
  auto lease = std::make_unique<Lease<EmbeddingInstance>>(manager.acquire());
  std::jthread waiter([&manager] {
    EXPECT_THAT([&] { manager.acquire({.timeout = std::chrono::seconds(20)}); },
                ThrowsMessage<DeviceError>(HasSubstr("it fell off the bus")));
  });
  while (manager.waiting() == 0) std::this_thread::yield();
  busy.change([](DescribedMachine& described) {
    described.gpu(0).problem = "it fell off the bus";
    described.gpu(0).is_lost = true;
  });
  lease.reset();
  waiter.join();
  EXPECT_THAT([&] { manager.embed_text("A horse."); }, ThrowsMessage<DeviceError>(HasSubstr("it fell off the bus")));
}

TEST_F(DevicePlacement, AGpuThatFailsLosesItsInstances) {
  BusyMachine& busy = machine({8 * kGiB, 4 * kGiB});
  EmbeddingModelManager manager(automatic(2));
  {
    const auto leases = lease(manager, 1);
    EXPECT_EQ(leases[0]->metadata().device, "cuda:0");
    busy.change([](DescribedMachine& described) { described.gpu(0).problem = "fell off the bus"; });
  }
  EXPECT_EQ(manager.get_pool_stats().available, 0) << "not pooled again";
  EXPECT_EQ(manager.acquire()->metadata().device, "cuda:1");
  busy.change([](DescribedMachine& described) { described.gpu(1).problem = "too hot"; });
  manager.cleanup();
  EXPECT_EQ(manager.acquire()->metadata().device, "cpu");
  EXPECT_EQ(manager.get_pool_stats().fallbacks, 1u);
}

}  // namespace
}  // namespace remuda
