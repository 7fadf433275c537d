// What the kernels use of CUDA's runtime header, for the processor. Written from CUDA's documentation; emulation.h says
// how the threads run. What is missing is added here when a kernel first needs it.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "emulation.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ thread_local
#define __constant__ static
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

#define threadIdx (::emulation::self().thread)
#define blockIdx (::emulation::self().block)
constexpr int warpSize = 32;

// Vector types, aligned as CUDA aligns them: a load through a pointer that is not is an error there, and is found here.
#define EMULATION_VECTORS(name, type, align4)                                                                     \
  struct name##1 { type x; };                                                                                     \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };                                                        \
  struct name##3 { type x, y, z; };                                                                               \
  struct alignas(align4) name##4 { type x, y, z, w; };                                                            \
  inline name##1 make_##name##1(type x) { return {x}; }                                                           \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                                \
  inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }                                     \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
EMULATION_VECTORS(char, signed char, 4)
EMULATION_VECTORS(uchar, unsigned char, 4)
EMULATION_VECTORS(short, short, 8)
EMULATION_VECTORS(ushort, unsigned short, 8)
EMULATION_VECTORS(int, int, 16)
EMULATION_VECTORS(uint, unsigned, 16)
EMULATION_VECTORS(longlong, long long, 16)
EMULATION_VECTORS(ulonglong, unsigned long long, 16)
EMULATION_VECTORS(float, float, 16)
EMULATION_VECTORS(double, double, 16)
#undef EMULATION_VECTORS

// The runtime: launches run at once, and are refused for the reasons for which CUDA refuses them.
using cudaStream_t = struct CUstream_st*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize, cudaFuncAttributePreferredSharedMemoryCarveout };
enum cudaDeviceAttr {
  cudaDevAttrMaxThreadsPerBlock,
  cudaDevAttrMaxSharedMemoryPerBlock,
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrMaxThreadsPerMultiProcessor,
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor,
};
struct cudaLaunchAttribute;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);

namespace emulation {
cudaError_t check_launch(const void* kernel, const cudaLaunchConfig_t& config);
cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value);
}  // namespace emulation

template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
  return emulation::set_attribute(reinterpret_cast<const void*>(kernel), attribute, value);
}

template <typename Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int, size_t) {
  *blocks = 1;
  return cudaSuccess;
}

// Arguments are copied once and each thread takes them by value, as a kernel takes its parameters.
template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments&&... arguments) {
  static_assert((0 + ... + sizeof(Parameters)) <= 4096, "a kernel takes at most 4 KiB of parameters");
  const cudaError_t error = emulation::check_launch(reinterpret_cast<const void*>(kernel), *config);
  if (error != cudaSuccess) return error;
  emulation::run(config->gridDim, config->blockDim, config->dynamicSmemBytes, [&] { kernel(arguments...); });
  return cudaSuccess;
}

