// float16, as far as the kernels use it: conversions by name alone, as torch's build switches the implicit ones off.
#pragma once

#include <bit>
#include <cstdint>

#include "cuda_runtime.h"

struct __half {
  uint16_t bits;
};
struct alignas(4) __half2 {
  __half x, y;
};
using half = __half;
using half2 = __half2;

// To the nearest, ties to even, by the compiler.
inline __half __float2half_rn(float v) { return {std::bit_cast<uint16_t>(static_cast<_Float16>(v))}; }
inline __half __float2half(float v) { return __float2half_rn(v); }
inline __half __double2half(double v) { return {std::bit_cast<uint16_t>(static_cast<_Float16>(v))}; }
inline float __half2float(__half v) { return static_cast<float>(std::bit_cast<_Float16>(v.bits)); }

inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline __half2 __half2half2(__half v) { return {v, v}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half_rn(x), __float2half_rn(y)}; }
inline __half2 __float22half2_rn(float2 v) { return __floats2half2_rn(v.x, v.y); }
inline float2 __half22float2(__half2 v) { return {__half2float(v.x), __half2float(v.y)}; }
inline float __low2float(__half2 v) { return __half2float(v.x); }
inline float __high2float(__half2 v) { return __half2float(v.y); }
inline __half __low2half(__half2 v) { return v.x; }
inline __half __high2half(__half2 v) { return v.y; }
inline unsigned short __half_as_ushort(__half v) { return v.bits; }
inline __half __ushort_as_half(unsigned short v) { return {v}; }
inline bool __hisnan(__half v) { return (v.bits & 0x7fffu) > 0x7c00u; }
