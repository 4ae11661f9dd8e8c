// The errors that remuda throws. Every message says what was expected, what was found, where, and what to do.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace remuda {

enum class ErrorCode {
  kInvalidArgument,  // The caller passed something that can't be used.
  kNotFound,         // A file, a directory or a model does not exist.
  kInvalidFile,      // A file exists, and its content is damaged or contradicts itself.
  kUnsupported,      // Well-formed, and not something that remuda can run.
  kIo,               // The operating system refused to read or write.
  kTimeout,
  kOverloaded,  // Too many callers wait already; later there may be room.
  kPoolClosed,
  kOutOfMemory,
  kDeviceError,  // A GPU failed, or is lost to this process.
  kCancelled,
  kInternal,  // A broken invariant: a bug in remuda.
};

// The name of a code as logs and JSON show it, for example "invalid_file".
std::string_view to_string(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}

  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

// A wait ended at its deadline. The message names who held what was waited for.
class TimeoutError : public Error {
 public:
  explicit TimeoutError(const std::string& message) : Error(ErrorCode::kTimeout, message) {}
};

// The queue is full: this caller was not let in, at once and without waiting. The message has the figures.
class Overloaded : public Error {
 public:
  explicit Overloaded(const std::string& message) : Error(ErrorCode::kOverloaded, message) {}
};

// The pool was closed before or while the caller waited; it gives out nothing any more.
class PoolClosed : public Error {
 public:
  explicit PoolClosed(const std::string& message) : Error(ErrorCode::kPoolClosed, message) {}
};

// Memory that was asked for does not fit; the message has the figures.
class OutOfMemory : public Error {
 public:
  explicit OutOfMemory(const std::string& message, std::string device = {})
      : Error(ErrorCode::kOutOfMemory, message), device_(std::move(device)) {}

  // Whose memory it is, "cpu" or "cuda:0"; empty where it isn't that of one device.
  const std::string& device() const noexcept { return device_; }

 private:
  std::string device_;
};

// A GPU failed while it was used.
class DeviceError : public Error {
 public:
  DeviceError(std::string device, bool is_lost, const std::string& message)
      : Error(ErrorCode::kDeviceError, message), device_(std::move(device)), is_lost_(is_lost) {}

  const std::string& device() const noexcept { return device_; }  // "cuda:0".
  // Whether this process can't use it any more.
  bool is_lost() const noexcept { return is_lost_; }

 private:
  std::string device_;
  bool is_lost_;
};

}  // namespace remuda
