// A file of weights in the layout that the kernels use: made once from a checkpoint, then mapped by every process.
//
//   0      header: magic, version of the format, where the table is, checksums of header and table
//   4096   the tensors' bytes, each from the beginning of a page
//   end    table: the key; for each tensor name, offset, size and the checksums of its blocks of 1 MiB
//
// Numbers are little-endian. The key says what the content was made of and for whom; a file with another key is not
// the one that is wanted. Every byte that is used is covered by a checksum: damage is found, not computed with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/file_descriptor.h"
#include "io/mapped_file.h"
#include "remuda/error.h"

namespace remuda::io {

// That a packed file can't be used, or not be made: an occasion to do without it.
class PackedFileError : public Error {
 public:
  using Error::Error;
};

// Named byte strings, mapped for as long as this object lives. Complete, and then immutable and thread-safe; or being
// made, by one thread.
class PackedFile {
 public:
  static constexpr uint32_t kVersion = 1;
  static constexpr size_t kBlockBytes = size_t{1} << 20;

  // Checks header and table; the tensors are left to check_blocks(). Throws PackedFileError: kNotFound, kIo;
  // kUnsupported for another version of the format or another key; kInvalidFile for damage.
  static std::shared_ptr<PackedFile> open(const std::filesystem::path& path, std::string_view key);

  // A new file under a temporary name in the same directory; it goes unless commit() renames it. Throws
  // PackedFileError(kIo).
  static std::shared_ptr<PackedFile> create(const std::filesystem::path& path, std::string_view key);

  // Removes the temporary files in this directory that a process which died has left.
  static void remove_leftovers(const std::filesystem::path& directory);

  PackedFile(const PackedFile&) = delete;
  PackedFile& operator=(const PackedFile&) = delete;
  ~PackedFile();

  bool is_complete() const { return complete_; }
  const std::filesystem::path& path() const { return path_; }
  size_t bytes() const { return size_; }

  // The tensor of this name, 64-byte aligned. Throws PackedFileError(kInvalidFile) where there is none of this size.
  std::span<const std::byte> get(const std::string& name, size_t bytes) const;

  // Of a file that was opened: throws PackedFileError(kInvalidFile), naming the tensor, where a block of [begin, end)
  // is not what was written.
  int64_t blocks() const { return static_cast<int64_t>(blocks_.size()); }
  void check_blocks(int64_t begin, int64_t end) const;

  // While the file is made: writes a tensor and maps what was written. Throws PackedFileError(kIo), on a full disk for
  // example; the file is fit for nothing but destruction then.
  std::span<const std::byte> add(const std::string& name, std::span<const std::byte> bytes);
  // The same a part after the other: begin() one of so many bytes, append() them all, and end() it.
  void begin(const std::string& name, size_t bytes);
  void append(std::span<const std::byte> bytes);
  std::span<const std::byte> end();
  // Writes table and header, and gives the file its name, whatever had it before. The file is complete then. Nothing is
  // flushed to the disk: what a power cut makes of a file, its checksums tell. Throws as add() does.
  void commit();

 private:
  struct Tensor {
    uint64_t offset = 0;
    std::span<const std::byte> bytes;
    std::vector<uint64_t> checksums;  // One a block.
  };
  using Tensors = std::map<std::string, Tensor>;
  struct Block {
    const Tensors::value_type* tensor;
    size_t number;
  };

  PackedFile(std::filesystem::path path, std::string_view key) : path_(std::move(path)), key_(key) {}
  void read_header();
  void read_table(std::span<const std::byte> table, uint64_t end_of_tensors);
  std::string make_table() const;
  void write_at(uint64_t offset, std::span<const std::byte> bytes) const;
  [[noreturn]] void fail_damaged(std::string_view what) const;
  [[noreturn]] void fail_write(const char* what) const;

  const std::filesystem::path path_;
  const std::string key_;
  bool complete_ = false;
  size_t size_ = 0;  // While the file is made, where the next tensor goes.
  Tensors tensors_;
  // Of a file that was opened:
  MappedFile mapping_;
  std::vector<Block> blocks_;

  // Of a file that is made:
  FileDescriptor file_;
  std::filesystem::path temporary_;
  std::vector<std::span<std::byte>> mapped_;  // Every tensor's pages.
  struct Adding {
    std::string name;
    uint64_t offset = 0;
    size_t bytes = 0;
    size_t written = 0;
  } adding_;
};

}  // namespace remuda::io
