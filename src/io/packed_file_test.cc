#include "io/packed_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <random>

#include "base/checksum.h"
#include "base/scratch_directory.h"
#include "io/packed_format.h"

namespace remuda::io {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using namespace std::chrono_literals;
using Content = std::map<std::string, std::string>;

constexpr const char* kKey = "model a, int8";

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string random_text(size_t size) {
  std::mt19937 random(static_cast<unsigned>(size));
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void make(const fs::path& path, const Content& content) {
  const auto file = PackedFile::create(path, kKey);
  for (const auto& [name, text] : content) EXPECT_EQ(text_of(file->add(name, bytes_of(text))), text);
  file->commit();
}

// Opens a file and reads all of it, as a model would.
void expect_content(const fs::path& path, const Content& content) {
  const auto file = PackedFile::open(path, kKey);
  file->check_blocks(0, file->blocks());
  for (const auto& [name, text] : content) EXPECT_EQ(text_of(file->get(name, text.size())), text) << name;
}

ErrorCode error_of(const fs::path& path, std::string_view key = kKey) {
  try {
    const auto file = PackedFile::open(path, key);
    file->check_blocks(0, file->blocks());
  } catch (const PackedFileError& error) {
    return error.code();
  }
  return ErrorCode::kInternal;
}

class PackedFileTest : public ::testing::Test {
 protected:
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(scratch_.path())) found.push_back(entry.path().filename());
    return found;
  }

  const ScratchDirectory scratch_;
  const fs::path path_ = scratch_.path() / "weights.packed";
  const Content small_ = {{"a", random_text(100)}, {"b", ""}, {"c", random_text(64)}};
};

TEST_F(PackedFileTest, WhatWasWrittenIsRead) {
  const Content content = {{"empty", ""},
                           {"byte", "x"},
                           {"block", random_text(PackedFile::kBlockBytes)},
                           {"more", random_text(PackedFile::kBlockBytes + 1)},
                           {"many", random_text(3 * PackedFile::kBlockBytes + 12345)}};
  make(path_, content);
  expect_content(path_, content);
  EXPECT_EQ(names(), std::vector<std::string>{"weights.packed"});
  EXPECT_EQ(PackedFile::open(path_, kKey)->blocks(), 0 + 1 + 1 + 2 + 4);
}

TEST_F(PackedFileTest, TensorsAreAligned) {
  make(path_, small_);
  const auto file = PackedFile::open(path_, kKey);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file->get("c", 64).data()) % 4096, 0);
}

TEST_F(PackedFileTest, AMadeFileIsReadWhereItIsMapped) {
  const auto file = PackedFile::create(path_, kKey);
  const auto bytes = file->add("a", bytes_of(small_.at("a")));
  EXPECT_FALSE(file->is_complete());
  EXPECT_EQ(error_of(path_), ErrorCode::kNotFound);
  file->commit();
  EXPECT_TRUE(file->is_complete());
  EXPECT_EQ(file->get("a", 100).data(), bytes.data());
  EXPECT_EQ(text_of(bytes), small_.at("a"));
}

TEST_F(PackedFileTest, OneThatIsNotFinishedGoes) {
  {
    const auto file = PackedFile::create(path_, kKey);
    file->add("a", bytes_of(small_.at("a")));
    EXPECT_EQ(names().size(), 1);
  }
  EXPECT_TRUE(names().empty());
}

TEST_F(PackedFileTest, ANewFileTakesThePlaceOfAnOldOneThatStaysMapped) {
  make(path_, small_);
  const auto old = PackedFile::open(path_, kKey);
  const Content other = {{"a", random_text(101)}};
  make(path_, other);
  EXPECT_EQ(text_of(old->get("a", 100)), small_.at("a"));
  expect_content(path_, other);
}

