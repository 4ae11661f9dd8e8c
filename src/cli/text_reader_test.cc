#include "cli/text_reader.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/scratch_directory.h"

namespace remuda::cli {
namespace {

class Files {
 public:
  void add(const std::string& content) { names.push_back(directory_.write(std::to_string(names.size()), content)); }

  std::vector<std::string> names;

 private:
  const ScratchDirectory directory_;
};

// As std::getline takes lines apart.
std::vector<std::string> lines_of(const std::string& content) {
  std::vector<std::string> lines;
  std::istringstream stream(content);
  for (std::string line; std::getline(stream, line);) {
    if (!stream.eof() && line.ends_with('\r')) line.pop_back();
    lines.push_back(line);
  }
  return lines;
}

RC_GTEST_PROP(TextReader, GivesEveryLineOfEveryFileOnce, ()) {
  Files files;
  std::vector<std::string> expected;
  const auto character = rc::gen::element('a', 'b', '\n', '\r', '\0');
  for (int i = *rc::gen::inRange(1, 4); i > 0; --i) {
    std::string content = *rc::gen::container<std::string>(character);
    // Sometimes a line longer than a read.
    if (*rc::gen::inRange(0, 4) == 0) content += std::string(*rc::gen::inRange(0, 800'000), 'x') + content;
    for (std::string& line : lines_of(content)) expected.push_back(std::move(line));
    files.add(content);
  }
  const auto max_texts = *rc::gen::inRange<size_t>(1, 20);
  TextReader reader({.files = files.names, .max_texts = max_texts});
  std::vector<std::string> found;
  for (std::vector<std::string> texts; reader.read(texts);) {
    RC_ASSERT(texts.size() <= max_texts);
    found.insert(found.end(), texts.begin(), texts.end());
  }
  RC_ASSERT(found == expected);
  RC_ASSERT(reader.bytes_read() == reader.total_bytes());
}

TEST(TextReader, AChunkEndsAfterTheLineThatFillsIt) {
  Files files;
  files.add("0123456789\n0123456789\n0123456789\n");
  TextReader reader({.files = files.names, .max_bytes = 15});
  std::vector<std::string> texts;
  EXPECT_TRUE(reader.read(texts));
  EXPECT_EQ(texts.size(), 2u);
  EXPECT_TRUE(reader.read(texts));
  EXPECT_EQ(texts.size(), 1u);
  EXPECT_FALSE(reader.read(texts));
}

}  // namespace
}  // namespace remuda::cli
