#include "base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "base/json.h"
#include "base/scratch_directory.h"
#include "remuda/error.h"

namespace remuda {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class FilesTest : public ::testing::Test {
 protected:
  fs::path file(const char* name) const { return directory_.path() / name; }

  // Whatever has a name and is no regular file, by its kind.
  std::vector<std::pair<fs::path, std::string>> make_irregular() const {
    fs::create_directory(file("directory"));
    EXPECT_EQ(mkfifo(file("fifo").c_str(), 0666), 0);
    fs::create_symlink("fifo", file("link-to-fifo"));
    fs::create_symlink("loop", file("loop"));
    const int bound = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, file("socket").c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(bound, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    close(bound);
    return {{file("directory"), "found a directory"}, {file("fifo"), "found a FIFO"},
            {file("link-to-fifo"), "found a FIFO"},   {file("loop"), "Too many levels"},
            {file("socket"), "found a socket"},       {"/dev/zero", "found a device"}};
  }

  const ScratchDirectory directory_;
};

TEST_F(FilesTest, ReadsAFileWholeAndNoMoreThanAllowed) {
  std::ofstream(file("a")) << "four";
  EXPECT_EQ(read_file(file("a"), 4), "four");
  fs::create_symlink("a", file("link"));
  EXPECT_EQ(read_file(file("link"), 4), "four");
  try {
    read_file(file("a"), 3);
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidFile);
    EXPECT_THAT(error.what(), HasSubstr("a: expected at most 3 bytes, found 4"));
  }
}

TEST_F(FilesTest, AMissingFileIsNotFound) {
  std::ofstream(file("a")) << "four";
  for (const fs::path& path : {file("none"), file("a") / "below"}) {
    try {
      read_file(path, 4);
      FAIL() << "expected an error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kNotFound);
      EXPECT_THAT(error.what(), HasSubstr(path.string()));
    }
  }
}

// Opening the FIFO as other files are would wait for a writer, forever.
TEST_F(FilesTest, WhatIsNoRegularFileIsRefusedAtOnceByName) {
  for (const auto& [path, found] : make_irregular()) {
    for (const bool json : {false, true}) {
      try {
        json ? void(JsonDocument::parse_file(path)) : void(read_file(path, 100));
        ADD_FAILURE() << path;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kIo);
        EXPECT_THAT(error.what(), HasSubstr(path.string()));
        EXPECT_THAT(error.what(), HasSubstr(found));
      }
    }
  }
}

TEST_F(FilesTest, AFileThatWasCutMeanwhileIsAnError) {
  std::ofstream(file("a")) << "four";
  const OpenFile open(file("a"));
  fs::resize_file(file("a"), 2);
  std::string bytes(4, '\0');
  EXPECT_THROW(open.read(bytes), Error);
}

}  // namespace
}  // namespace remuda
