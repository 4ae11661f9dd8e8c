#include "base/activations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace remuda {
namespace {

using ::testing::HasSubstr;

TEST(Activations, AreFoundByTransformersNames) {
  for (const char* name : {"gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate"}) {
    EXPECT_EQ(activation_by_name(name), ActivationFunction::kGeluTanh) << name;
  }
  EXPECT_EQ(activation_by_name("gelu_python"), ActivationFunction::kGelu);
  EXPECT_EQ(activation_by_name("swish"), ActivationFunction::kSilu);
  EXPECT_EQ(activation_by_name("linear"), ActivationFunction::kIdentity);
  for (const char* name : {"", "prelu", "GELU", "xielu"}) EXPECT_EQ(activation_by_name(name), std::nullopt) << name;
}

TEST(Activations, AreFoundByTorchClasses) {
  EXPECT_EQ(activation_by_torch_class("CELU"), ActivationFunction::kElu);
  EXPECT_EQ(activation_by_torch_class("Identity"), ActivationFunction::kIdentity);
  for (const char* name : {"", "gelu", "GLU", "Softmax"})
    EXPECT_EQ(activation_by_torch_class(name), std::nullopt) << name;
}

TEST(Activations, HaveOneNameEach) {
  EXPECT_EQ(name_of(ActivationFunction::kGeluTanh), "gelu_new");
  EXPECT_EQ(name_of(ActivationFunction::kElu), "ELU");
  EXPECT_THAT(known_activation_names(), HasSubstr("gelu, gelu_python, gelu_new"));
  EXPECT_THAT(known_torch_activations(), HasSubstr("Identity, GELU, ReLU"));
}

}  // namespace
}  // namespace remuda
