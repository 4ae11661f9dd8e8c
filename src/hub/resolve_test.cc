#include "hub/resolve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/scratch_directory.h"
#include "remuda/error.h"

namespace remuda::hub {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Every place that resolve_model looks at stands in one directory of the test's own.
class ResolveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"HF_HOME", "HF_HUB_CACHE"}) unsetenv(name);
    setenv("HOME", (path_.path() / "home").c_str(), 1);
    setenv("XDG_DATA_HOME", (path_.path() / "data").c_str(), 1);
    setenv("REMUDA_MODELS_DIR", (path_.path() / "models").c_str(), 1);
  }

  fs::path make_model(const fs::path& directory) {
    fs::create_directories(directory);
    std::ofstream(directory / "config.json") << "{}";
    return directory;
  }
  fs::path make_cached(const fs::path& hub) {
    const fs::path model = hub / "models--some-org--some-model";
    make_model(model / "snapshots" / "old");
    fs::create_directories(model / "refs");
    std::ofstream(model / "refs" / "main") << "new\n";
    return make_model(model / "snapshots" / "new");
  }

  const ScratchDirectory path_;
};

TEST_F(ResolveTest, TakesADirectoryAsItIs) { EXPECT_EQ(resolve_model(path_.path().string()), path_.path()); }

TEST_F(ResolveTest, FindsAModelByItsNameOrItsLastPart) {
  const fs::path model = make_model(path_.path() / "models" / "tiny-model");
  EXPECT_EQ(resolve_model("tiny-model"), model);
  EXPECT_EQ(resolve_model("some-org/tiny-model"), model);
  const fs::path installed = make_model(path_.path() / "data" / "remuda" / "models" / "installed");
  EXPECT_EQ(resolve_model("installed"), installed);
}

TEST_F(ResolveTest, FollowsRefsMainInEachOfTheCachesPlaces) {
  const fs::path of_home = make_cached(path_.path() / "home" / ".cache" / "huggingface" / "hub");
  EXPECT_EQ(resolve_model("some-org/some-model"), of_home);
  setenv("HF_HOME", (path_.path() / "hf").c_str(), 1);
  EXPECT_THROW(resolve_model("some-org/some-model"), Error);
  const fs::path of_hf_home = make_cached(path_.path() / "hf" / "hub");
  EXPECT_EQ(resolve_model("some-org/some-model"), of_hf_home);
  setenv("HF_HUB_CACHE", (path_.path() / "cache").c_str(), 1);
  EXPECT_THROW(resolve_model("some-org/some-model"), Error);
  const fs::path of_cache = make_cached(path_.path() / "cache");
  EXPECT_EQ(resolve_model("some-org/some-model"), of_cache);
}

TEST_F(ResolveTest, SaysWhereItLookedAndWhatToDo) {
  try {
    resolve_model("no-org/no-model");
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    for (const std::string& part : {std::string("\"no-org/no-model\""), (path_.path() / "models" / "no-model").string(),
                                    (path_.path() / "data" / "remuda" / "models").string(),
                                    std::string("models--no-org--no-model"), std::string("scripts/fetch_model.sh")}) {
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }
}

TEST_F(ResolveTest, SaysThatAFileIsNoModel) {
  const fs::path file = path_.path() / "model.safetensors";
  std::ofstream(file) << "weights";
  try {
    resolve_model(file.string());
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.what(), HasSubstr("found a file; give the directory it is in"));
  }
}

TEST_F(ResolveTest, NamesThatNoFileCanHaveAreNotFound) {
  for (const std::string& name : {std::string(300, 'a'), std::string(5000, 'b'), "/" + std::string(300, 'c')}) {
    try {
      resolve_model(name);
      ADD_FAILURE() << "expected an error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kNotFound) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(name));
    }
  }
}

TEST_F(ResolveTest, NeverLeavesTheModelsDirectories) {
  make_model(path_.path() / "secret");
  fs::create_directories(path_.path() / "models");
  for (const char* name : {"../secret", "org/../../secret", ""}) EXPECT_THROW(resolve_model(name), Error) << name;
}

}  // namespace
}  // namespace remuda::hub
