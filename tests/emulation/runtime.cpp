// The few calls of CUDA's runtime that launchers make.
#include <map>

#include "cuda_runtime.h"

namespace {

constexpr int kSharedBytesUnasked = 48 * 1024;  // beyond it a kernel must ask, by cudaFuncSetAttribute

cudaError_t last_error = cudaSuccess;
std::map<const void*, int> shared_bytes_asked;

cudaError_t recorded(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

}  // namespace

cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
  }
  return "unrecognized error code";
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

// An H100's, but for two multiprocessors: persistent grids stay small.
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = kSharedBytesUnasked; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = int(emulation::kSharedBytes); return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 2048; return cudaSuccess;
    case cudaDevAttrMultiProcessorCount: *value = 2; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor: *value = 9; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; return cudaSuccess;
  }
  return recorded(cudaErrorInvalidValue);
}

namespace emulation {

cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;  // a hint
  if (value < 0 || size_t(value) > kSharedBytes) return recorded(cudaErrorInvalidValue);
  shared_bytes_asked[kernel] = value;
  return cudaSuccess;
}

cudaError_t check_launch(const void* kernel, const cudaLaunchConfig_t& config) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const bool some = grid.x && grid.y && grid.z && block.x && block.y && block.z;
  if (!some || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    return recorded(cudaErrorInvalidConfiguration);
  if (block.x > 1024 || block.y > 1024 || block.z > 64 || uint64_t(block.x) * block.y * block.z > 1024)
    return recorded(cudaErrorInvalidConfiguration);
  const auto asked = shared_bytes_asked.find(kernel);
  const int most = asked == shared_bytes_asked.end() ? kSharedBytesUnasked : std::max(asked->second, kSharedBytesUnasked);
  if (config.dynamicSmemBytes > size_t(most)) return recorded(cudaErrorInvalidValue);
  return cudaSuccess;
}

}  // namespace emulation
