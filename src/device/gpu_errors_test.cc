#include "device/gpu_errors.h"

#include <gtest/gtest.h>

#include "remuda/error.h"

namespace remuda {
namespace {

template <typename Thrown>
bool of_gpu(const Thrown& error) {
  return is_of_gpu(std::make_exception_ptr(error));
}

TEST(GpuErrors, AreTheGpusOrTheWorks) {
  EXPECT_TRUE(of_gpu(OutOfMemory("no room", "cuda:0")));
  EXPECT_TRUE(of_gpu(DeviceError("cuda:0", /*is_lost=*/true, "it fell off the bus")));
  EXPECT_TRUE(of_gpu(DeviceError("cuda:0", /*is_lost=*/false, "it failed")));
  EXPECT_FALSE(of_gpu(OutOfMemory("main memory", "cpu")));
  EXPECT_FALSE(of_gpu(OutOfMemory("no instance")));
  EXPECT_FALSE(of_gpu(Error(ErrorCode::kInvalidFile, "a file")));
  EXPECT_FALSE(of_gpu(1));
}

}  // namespace
}  // namespace remuda
