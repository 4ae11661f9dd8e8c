#include "hub/hub_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "base/scratch_directory.h"
#include "hub/resolve.h"
#include "remuda/error.h"

namespace remuda::hub {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kCommit = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf";
constexpr const char* kOther = "8b3219a92973c328a8e22fadcfa821b5dc75636a";

// A cache as huggingface_hub's hf_hub_download() leaves it: files in blobs, links to them in the snapshot.
class HubCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"HF_HOME", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "SENTENCE_TRANSFORMERS_HOME", "REMUDA_MODELS_DIR"}) {
      unsetenv(name);
    }
    setenv("HOME", scratch_.path().c_str(), 1);
    setenv("HF_HUB_CACHE", scratch_.path().c_str(), 1);
  }

  // A file of a snapshot; `blob`: its name in blobs, none: the link leads nowhere.
  void add_file(const std::string& commit, const std::string& name, bool has_blob = true, std::string text = "{}") {
    const fs::path file = folder_ / "snapshots" / commit / name;
    fs::create_directories(file.parent_path());
    fs::create_directories(folder_ / "blobs");
    const std::string blob = "blob-of-" + fs::path(name).filename().string() + commit.substr(0, 4);
    if (has_blob) std::ofstream(folder_ / "blobs" / blob) << text;
    fs::create_symlink(fs::relative(folder_ / "blobs" / blob, file.parent_path()), file);
  }
  fs::path add_snapshot(const std::string& commit) {
    add_file(commit, "config.json");
    add_file(commit, "1_Pooling/config.json");
    add_file(commit, "model.safetensors");
    return folder_ / "snapshots" / commit;
  }
  void add_ref(const std::string& name, const std::string& text) {
    scratch_.write("models--org--name/refs/" + name, text);
  }
  std::string error_of(const std::string& name, Needs needs = Needs::kWeights) {
    try {
      resolve_model(name, needs);
      return {};
    } catch (const Error& error) {
      return error.what();
    }
  }

  const ScratchDirectory scratch_;
  const fs::path folder_ = scratch_.path() / "models--org--name";
};

TEST_F(HubCacheTest, IsWhereHuggingfaceHubHasIt) {
  const auto set = [](const char* name, const char* value) { setenv(name, value, 1); };
  set("HOME", "/home/me");
  set("HF_HUB_CACHE", "");
  EXPECT_THAT(cache_directories(), ElementsAre("/home/me/.cache/huggingface/hub"));
  set("XDG_CACHE_HOME", "~/xdg");
  EXPECT_THAT(cache_directories(), ElementsAre("/home/me/xdg/huggingface/hub"));
  set("HF_HOME", "${HOME}/hf");
  EXPECT_THAT(cache_directories(), ElementsAre("/home/me/hf/hub"));
  set("HUGGINGFACE_HUB_CACHE", "~/old");
  EXPECT_THAT(cache_directories(), ElementsAre("/home/me/old"));
  set("HF_HUB_CACHE", "$HOME/new/$NOT_SET_ANYWHERE");
  EXPECT_THAT(cache_directories(), ElementsAre("/home/me/new/$NOT_SET_ANYWHERE"));
  set("SENTENCE_TRANSFORMERS_HOME", "/st");
  EXPECT_THAT(cache_directories(), ElementsAre("/st", "/home/me/new/$NOT_SET_ANYWHERE"));
}

TEST_F(HubCacheTest, FoldersAndNames) {
  EXPECT_EQ(folder_name("org/name"), "models--org--name");
  EXPECT_EQ(folder_name("gpt2"), "models--gpt2");
  EXPECT_EQ(model_of_folder("models--org--name--x"), "org/name--x");
  EXPECT_EQ(model_of_folder("datasets--org--name"), "");
}

TEST_F(HubCacheTest, ARevisionIsARefACommitOrItsBeginning) {
  const fs::path main = add_snapshot(kCommit);
  const fs::path other = add_snapshot(kOther);
  add_ref("main", kCommit);
  add_ref("pr/1", std::string(kOther) + "\n");
  EXPECT_EQ(resolve_model("org/name"), main);
  EXPECT_EQ(resolve_model("org/name@main"), main);
  EXPECT_EQ(resolve_model("org/name@pr/1"), other);
  EXPECT_EQ(resolve_model("org/name@8b3219a"), other);
  EXPECT_EQ(resolve_model("org/name@" + std::string(kOther)), other);
  EXPECT_EQ(resolve_model(folder_.string()), main);
  EXPECT_EQ(resolve_model(folder_.string() + "/@8b3219a"), other);
  EXPECT_EQ(resolve_model(other.string() + "/"), other);
  for (const char* bad : {"org/name@v2", "org/name@8b3", "org/name@0000000"}) {
    EXPECT_THAT(error_of(bad), AllOf(HasSubstr("expected the revision"), HasSubstr(kOther))) << bad;
  }
  for (const char* bad : {"org/name@../../x", "org/name@/etc", "org/name@a//b", "org/name@."}) {
    EXPECT_NE(error_of(bad), "") << bad;
  }
}

TEST_F(HubCacheTest, WithoutRefsTheOnlySnapshotIsMeant) {
  const fs::path only = add_snapshot(kCommit);
  EXPECT_EQ(resolve_model("org/name"), only);
  add_snapshot(kOther);
  EXPECT_THAT(error_of("org/name"), AllOf(HasSubstr(kCommit), HasSubstr(kOther), HasSubstr("NAME@COMMIT")));
}

