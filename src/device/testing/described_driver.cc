// In libcuda.so.1's place: a driver of the version that REMUDA_DESCRIBED_DRIVER says, 12040 for 12.4, which fails to
// start with the error that follows it, if one does: "13000,100". It has no GPU, and no more functions than the CUDA
// runtime asks for before it finds that out.
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

struct Described {
  int version = 0;
  int error = 0;
};

Described described() {
  Described driver;
  const char* const text = std::getenv("REMUDA_DESCRIBED_DRIVER");
  if (text != nullptr) std::sscanf(text, "%d,%d", &driver.version, &driver.error);
  return driver;
}

int not_supported() { return 801; }

}  // namespace

extern "C" {

int cuDriverGetVersion(int* version) {
  *version = described().version;
  return 0;
}

int cuInit(unsigned) { return described().error; }

int cuCtxGetCurrent(void** context) {
  *context = nullptr;
  return 0;
}

int cuCtxSetCurrent(void*) { return 0; }

int cuGetProcAddress_v2(const char* symbol, void** function, int, unsigned long long, int* status) {
  *function = reinterpret_cast<void*>(not_supported);
  if (std::strcmp(symbol, "cuDriverGetVersion") == 0) *function = reinterpret_cast<void*>(cuDriverGetVersion);
  if (std::strcmp(symbol, "cuInit") == 0) *function = reinterpret_cast<void*>(cuInit);
  if (std::strncmp(symbol, "cuGetProcAddress", 16) == 0) *function = reinterpret_cast<void*>(cuGetProcAddress_v2);
  if (status != nullptr) *status = 0;
  return 0;
}

int cuGetProcAddress(const char* symbol, void** function, int version, unsigned long long flags) {
  return cuGetProcAddress_v2(symbol, function, version, flags, nullptr);
}
}
