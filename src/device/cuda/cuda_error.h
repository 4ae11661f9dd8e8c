// A call of the CUDA runtime, or of one of its libraries, that failed. Inside libremuda_cuda.so errors are exceptions;
// guarded() turns them into a status at its door.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>
#include <string_view>

#include "device/cuda_backend.h"

namespace remuda::cuda {

class CudaError : public std::runtime_error {
 public:
  CudaError(cudaError_t code, const std::string& what)
      : std::runtime_error(what + ": " + cudaGetErrorString(code) + " (" + cudaGetErrorName(code) + ")"), code_(code) {}

  cudaError_t code() const { return code_; }

 private:
  cudaError_t code_;
};

// An error that has a status of its own.
class StatusError : public std::runtime_error {
 public:
  StatusError(Status status, const std::string& what) : std::runtime_error(what), status_(status) {}

  Status status() const { return status_; }

 private:
  Status status_;
};

inline void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // Or the next launch that is looked at would be told of it.
  throw CudaError(code, what);
}

// After these every call on the device fails, for this process or for all.
bool loses_device(cudaError_t code);

// Copies what fits, and ends it with a zero.
template <size_t size>
void copy_text(char (&to)[size], std::string_view text) {
  to[text.copy(to, size - 1)] = '\0';
}

// Of the exception that is being handled.
Status describe_exception(Message* message) noexcept;

// body() as a function of the table.
template <typename Body>
Status guarded(Message* message, const Body& body) noexcept {
  try {
    body();
    return Status::kOk;
  } catch (...) {
    return describe_exception(message);
  }
}

}  // namespace remuda::cuda
