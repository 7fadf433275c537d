// What every CPU kernel needs: one build that is fast on every x86-64, and half precision stored narrow, computed wide.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/parallel.h"

// Marks the function that holds a kernel's loops. gcc compiles it, with all it calls, for AVX-512, AVX2 and plain
// x86-64, and the loader picks one. Inside: pointers __restrict__, and scalars in const locals, or nothing vectorises.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#if __GNUC__ >= 12
#define PUMPGAN_EVERY_ISA __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), flatten))
#define PUMPGAN_AVX512 "x86-64-v4"
#define PUMPGAN_AVX2 "x86-64-v3"
#else  // knows no levels; and "arch=haswell" would mean that processor alone, a feature every one that has it
#define PUMPGAN_EVERY_ISA __attribute__((target_clones("avx512f", "avx2", "default"), flatten))
#define PUMPGAN_AVX512 "avx512f"
#define PUMPGAN_AVX2 "avx2"
#endif
#else
#define PUMPGAN_EVERY_ISA
#endif

namespace pumpgan {

// Which of these builds runs here.
inline const char* cpu_isa() {
#ifdef PUMPGAN_AVX512
  if (__builtin_cpu_supports(PUMPGAN_AVX512)) return "AVX-512";
  if (__builtin_cpu_supports(PUMPGAN_AVX2)) return "AVX2";
  return "SSE2";
#else
  return "as compiled";
#endif
}

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

// A bound rounded as the values it bounds, so that a backward pass recognises a stored value that stands at it.
template <typename T> inline typename Wide<T>::type as_stored(double bound) {
  return widen(narrow<T>(static_cast<typename Wide<T>::type>(bound)));
}

}  // namespace pumpgan
