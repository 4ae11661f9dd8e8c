#include "device/gpu_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/scratch_directory.h"
#include "device/gpu_devices.h"
#include "device/testing/test_libraries.h"

namespace remuda {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

void expect_problem(const std::filesystem::path& file, const char* problem) {
  const GpuBackend backend = open_gpu_backend(file);
  EXPECT_EQ(backend.table, nullptr);
  EXPECT_EQ(backend.file, file);
  EXPECT_THAT(backend.problem, AllOf(HasSubstr(file.string()), HasSubstr(problem)));
  GpuDevices gpus(backend);
  EXPECT_THAT(gpus.devices(), IsEmpty());
  EXPECT_EQ(gpus.problem(), backend.problem);
}

TEST(GpuBackend, NoFile) { expect_problem("/nowhere/libremuda_cuda.so", "No such file"); }

TEST(GpuBackend, AFileThatIsNoLibrary) {
  const ScratchDirectory scratch;
  expect_problem(scratch.write("text.so", "This is a text, and no library at all."), "can't be loaded");
  expect_problem(scratch.write("empty.so", ""), "can't be loaded");
}

TEST(GpuBackend, ALibraryThatIsCutShort) {
  const ScratchDirectory scratch;
  const std::filesystem::path whole = test_library("described_backend");
  const uint64_t bytes = std::filesystem::file_size(whole);
  for (const uint64_t kept : {uint64_t{20}, uint64_t{64}, uint64_t{4096}, bytes / 2, bytes - 1}) {
    const std::filesystem::path part = scratch.path() / (std::to_string(kept) + ".so");
    std::filesystem::copy_file(whole, part);
    std::filesystem::resize_file(part, kept);
    expect_problem(part, "can't be loaded");
  }
}

TEST(GpuBackend, ALibraryOfSomethingElse) {
  expect_problem(test_library("no_backend"), "it has no remuda_cuda_backend");
}

TEST(GpuBackend, ALibraryOfAnotherVersion) {
  const std::string wanted = "this needs " + std::to_string(cuda::kAbiVersion);
  expect_problem(test_library("other_version"), wanted.c_str());
}

TEST(GpuBackend, OneThatFits) {
  const GpuBackend backend = open_gpu_backend(test_library("described_backend"));
  ASSERT_NE(backend.table, nullptr) << backend.problem;
  EXPECT_EQ(backend.problem, "");
  EXPECT_STREQ(backend.table->build, "described GPUs");
}

TEST(GpuBackend, IsLookedForBesideTheProgramUnlessItIsNamed) {
  const char* const set = getenv("REMUDA_CUDA_LIBRARY");
  const std::string before = set == nullptr ? "" : set;
  setenv("REMUDA_CUDA_LIBRARY", "/named/library.so", 1);
  EXPECT_THAT(gpu_backend_files(), ElementsAre("/named/library.so"));
  unsetenv("REMUDA_CUDA_LIBRARY");
  const auto here = std::filesystem::canonical("/proc/self/exe").parent_path();
  EXPECT_THAT(gpu_backend_files(),
              ElementsAre(here / "libremuda_cuda.so", here.parent_path() / "lib" / "remuda" / "libremuda_cuda.so"));
  if (!before.empty()) setenv("REMUDA_CUDA_LIBRARY", before.c_str(), 1);
}

}  // namespace
}  // namespace remuda
