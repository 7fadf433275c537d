// float16, as far as the kernels use it: conversions by name alone, as torch's build switches the implicit ones off.
#pragma once

#include <cmath>
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

inline float __half2float(__half v) {
  const int exponent = v.bits >> 10 & 31, fraction = v.bits & 1023;
  const float sign = v.bits >> 15 ? -1.0f : 1.0f;
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  return sign * (exponent ? std::ldexp(float(fraction + 1024), exponent - 25) : std::ldexp(float(fraction), -24));
}

// To the nearest, ties to even; a NaN becomes CUDA's.
inline __half __float2half_rn(float v) {
  if (v != v) return {0x7fff};
  const uint16_t sign = std::signbit(v) ? 0x8000 : 0;
  const float size = std::fabs(v);
  if (size == 0.0f) return {sign};
  if (size >= 65520.0f) return {uint16_t(sign | 0x7c00)};
  int exponent;
  std::frexp(size, &exponent);                    // size is in [1/2, 1) * 2^exponent
  const int step = std::max(exponent, -13) - 11;  // neighbours are 2^step apart
  const int steps = int(std::nearbyint(std::ldexp(size, -step)));  // 2,048 of them raise the exponent by one
  return {uint16_t(sign | (steps + (step + 24) * 1024))};
}
inline __half __float2half(float v) { return __float2half_rn(v); }

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
