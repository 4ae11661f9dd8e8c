// A model's weights, whichever of the files that transformers reads holds them: model.safetensors or pytorch_model.bin,
// each in one file or in shards that an index names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/mapped_file.h"
#include "io/stored_tensor.h"
#include "tensor/tensor.h"

namespace remuda::io {

// Tensors by name, as views into mapped files that live as long as this object; a tensor that no view shows as it must
// be is copied when it is asked for. Thread-safe but for drop_pages().
class Checkpoint {
 public:
  // The first there is of model.safetensors, model.safetensors.index.json, pytorch_model.bin and
  // pytorch_model.bin.index.json, transformers' order. Throws Error(kNotFound), Error(kInvalidFile),
  // Error(kUnsupported) naming file, tensor or global, expected and found.
  static Checkpoint open(const std::filesystem::path& model_directory);
  // One file: of torch.save where its name ends in .bin, else of safetensors.
  static Checkpoint open_file(const std::filesystem::path& path);

  Checkpoint(Checkpoint&& other) noexcept;
  Checkpoint& operator=(Checkpoint&& other) noexcept;
  ~Checkpoint();

  // The tensor, checked to be of a floating-point dtype (F32, F16, BF16, F64) and of this shape; throws
  // Error(kInvalidFile), or Error(kUnsupported) for its dtype, naming the file, the tensor, what was expected and
  // found.
  TensorView get(std::string_view name, const Shape& shape) const;
  // The same for as long as this object lives, F64 rounded to F32: for whoever reads rows of it.
  TensorView get_table(std::string_view name, const Shape& shape) const;
  // As get(), without data where getting these would take a copy.
  TensorView describe(std::string_view name, const Shape& shape) const;
  // Whether there is a tensor of this name, of any kind.
  bool has(std::string_view name) const { return tensors_.contains(name); }
  // nullptr when there is none that is contiguous and of a known dtype.
  const TensorView* find(std::string_view name) const;

  // Takes a tensor's pages, or the copy that was made of it, out of this process's memory: for one that was read as a
  // whole, and copied into another form. Pages come back when they are read again.
  void drop_pages(const TensorView& tensor) const;
  // Of all tensors but those of get_table(): when a model has read what it needed.
  void drop_pages() const;

  const StoredTensors& tensors() const { return tensors_; }
  const std::vector<MappedFile>& files() const { return files_; }
  // Throws Error(kInvalidFile) where one of the files has been written to since it was opened: for whoever reads
  // tensors long after that.
  void check_unwritten() const;
  // Of all tensors; names that share their bytes count once.
  int64_t parameter_count() const;
  uint64_t bytes() const;

 private:
  struct Copies;

  Checkpoint();
  static Checkpoint open_shards(const std::filesystem::path& index);
  const StoredTensor& check(std::string_view name, const Shape& shape) const;
  TensorView copy(std::string_view name, const StoredTensor& tensor, bool is_table) const;
  template <typename Function>
  void for_each_distinct(const Function& function) const;

  std::vector<MappedFile> files_;
  StoredTensors tensors_;
  std::map<std::string, std::string, std::less<>> file_of_;  // The path of the file that holds a tensor, for errors.
  std::unique_ptr<Copies> copies_;
};

}  // namespace remuda::io
