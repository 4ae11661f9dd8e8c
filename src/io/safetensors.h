// Weights from safetensors files: one model.safetensors, or shards named by model.safetensors.index.json.
// The format: https://github.com/huggingface/safetensors#format. Nothing a header says is believed unchecked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/mapped_file.h"
#include "tensor/tensor.h"

namespace remuda::io {

// Tensors by name, as views into mapped files that live as long as this object. Immutable and thread-safe.
class Checkpoint {
 public:
  // Throws Error(kNotFound), Error(kInvalidFile) naming file, tensor, expected and found.
  static Checkpoint open(const std::filesystem::path& model_directory);
  // One file.
  static Checkpoint open_file(const std::filesystem::path& path);

  // The tensor, checked to be of a floating-point dtype (F32, F16, BF16) and of this shape; throws
  // Error(kInvalidFile) naming the file, the tensor, what was expected and what was found.
  const TensorView& get(std::string_view name, const Shape& shape) const;
  // nullptr when there is none.
  const TensorView* find(std::string_view name) const;

  // Takes a tensor's pages out of this process's memory until they are read again: for one that was read as a whole,
  // and copied into another form.
  void drop_pages(const TensorView& tensor) const;
  // Of all tensors: when a model has read what it needed.
  void drop_pages() const;

  const std::map<std::string, TensorView, std::less<>>& tensors() const { return tensors_; }
  const std::vector<MappedFile>& files() const { return files_; }
  // Throws Error(kInvalidFile) where one of the files has been written to since it was opened: for whoever reads
  // tensors long after that.
  void check_unwritten() const;
  // Of all tensors.
  int64_t parameter_count() const;
  uint64_t bytes() const;

 private:
  std::vector<MappedFile> files_;
  std::map<std::string, TensorView, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> file_of_;  // The path of the file that holds a tensor, for errors.
};

}  // namespace remuda::io
