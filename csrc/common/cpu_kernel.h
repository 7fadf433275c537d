// What every CPU kernel needs: one build that is fast on every x86-64, and half precision stored narrow, computed wide.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

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

// Scratch memory. It begins on a cache line: a load of the widest vector that straddles two takes twice as long.
template <typename T>
struct CacheAligned {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};
  CacheAligned() = default;
  template <typename U> CacheAligned(const CacheAligned<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kLine)); }
  void deallocate(T* p, std::size_t) { ::operator delete(p, kLine); }
  template <typename U> bool operator==(const CacheAligned<U>&) const { return true; }
};
template <typename T> using Scratch = std::vector<T, CacheAligned<T>>;

// The upper half of a float32.
struct BFloat16 {
  uint16_t bits;
};

template <typename T> struct Wide { using type = T; };
template <> struct Wide<BFloat16> { using type = float; };

template <typename T> inline typename Wide<T>::type widen(T v) { return v; }
inline float from_bits(uint32_t bits) {
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
inline float widen(BFloat16 v) { return from_bits(uint32_t(v.bits) << 16); }

// To the nearest, ties to even; a NaN stays one.
template <typename T> inline T narrow(typename Wide<T>::type v) { return v; }
inline uint32_t rounded_bits(float v) {  // the result is their upper half
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  const uint32_t rounded = bits + (0x7fffu + ((bits >> 16) & 1u));
  return v == v ? rounded : 0x7fc00000u;
}
template <> inline BFloat16 narrow<BFloat16>(float v) { return {uint16_t(rounded_bits(v) >> 16)}; }

// y[i] = f(x[i] widened, i). Two neighbouring bfloat16 are worked on as one word, whose halves a shift and a mask
// widen: converting them one by one would take longer than most of what is done with them.
template <typename T, typename F>
inline void map_values(const T* __restrict__ x, T* __restrict__ y, int64_t n, F f) {
  for (int64_t i = 0; i < n; ++i) y[i] = narrow<T>(f(widen(x[i]), i));
}
template <typename F>
inline void map_values(const BFloat16* __restrict__ x, BFloat16* __restrict__ y, int64_t n, F f) {
  typedef uint32_t __attribute__((may_alias, aligned(alignof(BFloat16)))) Pair;
  const Pair* __restrict__ from = reinterpret_cast<const Pair*>(x);
  Pair* __restrict__ to = reinterpret_cast<Pair*>(y);
  for (int64_t i = 0; i < n / 2; ++i) {
    const uint32_t pair = from[i];
    const float first = from_bits(pair << 16), second = from_bits(pair & 0xffff0000u);
    to[i] = rounded_bits(f(first, 2 * i)) >> 16 | (rounded_bits(f(second, 2 * i + 1)) & 0xffff0000u);
  }
  if (n % 2) y[n - 1] = narrow<BFloat16>(f(widen(x[n - 1]), n - 1));
}

// A bound rounded as the values it bounds, so that a backward pass recognises a stored value that stands at it.
template <typename T> inline typename Wide<T>::type as_stored(double bound) {
  return widen(narrow<T>(static_cast<typename Wide<T>::type>(bound)));
}

}  // namespace pumpgan
