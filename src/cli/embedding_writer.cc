#include "cli/embedding_writer.h"

#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <filesystem>
#include <span>

#include "base/checksum.h"
#include "base/fail.h"
#include "cli/output.h"
#include "cli/partial_file.h"

namespace remuda::cli {
namespace {

void append_line(std::string& line, const Embeddings& embeddings, int64_t i, int64_t index) {
  line += "{\"index\": ";
  append_json(line, index);
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

// A line for each text that didn't fail; the first one's index is `index`.
void append_lines(Output& out, const EmbedChunk& chunk, int64_t index) {
  auto failed = chunk.failed.begin();
  for (int64_t i = 0; i < chunk.embeddings.size(); ++i) {
    if (failed != chunk.failed.end() && failed->position == i) {
      ++failed;
      continue;
    }
    append_line(out.buffer(), chunk.embeddings, i, index + i);
    out.flush_if_full();
  }
}

class JsonLinesWriter : public EmbeddingWriter {
 public:
  void write(const EmbedChunk& chunk) override {
    append_lines(out_, chunk, index_);
    index_ += chunk.embeddings.size();
    out_.flush();
  }

  void finish() override { out_.flush(); }

 private:
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

// What files of both kinds have in common: how far they are is noted with every chunk.
class FileWriter : public EmbeddingWriter {
 public:
  explicit FileWriter(const EmbeddingFileOptions& options)
      // The file that a symbolic link leads to is replaced, not the link.
      : file_(std::filesystem::weakly_canonical(options.path), options.terms, options.resume),
        texts_(file_.progress().texts),
        failed_(file_.progress().failed),
        sum_(file_.progress().sum) {}

  void write(const EmbedChunk& chunk) override {
    append(chunk, texts_);
    for (const uint64_t text_sum : chunk.text_sums) sum_ = add_sum(sum_, text_sum);
    texts_ += chunk.embeddings.size();
    failed_ += std::ssize(chunk.failed);
    file_.out().flush();
    note_texts(texts_);
    file_.record(texts_, failed_, sum_);
  }

  void finish() override {
    // An input that is missing, at the other end of a pipe say, looks like an empty one.
    if (texts_ == 0 && std::filesystem::exists(file_.path())) {
      fail(ErrorCode::kNotFound, "{}: there were no texts, and it is left as it was; remove it if it is to be empty",
           file_.path().string());
    }
    note_texts(texts_);
    file_.finish();
  }

  int64_t texts_done() const override { return file_.progress().texts; }
  int64_t failed_done() const override { return file_.progress().failed; }
  uint64_t sum_done() const override { return file_.progress().sum; }

 protected:
  PartialFile& file() { return file_; }

 private:
  virtual void append(const EmbedChunk& chunk, int64_t index) = 0;
  virtual void note_texts(int64_t) {}

  PartialFile file_;
  int64_t texts_;
  int64_t failed_;
  uint64_t sum_;
};

class JsonFileWriter : public FileWriter {
 public:
  using FileWriter::FileWriter;

 private:
  void append(const EmbedChunk& chunk, int64_t index) override { append_lines(file().out(), chunk, index); }
};

class NpyWriter : public FileWriter {
  static_assert(std::endian::native == std::endian::little);

 public:
  explicit NpyWriter(const EmbeddingFileOptions& options) : FileWriter(options), dimension_(options.dimension) {
    if (texts_done() == 0) file().out().buffer() = npy_header(0, dimension_);
  }

 private:
  void append(const EmbedChunk& chunk, int64_t) override {
    const std::span<const float> values = chunk.embeddings.values;
    file().out().buffer().append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  }

  // With every chunk, so that the file of a run that was killed has a right header, too.
  void note_texts(int64_t texts) override {
    file().out().flush();
    file().write_at(0, npy_header(texts, dimension_));
  }

  const int64_t dimension_;
};

bool is_npy(const std::filesystem::path& path) { return path.extension() == ".npy"; }

void check_path(const std::string& path) {
  const std::filesystem::path given(path);
  if (!is_npy(given) && given.extension() != ".jsonl") {
    fail(ErrorCode::kInvalidArgument,
         "--output: expected a name that ends in .npy or .jsonl, found \"{}\" (without it JSON lines go to stdout)",
         path);
  }
  if (std::filesystem::exists(given) && !std::filesystem::is_regular_file(given)) {
    fail(ErrorCode::kInvalidArgument, "--output: {} exists and is not a regular file", path);
  }
}

}  // namespace

uint64_t add_sum(uint64_t sum, uint64_t text_sum) {
  const std::array<uint64_t, 2> both = {sum, text_sum};
  return checksum(std::as_bytes(std::span(both)));
}

std::unique_ptr<EmbeddingWriter> make_json_lines_writer() { return std::make_unique<JsonLinesWriter>(); }

std::unique_ptr<EmbeddingWriter> make_file_writer(const EmbeddingFileOptions& options) {
  check_path(options.path);
  if (is_npy(options.path)) return std::make_unique<NpyWriter>(options);
  return std::make_unique<JsonFileWriter>(options);
}

}  // namespace remuda::cli
