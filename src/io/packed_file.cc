#include "io/packed_file.h"

#include <algorithm>
#include <cstring>

#include "base/checked_math.h"
#include "base/checksum.h"
#include "base/fail.h"
#include "io/packed_format.h"

namespace remuda::io {
namespace {

constexpr uint64_t kAlignment = 64;  // What the kernels need.

size_t count_blocks(uint64_t bytes) {
  return static_cast<size_t>(bytes / PackedFile::kBlockBytes + (bytes % PackedFile::kBlockBytes != 0));
}

}  // namespace

std::shared_ptr<PackedFile> PackedFile::open(const std::filesystem::path& path, std::string_view key) {
  std::shared_ptr<PackedFile> file(new PackedFile(path, key));
  try {
    file->mapping_ = MappedFile(path);
  } catch (const Error& error) {
    throw PackedFileError(error.code(), error.what());
  }
  file->complete_ = true;
  file->size_ = file->mapping_.bytes().size();
  file->read_header();
  for (const auto& tensor : file->tensors_) {
    for (size_t i = 0; i < tensor.second.checksums.size(); ++i) file->blocks_.push_back({&tensor, i});
  }
  return file;
}

void PackedFile::fail_damaged(std::string_view what) const {
  throw PackedFileError(ErrorCode::kInvalidFile, fmt::format("{}: {}", path_.string(), what));
}

void PackedFile::read_header() {
  const auto bytes = mapping_.bytes();
  PackedHeader header;
  if (bytes.size() < sizeof(header)) fail_damaged("expected a header, found fewer bytes");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kPackedMagic) fail_damaged("expected a file of packed weights, found something else");
  if (header.version != kVersion) {
    throw PackedFileError(ErrorCode::kUnsupported, fmt::format("{}: expected version {} of the format, found {}",
                                                               path_.string(), kVersion, header.version));
  }
  if (header.checksum != header.own_checksum()) fail_damaged("the header's checksum is wrong");
  const auto end = checked_add(header.table_offset, header.table_bytes);
  if (!end || *end != bytes.size() || header.table_offset < sizeof(header)) {
    fail_damaged(fmt::format("expected {} bytes and a table of {}, found {} bytes: the file is cut short",
                             end.value_or(0), header.table_bytes, bytes.size()));
  }
  const auto table = bytes.subspan(header.table_offset);
  if (checksum(table) != header.table_checksum) fail_damaged("the table's checksum is wrong");
  read_table(table, header.table_offset);
}

// What the checksum says is whole is still not believed: it may have been written by anybody.
void PackedFile::read_table(std::span<const std::byte> table, uint64_t end_of_tensors) {
  PackedTableReader reader(table);
  if (reader.string() != key_) {
    throw PackedFileError(
        reader.failed() ? ErrorCode::kInvalidFile : ErrorCode::kUnsupported,
        fmt::format("{}: made from other files, or for another precision or machine", path_.string()));
  }
  const uint64_t count = reader.number();
  for (uint64_t i = 0; i < count && !reader.failed(); ++i) {
    const std::string name(reader.string());
    Tensor tensor;
    tensor.offset = reader.number();
    const uint64_t bytes = reader.number();
    const auto end = checked_add(tensor.offset, bytes);
    if (!end || *end > end_of_tensors || tensor.offset < sizeof(PackedHeader) || tensor.offset % kAlignment != 0) {
      fail_damaged(fmt::format("tensor \"{}\": expected aligned bytes below offset {}, found {} from {}", name,
                               end_of_tensors, bytes, tensor.offset));
    }
    tensor.bytes = mapping_.bytes().subspan(tensor.offset, bytes);
    for (size_t block = count_blocks(bytes); block > 0 && !reader.failed(); --block) {
      tensor.checksums.push_back(reader.number());
    }
    if (!tensors_.emplace(name, std::move(tensor)).second) fail_damaged(fmt::format("tensor \"{}\" twice", name));
  }
  if (reader.failed() || !reader.at_end()) fail_damaged("the table contradicts its size");
}

std::string PackedFile::make_table() const {
  PackedTableWriter writer;
  writer.string(key_);
  writer.number(tensors_.size());
  for (const auto& [name, tensor] : tensors_) {
    writer.string(name);
    writer.number(tensor.offset);
    writer.number(tensor.bytes.size());
    for (const uint64_t sum : tensor.checksums) writer.number(sum);
  }
  return writer.take();
}

std::span<const std::byte> PackedFile::get(const std::string& name, size_t bytes) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail_damaged(fmt::format("expected the tensor \"{}\", found none", name));
  if (found->second.bytes.size() != bytes) {
    fail_damaged(fmt::format("tensor \"{}\": expected {} bytes, found {}", name, bytes, found->second.bytes.size()));
  }
  return found->second.bytes;
}

void PackedFile::check_blocks(int64_t begin, int64_t end) const {
  for (int64_t i = begin; i < end; ++i) {
    const auto& [entry, number] = blocks_[static_cast<size_t>(i)];
    const auto& [name, tensor] = *entry;
    const auto rest = tensor.bytes.subspan(number * kBlockBytes);
    if (checksum(rest.first(std::min(rest.size(), kBlockBytes))) == tensor.checksums[number]) continue;
    fail_damaged(fmt::format("tensor \"{}\": the checksum of block {} is wrong", name, number));
  }
}

}  // namespace remuda::io
