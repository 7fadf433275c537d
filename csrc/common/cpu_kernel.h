// What every CPU kernel needs: one build that is fast on every x86-64, and half precision stored narrow, computed wide.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/parallel.h"

// Marks the function that holds a kernel's loops. gcc compiles it, with all it calls, for AVX-512, AVX2 and plain
// x86-64, and the loader picks one. Inside: pointers __restrict__, and scalars in const locals, or nothing vectorises.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PUMPGAN_EVERY_ISA __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), flatten))
#else
#define PUMPGAN_EVERY_ISA
#endif

namespace pumpgan {

// The upper half of a float32.
struct BFloat16 {
  uint16_t bits;
};

template <typename T> struct Wide { using type = T; };
template <> struct Wide<BFloat16> { using type = float; };

template <typename T> inline typename Wide<T>::type widen(T v) { return v; }
inline float widen(BFloat16 v) {
  const uint32_t bits = uint32_t(v.bits) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

// To the nearest, ties to even; a NaN stays one.
template <typename T> inline T narrow(typename Wide<T>::type v) { return v; }
template <> inline BFloat16 narrow<BFloat16>(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return {uint16_t((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded)};
}

}  // namespace pumpgan
