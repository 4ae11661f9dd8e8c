#include "kernels/isa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "remuda/error.h"

namespace remuda::kernels {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::vector<Isa> kAll = {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Vnni, Isa::kAvx512Bf16};

TEST(Isa, HasANameEach) {
  std::string names;
  for (const Isa isa : kAll) names.append(to_string(isa)).append(" ");
  EXPECT_EQ(names, "generic avx2 avx512 avx512_vnni avx512_bf16 ");
}

TEST(Isa, AvailableOnesAreTheFirstOfAll) {
  const std::vector<Isa> available = available_isas();
  ASSERT_FALSE(available.empty());
  ASSERT_LE(available.size(), kAll.size());
  EXPECT_TRUE(std::equal(available.begin(), available.end(), kAll.begin()));
}

TEST(Isa, TheBestIsChosenUnlessOneIsWanted) {
  const std::vector<Isa> available = {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512};
  EXPECT_EQ(choose_isa(nullptr, available), Isa::kAvx512);
  EXPECT_EQ(choose_isa("", available), Isa::kAvx512);
  for (const Isa isa : available) EXPECT_EQ(choose_isa(std::string(to_string(isa)).c_str(), available), isa);
}

std::string complaint_about(const char* wanted) {
  try {
    choose_isa(wanted, {Isa::kGeneric, Isa::kAvx2});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "none";
}

TEST(Isa, ComplainsAboutWhatTheMachineLacksOrNobodyHas) {
  const auto lists_choices = AllOf(HasSubstr("REMUDA_ISA"), HasSubstr("generic, avx2"));
  EXPECT_THAT(complaint_about("avx512"), AllOf(lists_choices, HasSubstr("\"avx512\", which this machine lacks")));
  EXPECT_THAT(complaint_about("mmx"), AllOf(lists_choices, HasSubstr("\"mmx\""), Not(HasSubstr("lacks"))));
  EXPECT_THAT(complaint_about("AVX2"), AllOf(lists_choices, Not(HasSubstr("lacks"))));
}

// In a process of its own: the choice is made once.
void use_isa_of_environment(const char* wanted) {
  setenv("REMUDA_ISA", wanted, 1);
  try {
    std::fprintf(stderr, "active: %s", std::string(to_string(active_isa())).c_str());
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s", error.what());
  }
  std::_Exit(0);
}

TEST(IsaDeathTest, TheEnvironmentNamesTheActiveOne) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(use_isa_of_environment("generic"), testing::ExitedWithCode(0), "active: generic");
  EXPECT_EXIT(use_isa_of_environment("mmx"), testing::ExitedWithCode(0), "error: REMUDA_ISA: expected one of generic");
}

}  // namespace
}  // namespace remuda::kernels