// Barriers and warps.
inline void __syncthreads() { emulation::sync_threads(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulation::sync_warp(mask); }
inline void __threadfence() { emulation::fence(); }
inline void __threadfence_block() { emulation::fence(); }

namespace emulation {

inline unsigned lane() { return self().lane; }

// Any value of up to 8 bytes from another lane; a source outside the segment of `width` lanes is one's own.
template <typename T>
T shuffle(unsigned mask, T value, int source, bool inside) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = value_of(gather(mask, bits), inside ? unsigned(source) : lane());
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <typename T, typename Combine>
T reduce(unsigned mask, T value, Combine combine) {
  const Gathered& all = gather(mask, uint64_t(value));
  for (unsigned other = 0; other < kWarpSize; ++other)
    if (other != lane() && (mask >> other & 1u)) value = combine(value, T(value_of(all, other)));
  return value;
}

}  // namespace emulation

template <typename T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const int first = int(emulation::lane()) / width * width;
  return emulation::shuffle(mask, value, first + source % width, true);
}
template <typename T> T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  const int source = int(emulation::lane()) ^ lanes, end = int(emulation::lane()) / width * width + width;
  return emulation::shuffle(mask, value, source, source < end);
}
template <typename T> T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32) {
  const int source = int(emulation::lane() + lanes), end = int(emulation::lane()) / width * width + width;
  return emulation::shuffle(mask, value, source, source < end);
}
template <typename T> T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32) {
  const int source = int(emulation::lane()) - int(lanes), first = int(emulation::lane()) / width * width;
  return emulation::shuffle(mask, value, source, source >= first);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const emulation::Gathered& all = emulation::gather(mask, predicate != 0);
  unsigned ballot = 0;
  for (unsigned lane = 0; lane < emulation::kWarpSize; ++lane)
    if (all.present >> lane & 1u) ballot |= unsigned(emulation::value_of(all, lane)) << lane;
  return ballot;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
template <typename T> T __reduce_add_sync(unsigned mask, T v) {
  return emulation::reduce(mask, v, [](T a, T b) { return T(a + b); });
}
template <typename T> T __reduce_min_sync(unsigned mask, T v) {
  return emulation::reduce(mask, v, [](T a, T b) { return a < b ? a : b; });
}
template <typename T> T __reduce_max_sync(unsigned mask, T v) {
  return emulation::reduce(mask, v, [](T a, T b) { return a < b ? b : a; });
}

// Atomics: no order for other accesses, as in CUDA; they return the old value.
namespace emulation {
template <typename T, typename Change>
T change(T* address, Change next) {
  using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  Bits* place = reinterpret_cast<Bits*>(address);
  Bits old = __atomic_load_n(place, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(place, &old, std::bit_cast<Bits>(T(next(std::bit_cast<T>(old)))), false,
                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return std::bit_cast<T>(old);
}
}  // namespace emulation
template <typename T> T atomicAdd(T* p, std::type_identity_t<T> v) {
  return emulation::change(p, [&](T old) { return old + v; });
}
template <typename T> T atomicSub(T* p, std::type_identity_t<T> v) {
  return emulation::change(p, [&](T old) { return old - v; });
}
template <typename T> T atomicMax(T* p, std::type_identity_t<T> v) {
  return emulation::change(p, [&](T old) { return old < v ? v : old; });
}
template <typename T> T atomicMin(T* p, std::type_identity_t<T> v) {
  return emulation::change(p, [&](T old) { return v < old ? v : old; });
}
template <typename T> T atomicOr(T* p, std::type_identity_t<T> v) {
  return emulation::change(p, [&](T old) { return old | v; });
}
template <typename T> T atomicAnd(T* p, std::type_identity_t<T> v) {
  return emulation::change(p, [&](T old) { return old & v; });
}
template <typename T> T atomicExch(T* p, std::type_identity_t<T> v) {
  return emulation::change(p, [&](T) { return v; });
}
template <typename T> T atomicCAS(T* p, std::type_identity_t<T> compare, std::type_identity_t<T> v) {
  return emulation::change(p, [&](T old) { return old == compare ? v : old; });
}
inline unsigned atomicInc(unsigned* p, unsigned limit) {
  return emulation::change(p, [&](unsigned old) { return old >= limit ? 0u : old + 1; });
}

// Loads and stores that name a cache policy.
template <typename T> T __ldg(const T* p) { return *p; }
template <typename T> T __ldcs(const T* p) { return *p; }
template <typename T> T __ldcg(const T* p) { return *p; }
template <typename T> T __ldca(const T* p) { return *p; }
template <typename T> T __ldlu(const T* p) { return *p; }
template <typename T> void __stcs(T* p, std::type_identity_t<T> v) { *p = v; }
template <typename T> void __stcg(T* p, std::type_identity_t<T> v) { *p = v; }
template <typename T> void __stwt(T* p, std::type_identity_t<T> v) { *p = v; }

// Arithmetic. The fast functions are the exact ones here.
template <typename T, typename U> constexpr std::common_type_t<T, U> min(T a, U b) {
  using V = std::common_type_t<T, U>;
  return V(b) < V(a) ? V(b) : V(a);
}
template <typename T, typename U> constexpr std::common_type_t<T, U> max(T a, U b) {
  using V = std::common_type_t<T, U>;
  return V(a) < V(b) ? V(b) : V(a);
}
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __saturatef(float x) { return x > 0.0f ? std::min(x, 1.0f) : 0.0f; }  // of a NaN it is 0
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline int __float2int_rn(float x) { return int(std::nearbyint(x)); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(unsigned(x)); }
inline int __ffs(int x) { return x ? std::countr_zero(unsigned(x)) + 1 : 0; }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
inline int __mulhi(int a, int b) { return int(int64_t(a) * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
