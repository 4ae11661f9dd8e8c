#include "models/gpu_models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/testing/test_libraries.h"
#include "remuda/error.h"

namespace remuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(GpuModels, AreThoseOfTheLibrary) {
  const GpuBackend backend = open_gpu_backend(test_library("remuda_cuda_on_host"));
  EXPECT_EQ(models::models_of(backend).abi_version, cuda::kModelsAbiVersion);
}

TEST(GpuModels, ALibraryWithoutThemSaysSo) {
  const GpuBackend backend = open_gpu_backend(test_library("described_backend"));
  EXPECT_THAT([&] { models::models_of(backend); },
              ThrowsMessage<Error>(HasSubstr("libdescribed_backend.so has no models for GPUs")));
}

TEST(GpuModels, ThoseOfAnotherVersionAreNotUsed) {
  const GpuBackend backend = open_gpu_backend(test_library("other_models"));
  EXPECT_THAT([&] { models::models_of(backend); },
              ThrowsMessage<Error>(AllOf(HasSubstr("is of another remuda"),
                                         HasSubstr("this needs " + std::to_string(cuda::kModelsAbiVersion)))));
}

TEST(GpuModels, WithoutALibraryThereIsAReason) {
  const GpuBackend backend = open_gpu_backend("/nowhere/library.so");
  EXPECT_THAT([&] { models::models_of(backend); }, ThrowsMessage<Error>(HasSubstr("/nowhere/library.so")));
}

}  // namespace
}  // namespace remuda
