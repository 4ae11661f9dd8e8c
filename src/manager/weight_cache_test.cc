#include "manager/weight_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <thread>

#include "base/log.h"
#include "base/scratch_directory.h"
#include "models/bart.h"
#include "remuda/error.h"

namespace remuda {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

const fs::path kModel = fs::path(REMUDA_SOURCE_DIR) / "tests/golden/bart/scaled";

// What the log says meanwhile.
class CapturedLog {
 public:
  CapturedLog() {
    log::set_level(log::Level::kInfo);
    ::testing::internal::CaptureStderr();
  }
  ~CapturedLog() {
    if (!taken_) take();
  }
  std::string take() {
    taken_ = true;
    log::set_level(log::Level::kWarning);
    return ::testing::internal::GetCapturedStderr();
  }

 private:
  bool taken_ = false;
};

class WeightCacheTest : public ::testing::TestWithParam<Precision> {
 protected:
  // A model small enough for thousands of loads, its files said to be large enough to be worth a cache.
  WeightCache cache(const std::string& identity = "as they are") const {
    Settings settings;
    settings.cache_dir = directory_;
    return WeightCache(settings, {.directory = kModel,
                                  .bytes = uint64_t{1} << 30,
                                  .identity = identity,
                                  .identify = [this, identity] { return changes_ ? "changed" : identity; },
                                  .precision = GetParam()});
  }

  models::Bart load(const WeightCache& from) {
    return from.load(pool_, [&](std::shared_ptr<io::PackedFile> packed) {
      with_file_ = packed != nullptr;
      was_complete_ = with_file_ && packed->is_complete();
      ++makes_;
      return make(std::move(packed));
    });
  }
  models::Bart make(std::shared_ptr<io::PackedFile> packed) {
    return {io::read_bart_config(kModel / "config.json"),
            std::make_shared<const io::Checkpoint>(io::Checkpoint::open(kModel)), GetParam(), pool_, std::move(packed)};
  }

  // The logits after two tokens.
  std::vector<float> answer(const models::Bart& bart) {
    const std::vector<int32_t> ids = {0, 17, 23, 5, 2};
    const std::vector<int64_t> offsets = {0, 5};
    const std::vector limits(1, models::DecodeLimits{.max_rows = 1, .max_positions = 2});
    auto documents = bart.encode({ids, offsets}, limits, arena_, pool_);
    std::vector<float> logits(static_cast<size_t>(bart.config().vocab_size));
    for (const int32_t token : {2, 9}) {
      const models::DecodeRow row{&documents[0], token, token == 2 ? -1 : 0};
      bart.decode_step({&row, 1}, {logits.data(), 1, bart.config().vocab_size}, arena_, pool_);
    }
    return logits;
  }

  fs::path file() const {
    const fs::directory_iterator entry(directory_ / "weights");
    return entry == fs::directory_iterator() ? fs::path() : entry->path();
  }

  // The same bits as without a cache.
  void expect_same(const models::Bart& bart) {
    const std::vector<float> found = answer(bart);
    ASSERT_EQ(found.size(), wanted_.size());
    EXPECT_EQ(std::memcmp(found.data(), wanted_.data(), found.size() * sizeof(float)), 0);
  }

