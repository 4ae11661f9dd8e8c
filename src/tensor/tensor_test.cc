#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tensor/float16.h"
#include "tensor/workspace.h"

namespace remuda {
namespace {

TEST(Float16, EveryHalfIsItsDefinition) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int sign = (bits >> 15) != 0 ? -1 : 1;
    const int exponent = static_cast<int>((bits >> 10) & 0x1f);
    const int fraction = static_cast<int>(bits & 0x3ff);
    const float found = f16_to_float(static_cast<uint16_t>(bits));
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(found), fraction != 0);
      const float infinity = static_cast<float>(sign) * std::numeric_limits<float>::infinity();
      EXPECT_TRUE(fraction != 0 || found == infinity);
      continue;
    }
    const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    EXPECT_EQ(static_cast<double>(found), sign * magnitude) << bits;
    EXPECT_EQ(std::signbit(found), sign < 0);
  }
}

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(float_to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(float_to_bf16(1.00390625f), 0x3f80);  // Half way, to even.
  EXPECT_EQ(float_to_bf16(1.01171875f), 0x3f82);  // Half way, to even.
  EXPECT_EQ(float_to_bf16(1.0039064f), 0x3f81);   // Just above half way.
  EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = bf16_to_float(static_cast<uint16_t>(bits));
    EXPECT_TRUE(std::isnan(value) || float_to_bf16(value) == bits);
  }
}

TEST(Float16, RoundsToNearestEven) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    // Between two halves the nearer one, and half way between them the even one.
    const float low = f16_to_float(static_cast<uint16_t>(bits));
    const float high = bits == 0x7bff ? 65536.0f : f16_to_float(static_cast<uint16_t>(bits + 1));
    const float middle = low + (high - low) / 2;
    for (const uint32_t sign : {0u, 0x8000u}) {
      const float s = sign == 0 ? 1.0f : -1.0f;
      EXPECT_EQ(float_to_f16(s * low), bits | sign);
      EXPECT_EQ(float_to_f16(s * std::nextafter(middle, 0.0f)), bits | sign);
      EXPECT_EQ(float_to_f16(s * middle), (bits % 2 == 0 ? bits : bits + 1) | sign);
      EXPECT_EQ(float_to_f16(s * std::nextafter(middle, 1e6f)), (bits + 1) | sign);
    }
  }
  EXPECT_EQ(float_to_f16(1e-30f), 0);
  EXPECT_EQ(float_to_f16(std::numeric_limits<float>::infinity()), 0x7c00);
  EXPECT_EQ(float_to_f16(-std::numeric_limits<float>::max()), 0xfc00);
  EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(TensorView, ConvertsFromUnalignedMemory) {
  const std::vector<uint16_t> halves = {0x3c00, 0xc000, 0x3800};  // 1, -2, 0.5
  std::vector<std::byte> memory(7);
  std::memcpy(memory.data() + 1, halves.data(), 6);
  const TensorView view{DType::kF16, {3}, memory.data() + 1};
  const FloatTensor tensor = FloatTensor::from(view);
  EXPECT_EQ(std::vector<float>(tensor.data(), tensor.data() + 3), (std::vector<float>{1.0f, -2.0f, 0.5f}));
  EXPECT_EQ(view.at(1), -2.0f);
}

TEST(Shape, Prints) {
  EXPECT_EQ(to_string(Shape{30522, 384}), "[30522, 384]");
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({3, 0, 5}), 0);
}

TEST(DType, NamesAreInverse) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64, DType::kI8, DType::kU8, DType::kI16,
                            DType::kI32, DType::kI64, DType::kBool}) {
    EXPECT_EQ(parse_dtype(to_string(dtype)), dtype);
  }
  EXPECT_EQ(parse_dtype("F8"), std::nullopt);
}

TEST(WorkspaceArena, GivesTheSameMemoryOutAgain) {
  WorkspaceArena arena;
  const float* first = nullptr;
  {
    Workspace workspace = arena.acquire(1 << 20);
    first = workspace.matrix(16, 16).data;
    EXPECT_EQ(arena.idle_bytes(), 0u);
  }
  EXPECT_EQ(arena.idle_bytes(), size_t{1} << 20);
  Workspace workspace = arena.acquire(1 << 19);
  EXPECT_EQ(workspace.matrix(1, 1).data, first);
}

TEST(Workspace, RowsAPowerOfTwoApartWouldShareTheirPlacesInACache) {
  WorkspaceArena arena;
  Workspace workspace = arena.acquire(Workspace::matrix_bytes(12, 1024) + Workspace::matrix_bytes(12, 384) +
                                      Workspace::matrix_bytes(1, 1024));
  EXPECT_EQ(workspace.matrix(12, 1024).stride, 1024 + 16);
  EXPECT_EQ(workspace.matrix(12, 384).stride, 384);
  EXPECT_EQ(workspace.matrix(1, 1024).stride, 1024);
}

TEST(WorkspaceArena, ALargerBlockTakesAnIdleOnesPlace) {
  WorkspaceArena arena;
  for (size_t size = 1 << 12; size <= 1 << 20; size *= 2) arena.acquire(size);
  EXPECT_EQ(arena.idle_bytes(), size_t{1} << 20);
  arena.trim();
  EXPECT_EQ(arena.idle_bytes(), 0u);
}

TEST(WorkspaceArena, ALargeBlockIsKeptForWhoNeedsIt) {
  WorkspaceArena arena;
  arena.acquire(1 << 20);
  const Workspace small = arena.acquire(1 << 12);
  EXPECT_EQ(arena.idle_bytes(), size_t{1} << 20);
  arena.acquire(1 << 20);
  EXPECT_EQ(arena.idle_bytes(), size_t{1} << 20);
}

TEST(WorkspaceArena, KeepsNoMoreThanItsBound) {
  WorkspaceArena arena;
  {
    Workspace a = arena.acquire(WorkspaceArena::kMaxIdleBytes);
    Workspace b = arena.acquire(WorkspaceArena::kMaxIdleBytes);
  }
  EXPECT_EQ(arena.idle_bytes(), WorkspaceArena::kMaxIdleBytes);
}

TEST(Workspace, MatricesDoNotOverlap) {
  WorkspaceArena arena;
  Workspace workspace = arena.acquire(Workspace::matrix_bytes(3, 5) + Workspace::matrix_bytes(2, 7));
  const MatrixView<float> a = workspace.matrix(3, 5);
  const MatrixView<float> b = workspace.matrix(2, 7);
  EXPECT_GE(b.data, a.data + 15);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b.data) % 64, 0u);
}

}  // namespace
}  // namespace remuda
