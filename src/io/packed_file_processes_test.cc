// Packed files among processes: several that make one at once, one that dies while it does, several that map it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/scratch_directory.h"
#include "io/packed_file.h"

namespace remuda::io {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr const char* kKey = "a model";
constexpr int kTensors = 20;
constexpr size_t kTensorBytes = 150'000;

// Every version has other bytes, so that a mixture of two would be seen.
std::string tensor(int version, int number) {
  return std::string(kTensorBytes, static_cast<char>('a' + (version * 7 + number) % 26));
}

std::string name_of(int number) { return "tensor " + std::to_string(number); }

void make(const fs::path& path, int version) {
  const auto file = PackedFile::create(path, kKey);
  for (int i = 0; i < kTensors; ++i) {
    const std::string content = tensor(version, i);
    file->add(name_of(i), std::as_bytes(std::span(content)));
  }
  file->commit();
}

// That the file is whole, and of one version.
void expect_whole(const fs::path& path) {
  const auto file = PackedFile::open(path, kKey);
  file->check_blocks(0, file->blocks());
  const auto first = file->get(name_of(0), kTensorBytes);
  const int version = [&] {
    for (int v = 0; v < 26; ++v) {
      if (static_cast<char>(first[0]) == tensor(v, 0)[0]) return v;
    }
    return -1;
  }();
  for (int i = 0; i < kTensors; ++i) {
    const auto bytes = file->get(name_of(i), kTensorBytes);
    const std::string found(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    ASSERT_EQ(found, tensor(version, i)) << i;
  }
}

pid_t start(const std::function<void()>& work) {
  const pid_t child = fork();
  if (child != 0) return child;
  try {
    work();
  } catch (...) {
    _exit(1);
  }
  _exit(0);
}

int end_of(pid_t child) {
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

size_t count_files(const fs::path& directory) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

TEST(PackedFileProcesses, WritersAtOnceLeaveOneWholeFile) {
  const ScratchDirectory scratch;
  const fs::path path = scratch.path() / "weights";
  std::vector<pid_t> children;
  for (int writer = 0; writer < 4; ++writer) {
    children.push_back(start([&] {
      for (int round = 0; round < 5; ++round) make(path, writer);
    }));
  }
  children.push_back(start([&] {
    for (int round = 0; round < 200; ++round) {
      if (fs::exists(path)) expect_whole(path);
    }
    if (::testing::Test::HasFailure()) throw std::runtime_error("a reader found half a file");
  }));
  for (const pid_t child : children) EXPECT_EQ(end_of(child), 0);
  expect_whole(path);
  EXPECT_EQ(count_files(scratch.path()), 1);
}

// Wherever a writer is killed, there is the file as it was before, or the new one whole.
TEST(PackedFileProcesses, AWriterThatIsKilledDoesNoHarm) {
  const ScratchDirectory scratch;
  const fs::path path = scratch.path() / "weights";
  make(path, 0);
  const auto begin = std::chrono::steady_clock::now();
  make(path, 1);
  const auto takes = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  std::mt19937 random(1);
  // Each that is killed while it writes leaves what it had written.
  constexpr size_t kKilledWhileTheyWrite = 100;
  size_t killed = 0;
  for (int round = 0; round < 1000 && killed < kKilledWhileTheyWrite; ++round) {
    const pid_t child = start([&] {
      for (int version = 2;; ++version) make(path, version % 20);
    });
    std::this_thread::sleep_for(std::chrono::microseconds(random() % (3 * static_cast<unsigned>(takes.count()) + 1)));
    kill(child, SIGKILL);
    EXPECT_TRUE(WIFSIGNALED(end_of(child)));
    expect_whole(path);
    killed = count_files(scratch.path()) - 1;
  }
  EXPECT_EQ(killed, kKilledWhileTheyWrite);

  for (const auto& entry : fs::directory_iterator(scratch.path())) {
    fs::last_write_time(entry.path(), fs::file_time_type::clock::now() - 5min);
  }
  PackedFile::remove_leftovers(scratch.path());
  EXPECT_EQ(count_files(scratch.path()), 1);
  expect_whole(path);
}

// The line of /proc/self/smaps that begins so, in kB, summed over the mappings of a file.
int64_t mapped_kb(const fs::path& path, const std::string& field) {
  std::ifstream maps("/proc/self/smaps");
  int64_t sum = 0;
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find('-') < line.find(' ')) inside = line.ends_with(path.string());
    if (inside && line.starts_with(field + ":")) sum += std::stoll(line.substr(field.size() + 1));
  }
  return sum;
}

TEST(PackedFileProcesses, TheSecondProcessSharesThePagesOfTheFirst) {
  const ScratchDirectory scratch;
  const fs::path path = scratch.path() / "weights";
  const auto file = PackedFile::create(path, kKey);
  for (int i = 0; i < kTensors; ++i) {
    const std::string content = tensor(3, i);
    const auto bytes = file->add(name_of(i), std::as_bytes(std::span(content)));
    EXPECT_TRUE(std::ranges::equal(bytes, std::as_bytes(std::span(content))));
  }
  file->commit();
  const pid_t child = start([&] {
    const auto again = PackedFile::open(path, kKey);
    again->check_blocks(0, again->blocks());
    const int64_t shared = mapped_kb(path, "Shared_Clean") + mapped_kb(path, "Shared_Dirty");
    if (shared < kTensors * 140) throw std::runtime_error("the pages are not those of the other process");
    if (mapped_kb(path, "Anonymous") > 0) throw std::runtime_error("pages were copied");
  });
  EXPECT_EQ(end_of(child), 0);
  // He who made it maps it as well, without a copy of his own.
  EXPECT_GT(mapped_kb(path, "Rss"), 0);
  EXPECT_EQ(mapped_kb(path, "Anonymous"), 0);
}

}  // namespace
}  // namespace remuda::io