  ComputePool pool_{2};
  WorkspaceArena arena_;
  const ScratchDirectory scratch_;
  const fs::path directory_ = scratch_.path() / "cache";
  bool changes_ = false;
  bool with_file_ = false;
  bool was_complete_ = false;
  int makes_ = 0;
  const std::vector<float> wanted_ = answer(make(nullptr));
};

TEST_P(WeightCacheTest, TheFirstLoadPacksAndTheNextOnesMap) {
  {
    const models::Bart first = load(cache());
    EXPECT_TRUE(with_file_ && !was_complete_);
    expect_same(first);
  }
  const auto made = fs::last_write_time(file());
  for (int i = 0; i < 2; ++i) {
    expect_same(load(cache()));
    EXPECT_TRUE(was_complete_);
  }
  EXPECT_EQ(fs::last_write_time(file()), made);
}

TEST_P(WeightCacheTest, FilesThatChangedArePackedAnewInThePlaceOfTheOld) {
  load(cache("before"));
  const fs::path before = file();
  CapturedLog log;
  expect_same(load(cache("after")));
  EXPECT_TRUE(with_file_ && !was_complete_);
  EXPECT_THAT(log.take(), HasSubstr("packing the weights again"));
  EXPECT_EQ(file(), before);
  load(cache("after"));
  EXPECT_TRUE(was_complete_);
}

TEST_P(WeightCacheTest, FilesThatChangeMeanwhileAreNotKept) {
  changes_ = true;
  CapturedLog log;
  expect_same(load(cache()));
  EXPECT_FALSE(with_file_);
  EXPECT_EQ(makes_, 2);
  EXPECT_THAT(log.take(), HasSubstr("changed"));
  EXPECT_TRUE(file().empty());
}

// A sample of positions over header, table and tensors; io/packed_file_test.cc has all of a small file's.
TEST_P(WeightCacheTest, AFlippedBitNeverReachesAnAnswer) {
  load(cache());
  const auto size = static_cast<off_t>(fs::file_size(file()));
  std::mt19937 random(1);
  int rebuilt = 0;
  log::set_level(log::Level::kOff);
  for (int round = 0; round < 60; ++round) {
    const off_t position = round < 20   ? round * 2
                           : round < 40 ? size - 1 - round * 13
                                        : static_cast<off_t>(random() % static_cast<unsigned>(size));
    {
      const io::FileDescriptor damaged(open(file().c_str(), O_RDWR));
      char byte = 0;
      ASSERT_EQ(pread(damaged.get(), &byte, 1, position), 1);
      byte = static_cast<char>(byte ^ 1 << random() % 8);
      ASSERT_EQ(pwrite(damaged.get(), &byte, 1, position), 1);
    }
    expect_same(load(cache()));
    rebuilt += with_file_ && !was_complete_ ? 1 : 0;
  }
  log::set_level(log::Level::kWarning);
  EXPECT_GE(rebuilt, 40);  // Not for padding, which nobody reads.
}

TEST_P(WeightCacheTest, ADamagedFileIsReportedAndReplaced) {
  load(cache());
  const uint64_t size = fs::file_size(file());
  for (const uint64_t cut : {uint64_t{0}, uint64_t{20}, size / 2, size - 1}) {
    fs::resize_file(file(), cut);
    CapturedLog log;
    expect_same(load(cache()));
    EXPECT_FALSE(was_complete_);
    EXPECT_THAT(log.take(), HasSubstr("packing the weights again"));
    EXPECT_EQ(fs::file_size(file()), size);
  }
}

// Whole, of the right key, and without what the model asks for.
TEST_P(WeightCacheTest, AFileOfOtherTensorsIsReplaced) {
  cache().load(pool_, [](const std::shared_ptr<io::PackedFile>& packed) {
    packed->add("something else", {});
    return 0;
  });
  CapturedLog log;
  expect_same(load(cache()));
  EXPECT_FALSE(with_file_);
  EXPECT_THAT(log.take(), HasSubstr("expected the tensor"));
  expect_same(load(cache()));
  EXPECT_TRUE(with_file_ && !was_complete_);
}

TEST_P(WeightCacheTest, WithoutADirectoryTheLoadWorks) {
  scratch_.write("cache", "a file where the directory should be");
  CapturedLog log;
  expect_same(load(cache()));
  EXPECT_FALSE(with_file_);
  EXPECT_THAT(log.take(), HasSubstr("packing the weights into memory"));
}

// Root may write to a directory without write permission, and nobody below /proc.
TEST_P(WeightCacheTest, InADirectoryThatMayNotBeWrittenTheLoadWorks) {
  fs::create_directories(directory_);
  fs::create_directory_symlink("/proc", directory_ / "weights");
  CapturedLog log;
  expect_same(load(cache()));
  EXPECT_FALSE(with_file_);
  EXPECT_THAT(log.take(), HasSubstr("packing the weights into memory"));
}

// The thread sanitizer does not follow a process that has threads into its children.
#if !defined(REMUDA_THREAD_SANITIZER)
pid_t start(const std::function<bool()>& work) {
  const pid_t child = fork();
  if (child != 0) return child;
  try {
    _exit(work() ? 0 : 1);
  } catch (...) {
    _exit(2);
  }
}

int end_of(pid_t child) {
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST_P(WeightCacheTest, OnAFullDiskTheLoadWorks) {
  EXPECT_EQ(end_of(start([this] {
              const struct rlimit limit{100'000, 100'000};
              setrlimit(RLIMIT_FSIZE, &limit);
              log::set_level(log::Level::kOff);
              expect_same(load(cache()));
              return !HasFailure() && !with_file_ && makes_ == 2;
            })),
            0);
  EXPECT_TRUE(file().empty());
}

TEST_P(WeightCacheTest, ProcessesThatLoadAtOncePackOnce) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  std::vector<pid_t> children;
  constexpr int kProcesses = 4;
  for (int i = 0; i < kProcesses; ++i) {
    children.push_back(start([&] {
      close(ready[1]);
      char end;
      if (read(ready[0], &end, 1) != 0) return false;  // All begin when the parent closes its end.
      expect_same(load(cache()));
      if (HasFailure()) return false;
      return was_complete_ || !std::ofstream(scratch_.path() / ("packed" + std::to_string(i))).fail();
    }));
  }
  close(ready[0]);
  close(ready[1]);
  for (const pid_t child : children) EXPECT_EQ(end_of(child), 0);
  int packed = 0;
  for (int i = 0; i < kProcesses; ++i) packed += fs::exists(scratch_.path() / ("packed" + std::to_string(i))) ? 1 : 0;
  EXPECT_EQ(packed, 1);
  load(cache());
  EXPECT_TRUE(was_complete_);
}

TEST_P(WeightCacheTest, AProcessThatIsKilledWhileItPacksHoldsNobodyBack) {
  std::mt19937 random(1);
  for (int round = 0; round < 12; ++round) {
    const pid_t child = start([this] {
      for (int i = 0;; ++i) load(cache("round " + std::to_string(i)));
      return true;
    });
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
    kill(child, SIGKILL);
    EXPECT_TRUE(WIFSIGNALED(end_of(child)));
    const auto begin = std::chrono::steady_clock::now();
    expect_same(load(cache()));
    EXPECT_TRUE(with_file_);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 30s);
  }
}

