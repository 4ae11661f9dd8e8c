#include "device/cuda/cuda_error.h"

#include <new>

namespace remuda::cuda {
namespace {

Status status_of(cudaError_t code) {
  if (code == cudaErrorMemoryAllocation) return Status::kOutOfMemory;
  if (code == cudaErrorInvalidValue) return Status::kInvalidArgument;
  return loses_device(code) ? Status::kDeviceLost : Status::kFailed;
}

}  // namespace

bool loses_device(cudaError_t code) {
  switch (static_cast<int>(code)) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case 226:  // cudaErrorContained, for which older versions have no name.
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
      return true;
    default:
      return false;
  }
}

Status describe_exception(Message* message) noexcept {
  try {
    throw;
  } catch (const CudaError& error) {
    copy_text(message->text, error.what());
    return status_of(error.code());
  } catch (const StatusError& error) {
    copy_text(message->text, error.what());
    return error.status();
  } catch (const std::bad_alloc&) {
    copy_text(message->text, "the host has no memory left");
    return Status::kFailed;
  } catch (const std::exception& error) {
    copy_text(message->text, error.what());
    return Status::kFailed;
  } catch (...) {
    copy_text(message->text, "an unknown exception");
    return Status::kFailed;
  }
}

}  // namespace remuda::cuda
