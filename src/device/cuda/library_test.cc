// The library as users have it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/gpu_backend.h"
#include "device/gpu_devices.h"

namespace remuda {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

TEST(CudaLibrary, SaysWhatThereIsOrWhatIsMissing) {
  const GpuBackend backend = open_gpu_backend(REMUDA_CUDA_LIBRARY);
  ASSERT_NE(backend.table, nullptr) << backend.problem;
  EXPECT_THAT(backend.table->build, AllOf(HasSubstr("CUDA 1"), HasSubstr("sm_80"), HasSubstr("sm_90")));

  int32_t count = 0;
  cuda::Message message = {};
  const cuda::Status status = backend.table->start(&count, &message);
  cuda::DeviceInfo info = {};
  EXPECT_EQ(backend.table->describe(count, &info, &message), cuda::Status::kInvalidArgument)
      << "one more than there are";
  uint64_t free = 0, total = 0;
  EXPECT_EQ(backend.table->memory(count, &free, &total, &message), cuda::Status::kInvalidArgument);
  cuda::Stream* stream = nullptr;
  EXPECT_EQ(backend.table->make_stream(count, &stream, &message), cuda::Status::kInvalidArgument);
  EXPECT_EQ(stream, nullptr);

  GpuDevices gpus(backend);
  EXPECT_EQ(std::ssize(gpus.devices()), count);
  if (status == cuda::Status::kOk) {
    EXPECT_GT(count, 0);
    EXPECT_EQ(gpus.problem(), "");
  } else {
    EXPECT_THAT(status, AnyOf(cuda::Status::kNoDriver, cuda::Status::kDriverTooOld, cuda::Status::kNoDevice));
    EXPECT_THAT(gpus.problem(), HasSubstr("driver"));
  }
}

}  // namespace
}  // namespace remuda