#endif

INSTANTIATE_TEST_SUITE_P(Precisions, WeightCacheTest,
                         ::testing::Values(Precision::kFp32, Precision::kBf16, Precision::kInt8),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST(WeightCache, TinyModelsAreNotWorthAFile) {
  const ScratchDirectory scratch;
  Settings settings;
  settings.cache_dir = scratch.path();
  const WeightCache cache(settings,
                          {.directory = kModel, .bytes = 1000, .identity = "a", .identify = [] { return "a"; }});
  ComputePool pool(1);
  EXPECT_TRUE(cache.load(pool, [](const std::shared_ptr<io::PackedFile>& packed) { return packed == nullptr; }));
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

TEST(WeightCache, TheDirectoryIsTheSettingOrTheUsersCache) {
  const std::string before = std::getenv("XDG_CACHE_HOME");
  const std::string home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  Settings settings;
  EXPECT_EQ(cache_directory(settings), fs::path(before) / "remuda");
  setenv("XDG_CACHE_HOME", "not/absolute", 1);
  setenv("HOME", "/home/someone", 1);
  EXPECT_EQ(cache_directory(settings), "/home/someone/.cache/remuda");
  for (const auto& [given, expected] :
       {std::pair("~", "/home/someone"), std::pair("~/cache/x", "/home/someone/cache/x"), std::pair("x/~", "x/~"),
        std::pair("~root", "/root")}) {
    settings.cache_dir = given;
    EXPECT_EQ(cache_directory(settings), expected) << given;
  }
  settings.cache_dir = "~no-such-user/x";
  EXPECT_THAT([&] { cache_directory(settings); }, testing::ThrowsMessage<Error>(testing::HasSubstr("~no-such-user")));
  settings.cache_dir.clear();
  unsetenv("HOME");
  EXPECT_EQ(cache_directory(settings), "");
  settings.cache_dir = "here";
  EXPECT_EQ(cache_directory(settings), "here");
  setenv("XDG_CACHE_HOME", before.c_str(), 1);
  if (!home.empty()) setenv("HOME", home.c_str(), 1);
}

}  // namespace
}  // namespace remuda
