// Managers, snapshots and the memory of GPUs that a backend describes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/gpu_arena.h"
#include "manager/gpu_test_support.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/error.h"
#include "remuda/snapshot.h"

namespace remuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::ThrowsMessage;

using GpuMemory = GpuTest;

TEST_F(GpuMemory, IsInSnapshotsOnceAnybodyLooked) {
  EXPECT_THAT(snapshot().devices, SizeIs(1)) << "a snapshot starts no driver";
  GpuArena arena(backend_, 0, MemoryBudget::of("cuda:0"));
  GpuStream stream(backend_, 0);
  const GpuArena::Block block = arena.allocate(3 * kMiB, stream, "test");
  gpus_.gpus[0].taken_by_others = 1000 * kMiB;

  const std::vector<DeviceSnapshot> gpus = gpu_memory();
  ASSERT_THAT(gpus, SizeIs(1));
  EXPECT_EQ(gpus[0].id, "cuda:0");
  EXPECT_EQ(gpus[0].memory_total, 4096 * kMiB);
  EXPECT_EQ(gpus[0].memory_available, 3092 * kMiB);
  EXPECT_EQ(gpus[0].memory_allocated, 3 * kMiB);
  EXPECT_EQ(gpus[0].memory_reserved, 4 * kMiB);
  const std::vector<DeviceSnapshot> devices = snapshot().devices;
  ASSERT_THAT(devices, SizeIs(2));
  EXPECT_EQ(devices[0].memory_reserved, 0u);
  EXPECT_EQ(devices[1].memory_reserved, 4 * kMiB);
}

TEST_F(GpuMemory, GoesBackToTheDriverWithTheModel) {
  GpuArena arena(backend_, 0, MemoryBudget::of("cuda:0"));
  GpuStream stream(backend_, 0);
  EmbeddingModelManager manager(on_a_gpu());
  EXPECT_EQ(manager.acquire()->metadata().device, "cuda:0");
  const uint64_t weights = gpus_.gpus[0].reserved;
  EXPECT_GT(weights, 40 * kMiB);
  arena.allocate(100 * kMiB, stream, "a computation").release();
  stream.synchronize();
  EXPECT_EQ(gpus_.gpus[0].reserved, weights + 100 * kMiB) << "kept for the next";
  EXPECT_TRUE(manager.cleanup());
  EXPECT_EQ(gpus_.gpus[0].reserved, 0u);
  EXPECT_EQ(MemoryBudget::of("cuda:0").stats().used, 0u);
}

TEST_F(GpuMemory, WithoutAGpuTheErrorSaysWhy) {
  gpus_.start_status = cuda::Status::kDriverTooOld;
  std::snprintf(gpus_.start_message, sizeof gpus_.start_message, "the driver is too old");
  EXPECT_THAT([] { EmbeddingModelManager{on_a_gpu()}; },
              ThrowsMessage<Error>(AllOf(HasSubstr("a GPU is demanded"), HasSubstr("the driver is too old"))));
  EXPECT_THAT(gpu_memory(), IsEmpty());
  EXPECT_THAT([] { GpuArena::of("cuda:9"); }, ThrowsMessage<Error>(HasSubstr("there is no GPU cuda:9")));
}

TEST_F(GpuMemory, AnInstanceOfALostGpuIsNotPooledAgain) {
  EmbeddingModelManager manager(on_a_gpu());
  {
    const auto lease = manager.acquire();
    gpus_.gpus[0].is_lost = true;
  }
  EXPECT_EQ(manager.get_pool_stats().available, 0);
  EXPECT_THAT([&] { manager.acquire(); }, ThrowsMessage<Error>(HasSubstr("cuda:0 can't be used: it fell off the bus")));
  EXPECT_THAT(gpu_memory().at(0).problem, HasSubstr("fell off"));
}

}  // namespace
}  // namespace remuda