TEST_F(HubCacheTest, ADownloadThatIsNotFinishedIsSaidToBeSo) {
  const std::string hint = "isn't finished";
  add_ref("main", kCommit);
  EXPECT_THAT(error_of("org/name"), AllOf(HasSubstr(hint), HasSubstr("hf download org/name")));
  add_file(kCommit, "config.json");
  scratch_.write("models--org--name/blobs/ab12.incomplete", std::string(1'500'000, 'x'));
  EXPECT_THAT(error_of("org/name"), AllOf(HasSubstr(hint), HasSubstr("model.safetensors is missing"),
                                          HasSubstr("blobs/ab12.incomplete has 1.5 MB so far")));
  EXPECT_EQ(error_of("org/name", Needs::kConfiguration), "");
  add_file(kCommit, "model.safetensors", /*has_blob=*/false);
  EXPECT_THAT(error_of("org/name"), HasSubstr("model.safetensors is missing"));
  EXPECT_THAT(error_of((folder_ / "snapshots" / kCommit).string()), HasSubstr(hint));
  fs::remove(folder_ / "snapshots" / kCommit / "model.safetensors");
  add_file(kCommit, "model.safetensors");
  EXPECT_EQ(error_of("org/name"), "");
  add_file(kCommit, "1_Pooling/other.json", /*has_blob=*/false);
  EXPECT_THAT(error_of("org/name"), HasSubstr("other.json is missing"));
}

TEST_F(HubCacheTest, ShardsThatAreMissingAreNamed) {
  add_file(kCommit, "config.json");
  add_file(kCommit, "model.safetensors.index.json", true,
           R"({"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}})");
  add_file(kCommit, "model-1-of-2.safetensors");
  EXPECT_THAT(error_of("org/name"), HasSubstr("model-2-of-2.safetensors is missing"));
  add_file(kCommit, "model-2-of-2.safetensors");
  EXPECT_EQ(error_of("org/name"), "");
}

TEST_F(HubCacheTest, FilesOfOtherToolsNeedNotBeThere) {
  add_snapshot(kCommit);
  add_file(kCommit, "README.md", /*has_blob=*/false);
  add_file(kCommit, "pytorch_model.bin", /*has_blob=*/false);
  add_file(kCommit, "onnx/config.json", /*has_blob=*/false);
  EXPECT_EQ(error_of("org/name"), "");
}

TEST_F(HubCacheTest, ADownloadInOneCacheIsNoMatterWhereAnotherHasTheModel) {
  add_ref("main", kCommit);
  const fs::path second = scratch_.path() / "second";
  const fs::path whole = second / "models--org--name" / "snapshots" / kCommit;
  scratch_.write("second/models--org--name/snapshots/" + std::string(kCommit) + "/config.json", "{}");
  scratch_.write("second/models--org--name/snapshots/" + std::string(kCommit) + "/model.safetensors", "w");
  setenv("SENTENCE_TRANSFORMERS_HOME", scratch_.path().c_str(), 1);
  setenv("HF_HUB_CACHE", second.c_str(), 1);
  EXPECT_EQ(resolve_model("org/name"), whole);
}

// Refs of a cache that others may write to never lead out of it, and never keep anybody waiting.
TEST_F(HubCacheTest, HostileRefsAreErrorsThatNameThem) {
  add_snapshot(kCommit);
  fs::create_directories(scratch_.path() / "outside");
  const fs::path ref = folder_ / "refs" / "main";
  for (const char* text : {"../../../outside", "..", ".", "", "/etc", "a/b", "a\nb", "\x1b[2J"}) {
    add_ref("main", text);
    EXPECT_THAT(error_of("org/name"), AllOf(HasSubstr(ref.string()), Not(HasSubstr("\x1b")))) << text;
  }
  add_ref("main", std::string(1 << 20, 'a'));
  EXPECT_THAT(error_of("org/name"), HasSubstr(ref.string() + ": expected at most"));
  const auto replace = [&ref](auto make) {
    fs::remove_all(ref);
    make();
  };
  replace([&] { ASSERT_EQ(mkfifo(ref.c_str(), 0666), 0); });
  EXPECT_THAT(error_of("org/name"), HasSubstr(ref.string() + ": expected a regular file, found a FIFO"));
  replace([&] { fs::create_symlink("/dev/zero", ref); });
  EXPECT_THAT(error_of("org/name"), HasSubstr("found a device"));
  replace([&] { fs::create_symlink("main", ref); });
  EXPECT_THAT(error_of("org/name"), HasSubstr(ref.string()));
  replace([&] { fs::create_directory(ref); });
  EXPECT_THAT(error_of("org/name"), HasSubstr("found a directory"));
}

TEST_F(HubCacheTest, SnapshotsThatLeadElsewhereAreRefused) {
  scratch_.write("outside/config.json", "{}");
  scratch_.write("outside/model.safetensors", "w");
  fs::create_directories(folder_ / "snapshots");
  fs::create_directory_symlink(scratch_.path() / "outside", folder_ / "snapshots" / kCommit);
  add_ref("main", kCommit);
  EXPECT_THAT(error_of("org/name"), HasSubstr("found a link out of it"));
  fs::remove(folder_ / "snapshots" / kCommit);
  fs::create_symlink(kCommit, folder_ / "snapshots" / kCommit);
  EXPECT_NE(error_of("org/name"), "");
}

}  // namespace
}  // namespace remuda::hub
