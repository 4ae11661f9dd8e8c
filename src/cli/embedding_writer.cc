#include "cli/embedding_writer.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/fail.h"
#include "cli/output.h"

namespace remuda::cli {
namespace {

class JsonLinesWriter : public EmbeddingWriter {
 public:
  void write(const Embeddings& embeddings) override {
    for (int64_t i = 0; i < embeddings.size(); ++i) {
      append(embeddings, i);
      out_.flush_if_full();
    }
    out_.flush();
  }

  void finish() override { out_.flush(); }

 private:
  void append(const Embeddings& embeddings, int64_t i) {
    std::string& line = out_.buffer();
    line += "{\"index\": ";
    append_json(line, index_++);
    line += ", \"embedding\": [";
    for (const float value : embeddings.row(i)) {
      append_json(line, value);
      line += ", ";
    }
    if (embeddings.dimension > 0) line.resize(line.size() - 2);
    line += "], \"tokens\": ";
    append_json(line, embeddings.tokens[i]);
    line += ", \"tokens_used\": ";
    append_json(line, embeddings.used_tokens[i]);
    line += embeddings.truncated(i) ? ", \"truncated\": true}\n" : ", \"truncated\": false}\n";
  }

  Output out_{STDOUT_FILENO, "stdout"};
  int64_t index_ = 0;
};

// NumPy's format 1.0 (numpy.lib.format): magic, version, the header's length, and a Python literal that spaces fill up
// so that the data begin at a multiple of 64. Room is left for any number of rows, which is known only at the end.
std::string npy_header(int64_t rows, int64_t dimension) {
  constexpr size_t kBytes = 128;
  constexpr size_t kBeforeText = 10;
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(kBytes - kBeforeText);
  header += '\0';
  header += fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, dimension);
  header.resize(kBytes - 1, ' ');
  return header + '\n';
}

class NpyWriter : public EmbeddingWriter {
  static_assert(std::endian::native == std::endian::little);

 public:
  NpyWriter(std::filesystem::path path, int64_t dimension)
      : path_(std::move(path)),
        temporary_(fmt::format("{}.{}.tmp", path_.string(), getpid())),
        dimension_(dimension),
        fd_(open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)),
        out_(fd_, path_.string()) {
    if (fd_ < 0) fail_io("create");
    out_.buffer() = npy_header(0, dimension_);
  }

  ~NpyWriter() override {
    close(fd_);
    if (!finished_) unlink(temporary_.c_str());
  }

  void write(const Embeddings& embeddings) override {
    const std::span<const float> values = embeddings.values;
    out_.buffer().append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
    rows_ += embeddings.size();
    out_.flush_if_full();
  }

  void finish() override {
    out_.flush();
    const std::string header = npy_header(rows_, dimension_);
    if (pwrite(fd_, header.data(), header.size(), 0) != static_cast<ssize_t>(header.size())) fail_io("write");
    if (fsync(fd_) != 0) fail_io("write");
    if (rename(temporary_.c_str(), path_.c_str()) != 0) fail_io("rename to");
    finished_ = true;
  }

 private:
  [[noreturn]] void fail_io(const char* action) const {
    fail(ErrorCode::kIo, "{}: cannot {} it: {}", path_.string(), action, std::strerror(errno));
  }

  const std::filesystem::path path_;
  const std::string temporary_;
  const int64_t dimension_;
  const int fd_;
  Output out_;
  int64_t rows_ = 0;
  bool finished_ = false;
};

void check_npy_path(const std::string& path) {
  const std::filesystem::path given(path);
  if (given.extension() != ".npy") {
    fail(ErrorCode::kInvalidArgument,
         "--output: expected a name that ends in .npy, found \"{}\" (JSON lines go to stdout)", path);
  }
  if (std::filesystem::exists(given) && !std::filesystem::is_regular_file(given)) {
    fail(ErrorCode::kInvalidArgument, "--output: {} exists and is not a regular file", path);
  }
}

}  // namespace

std::unique_ptr<EmbeddingWriter> make_json_lines_writer() { return std::make_unique<JsonLinesWriter>(); }

std::unique_ptr<EmbeddingWriter> make_npy_writer(const std::string& path, int64_t dimension) {
  check_npy_path(path);
  // The file that a symbolic link leads to is replaced, not the link.
  return std::make_unique<NpyWriter>(std::filesystem::weakly_canonical(path), dimension);
}

}  // namespace remuda::cli