TEST_F(PackedFileTest, AnotherKeyVersionOrKindOfFileIsRefused) {
  EXPECT_EQ(error_of(path_), ErrorCode::kNotFound);
  make(path_, small_);
  EXPECT_EQ(error_of(path_, "model b, int8"), ErrorCode::kUnsupported);
  EXPECT_EQ(error_of(path_, ""), ErrorCode::kUnsupported);
  EXPECT_EQ(error_of(scratch_.path()), ErrorCode::kIo);
  EXPECT_EQ(error_of(scratch_.write("text", std::string(10'000, 'x'))), ErrorCode::kInvalidFile);

  std::string bytes = read_file(path_);
  PackedHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  header.version = PackedFile::kVersion + 1;
  header.checksum = header.own_checksum();
  std::memcpy(bytes.data(), &header, sizeof(header));
  EXPECT_EQ(error_of(scratch_.write("next", bytes)), ErrorCode::kUnsupported);
}

TEST_F(PackedFileTest, ATensorThatIsNotThereOrOfAnotherSizeIsAnError) {
  make(path_, small_);
  const auto file = PackedFile::open(path_, kKey);
  EXPECT_THROW(file->get("d", 100), PackedFileError);
  EXPECT_THROW(file->get("a", 99), PackedFileError);
}

TEST_F(PackedFileTest, ACutFileIsFoundOut) {
  make(path_, small_);
  const std::string whole = read_file(path_);
  for (size_t size = 0; size < whole.size(); size += size < 100 || size > whole.size() - 300 ? 1 : 97) {
    EXPECT_EQ(error_of(scratch_.write("cut", whole.substr(0, size))), ErrorCode::kInvalidFile) << size;
  }
  EXPECT_EQ(error_of(scratch_.write("longer", whole + '\0')), ErrorCode::kInvalidFile);
}

// Every bit of the file: refused, or, where nothing is that anybody reads, without a consequence.
TEST_F(PackedFileTest, AFlippedBitIsFoundOut) {
  make(path_, small_);
  std::string bytes = read_file(path_);
  int refused = 0;
  const fs::path damaged = scratch_.write("damaged", bytes);
  const FileDescriptor file(open(damaged.c_str(), O_RDWR));
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    const char flipped = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    ASSERT_EQ(pwrite(file.get(), &flipped, 1, static_cast<off_t>(bit / 8)), 1);
    if (error_of(damaged) == ErrorCode::kInternal) {
      expect_content(damaged, small_);
    } else {
      ++refused;
    }
    ASSERT_EQ(pwrite(file.get(), &bytes[bit / 8], 1, static_cast<off_t>(bit / 8)), 1);
  }
  expect_content(damaged, small_);
  EXPECT_GE(refused, static_cast<int>(8 * (sizeof(PackedHeader) + 164)));
}

// A table whose checksums are right and whose content isn't: what a program with a mistake, or a person, might write.
TEST_F(PackedFileTest, ATableIsNotBelieved) {
  const auto with_table = [this](auto&& fill) {
    PackedTableWriter writer;
    fill(writer);
    const std::string table = writer.take();
    PackedHeader header;
    header.version = PackedFile::kVersion;
    header.table_offset = 8192;
    header.table_bytes = table.size();
    header.table_checksum = checksum(bytes_of(table));
    header.checksum = header.own_checksum();
    std::string bytes(8192, '\0');
    std::memcpy(bytes.data(), &header, sizeof(header));
    return error_of(scratch_.write("table", bytes + table));
  };
  const auto tensor = [](uint64_t offset, uint64_t size, int count = 1) {
    return [=](PackedTableWriter& writer) {
      writer.string(kKey);
      writer.number(static_cast<uint64_t>(count));
      for (int i = 0; i < count; ++i) {
        writer.string("a");
        writer.number(offset);
        writer.number(size);
        writer.number(checksum(bytes_of(std::string(64, '\0'))));
      }
    };
  };
  constexpr uint64_t kHuge = UINT64_MAX;
  EXPECT_EQ(with_table(tensor(4096, 64)), ErrorCode::kInternal);  // No error.
  EXPECT_EQ(with_table(tensor(4096, 64, 2)), ErrorCode::kInvalidFile);
  for (const auto& [offset, size] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0, 64}, {4097, 64}, {8192, 64}, {8128, 65}, {4096, kHuge}, {kHuge - 63, 64}, {kHuge, kHuge}, {4096, 65}}) {
    EXPECT_EQ(with_table(tensor(offset, size)), ErrorCode::kInvalidFile) << offset << " " << size;
  }
  EXPECT_EQ(with_table([](PackedTableWriter& writer) { writer.number(kHuge); }), ErrorCode::kInvalidFile);
  EXPECT_EQ(with_table([](PackedTableWriter&) {}), ErrorCode::kInvalidFile);
  EXPECT_EQ(with_table([](PackedTableWriter& writer) {
              writer.string(kKey);
              writer.number(kHuge);
            }),
            ErrorCode::kInvalidFile);
  EXPECT_EQ(with_table([](PackedTableWriter& writer) {
              writer.string(kKey);
              writer.number(0);
              writer.number(0);
            }),
            ErrorCode::kInvalidFile);
}

TEST_F(PackedFileTest, AWriteThatFailsIsAnErrorAndLeavesNothing) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const struct rlimit limit{1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      const auto file = PackedFile::create(path_, kKey);
      file->add("a", bytes_of(random_text(100'000)));
      file->add("b", bytes_of(random_text(1'000'000)));
    } catch (const PackedFileError& error) {
      _exit(error.code() == ErrorCode::kIo ? 0 : 2);
    }
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_TRUE(names().empty());
}

TEST_F(PackedFileTest, ADirectoryThatIsNotThereOrGoesIsAnError) {
  EXPECT_THROW(PackedFile::create(scratch_.path() / "none" / "weights", kKey), PackedFileError);
  fs::create_directory(scratch_.path() / "gone");
  const auto file = PackedFile::create(scratch_.path() / "gone" / "weights", kKey);
  fs::remove_all(scratch_.path() / "gone");
  EXPECT_THROW(file->commit(), PackedFileError);
}

TEST_F(PackedFileTest, LeftoversOfTheDeadAreRemovedWhenTheyAreOld) {
  make(path_, small_);
  const auto alive = PackedFile::create(path_, kKey);
  const auto old = fs::file_time_type::clock::now() - 5min;
  for (const auto& entry : fs::directory_iterator(scratch_.path())) fs::last_write_time(entry.path(), old);
  const fs::path dead = scratch_.write("weights.packed.1-2.packing", "half");
  const fs::path fresh = scratch_.write("weights.packed.1-3.packing", "half");
  const fs::path other = scratch_.write("notes.txt", "");
  for (const fs::path& path : {dead, other}) fs::last_write_time(path, old);
  PackedFile::remove_leftovers(scratch_.path());
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(fs::exists(fresh));
  EXPECT_TRUE(fs::exists(other));
  alive->commit();
  expect_content(path_, {});
  PackedFile::remove_leftovers(scratch_.path() / "none");
}

}  // namespace
}  // namespace remuda::io
