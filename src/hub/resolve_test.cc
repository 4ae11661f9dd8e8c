#include "hub/resolve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/scratch_directory.h"
#include "remuda/error.h"

namespace remuda::hub {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

// Every place that resolve_model looks at stands in one directory of the test's own.
class ResolveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "SENTENCE_TRANSFORMERS_HOME"}) {
      unsetenv(name);
    }
    setenv("HOME", (path_.path() / "home").c_str(), 1);
    setenv("XDG_DATA_HOME", (path_.path() / "data").c_str(), 1);
    setenv("REMUDA_MODELS_DIR", (path_.path() / "models").c_str(), 1);
  }

  fs::path make_model(const fs::path& directory) {
    fs::create_directories(directory);
    std::ofstream(directory / "config.json") << "{}";
    std::ofstream(directory / "model.safetensors") << "weights";
    return directory;
  }
  // What resolve_model() says; empty: it found a model.
  std::string error_of(const std::string& name, Needs needs = Needs::kWeights) {
    try {
      resolve_model(name, needs);
      return {};
    } catch (const Error& error) {
      return error.what();
    }
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

TEST_F(ResolveTest, FindsAModelByItsNameBelowTheModelsDirectories) {
  const fs::path model = make_model(path_.path() / "models" / "tiny-model");
  EXPECT_EQ(resolve_model("tiny-model"), model);
  const fs::path installed = make_model(path_.path() / "data" / "remuda" / "models" / "installed");
  EXPECT_EQ(resolve_model("installed"), installed);
  const fs::path of_org = make_model(path_.path() / "models" / "some-org" / "tiny-model");
  EXPECT_EQ(resolve_model("some-org/tiny-model"), of_org);
}

TEST_F(ResolveTest, TheOrganisationAlwaysCounts) {
  const fs::path tiny = make_model(path_.path() / "models" / "tiny-model");
  const fs::path bundled = make_model(path_.path() / "models" / "all-MiniLM-L6-v2");
  for (const char* name :
       {"some-org/tiny-model", "sentence-transformers/tiny-model", "nobody/all-MiniLM-L6-v2", "~/nope/all-MiniLM-L6-v2",
        "./tiny-model", "/nope/tiny-model", "a/b/tiny-model", "nope/all-MiniLM-L6-v2/"}) {
    EXPECT_THAT(error_of(name), HasSubstr("expected a model directory, found none")) << name;
  }
  EXPECT_EQ(resolve_model("all-MiniLM-L6-v2"), bundled);
  EXPECT_EQ(resolve_model("sentence-transformers/all-MiniLM-L6-v2"), bundled);
  EXPECT_EQ(resolve_model("sentence-transformers/all-MiniLM-L6-v2@main"), bundled);
  EXPECT_NE(error_of("sentence-transformers/all-MiniLM-L6-v2@v2"), "");
}

TEST_F(ResolveTest, ANameWithoutAnOrganisationIsSentenceTransformers) {
  setenv("HF_HUB_CACHE", (path_.path() / "cache").c_str(), 1);
  fs::create_directories(path_.path() / "models");
  const fs::path legacy = make_model(path_.path() / "cache" / "models--bert-base-uncased" / "snapshots" / "aaaaa");
  EXPECT_EQ(resolve_model("bert-base-uncased"), legacy);
  make_model(path_.path() / "cache" / "models--other--paraphrase" / "snapshots" / "aaaaa");
  EXPECT_NE(error_of("paraphrase"), "");
  const fs::path own =
      make_model(path_.path() / "cache" / "models--sentence-transformers--paraphrase" / "snapshots" / "aaaaa");
  EXPECT_EQ(resolve_model("paraphrase"), own);
}

TEST_F(ResolveTest, ExpandsTheHomeDirectory) {
  const fs::path model = make_model(path_.path() / "home" / "my" / "model");
  EXPECT_EQ(resolve_model("~/my/model"), model);
  EXPECT_EQ(resolve_model("~/my/model/"), model);
  EXPECT_THAT(error_of("~/my/modle"), HasSubstr("Did you mean \"" + model.string() + "\"?"));
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

TEST_F(ResolveTest, SaysWhereItLookedOnceShortestFirstAndWhatToDo) {
  fs::create_directories(path_.path() / "models");
  fs::create_symlink(path_.path() / "models", path_.path() / "a-second-name-of-models");
  setenv("REMUDA_MODELS_DIR", (path_.path() / "a-second-name-of-models").c_str(), 1);
  setenv("XDG_DATA_HOME", (path_.path() / "data").c_str(), 1);
  fs::create_directories(path_.path() / "data" / "remuda");
  fs::create_symlink(path_.path() / "models", path_.path() / "data" / "remuda" / "models");
  const std::string error = error_of("no-org/no-model");
  EXPECT_THAT(error, HasSubstr("model \"no-org/no-model\": expected a model directory, found none at\n"));
  EXPECT_THAT(error, HasSubstr("hf download no-org/no-model"));
  EXPECT_THAT(error, HasSubstr("models--no-org--no-model"));
  EXPECT_THAT(error, HasSubstr((path_.path() / "data/remuda/models/no-org/no-model").string()));
  EXPECT_THAT(error, Not(HasSubstr("a-second-name-of-models")));  // The same place under a longer name.
  std::vector<size_t> lengths;
  for (size_t at = 0; (at = error.find("\n  ", at)) != std::string::npos; ++at) {
    lengths.push_back(error.find('\n', at + 1) - at);
  }
  EXPECT_GE(lengths.size(), 3U);
  EXPECT_TRUE(std::ranges::is_sorted(lengths)) << error;
  EXPECT_THAT(error_of("x/y@v3"), HasSubstr("hf download x/y --revision v3"));
  EXPECT_THAT(error_of("x-y-z"), HasSubstr("hf download sentence-transformers/x-y-z"));
}

TEST_F(ResolveTest, SuggestsModelsThatAreThere) {
  setenv("HF_HUB_CACHE", (path_.path() / "cache").c_str(), 1);
  make_model(path_.path() / "models" / "all-MiniLM-L6-v2");
  make_model(path_.path() / "models" / "my-org" / "my-model");
  make_model(path_.path() / "cache" / "models--facebook--bart-large-cnn" / "snapshots" / "aaaaa");
  for (const auto& [wrong, meant] : std::initializer_list<std::pair<std::string, std::string>>{
           {"nobody/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"},
           {"all-minilm-l6-v3", "sentence-transformers/all-MiniLM-L6-v2"},
           {"~/nope/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"},
           {"my-org/my-modle", "my-org/my-model"},
           {"bart-large-cnn", "facebook/bart-large-cnn"},
           {"facebook/bart-large-cnm/", "facebook/bart-large-cnn"}}) {
    EXPECT_THAT(error_of(wrong), HasSubstr("Did you mean \"" + meant + "\"?")) << wrong;
  }
  EXPECT_THAT(error_of("intfloat/e5-base"), Not(HasSubstr("Did you mean")));
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
