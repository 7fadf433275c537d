// What every CPU kernel needs: one build that is fast on every x86-64, and half precision stored narrow, computed wide.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "common/parallel.h"

// Marks the function that holds a kernel's loops. gcc compiles it, with all it calls, for AVX-512, AVX2 and plain
// x86-64, and the loader picks one. Inside: pointers __restrict__, and scalars in const locals, or nothing vectorises.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#if __GNUC__ >= 12
#define PUMPGAN_EVERY_ISA __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), flatten))
#define PUMPGAN_FOR_AVX512 __attribute__((target("arch=x86-64-v4"), flatten))
#define PUMPGAN_FOR_AVX2 __attribute__((target("arch=x86-64-v3"), flatten))
#define PUMPGAN_AVX512 "x86-64-v4"
#define PUMPGAN_AVX2 "x86-64-v3"
#else  // knows no levels; and "arch=haswell" would mean that processor alone, a feature every one that has it
#define PUMPGAN_EVERY_ISA __attribute__((target_clones("avx512f", "avx2", "default"), flatten))
#define PUMPGAN_FOR_AVX512 __attribute__((target("avx512f"), flatten))
#define PUMPGAN_FOR_AVX2 __attribute__((target("avx2"), flatten))
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

// Of the vectors of the build that runs here.
inline int vector_bytes() {
#ifdef PUMPGAN_VECTOR_BYTES  // a test may ask for narrower ones
  return PUMPGAN_VECTOR_BYTES;
#elif defined(PUMPGAN_AVX512)
  static const int bytes = __builtin_cpu_supports(PUMPGAN_AVX512) ? 64 : __builtin_cpu_supports(PUMPGAN_AVX2) ? 32 : 16;
  return bytes;
#else
  return 16;
#endif
}

// Loop::run<kBytes>(arguments...), written with vectors of kBytes: those of vector_bytes(). target_clones could not
// choose their width, and vectors wider than a processor's live in memory, at a third of the speed.
#ifdef PUMPGAN_AVX512
template <typename Loop, typename... X>
PUMPGAN_FOR_AVX512 void run_for_avx512(const X&... x) { Loop::template run<64>(x...); }
template <typename Loop, typename... X>
PUMPGAN_FOR_AVX2 void run_for_avx2(const X&... x) { Loop::template run<32>(x...); }
#endif
template <typename Loop, typename... X>
__attribute__((flatten)) void run_for_any(const X&... x) { Loop::template run<16>(x...); }
template <typename Loop, typename... X>
void run_widest(const X&... x) {
#ifdef PUMPGAN_AVX512
  if (vector_bytes() == 64) return run_for_avx512<Loop>(x...);
  if (vector_bytes() == 32) return run_for_avx2<Loop>(x...);
#endif
  run_for_any<Loop>(x...);
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

// y[i] = f(slot of i, x[i] widened, ...) for i < n, of any number of arrays x; returns the sum of what f made, in an order
// that depends on n alone. Two neighbouring bfloat16 are worked on as
// one word, whose halves a shift and a mask widen: converting them one by one would take longer than most of what is
// done with them. So that f finds what goes with neighbours side by side, even elements have the slots from 0 on, odd
// ones those from `half` on; of other types element i has slot i. A NaN that f makes must come of its x or of finite
// numbers: the lower half of such a one is 0, and rounding leaves it a NaN.
template <typename T, typename F, typename... X>
inline typename Wide<T>::type map_values(int64_t n, int64_t half, T* y, F f, const X*... x) {
  typename Wide<T>::type sum = 0;
  if constexpr (!std::is_same_v<T, BFloat16>) {
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) {
      const T value = f(i, x[i]...);
      y[i] = value;
      sum += value;
    }
  } else {
    typedef uint32_t __attribute__((may_alias, aligned(alignof(BFloat16)))) Pair;
    const auto nearest = [](float v) {  // its upper half is v as a bfloat16
      uint32_t bits;
      std::memcpy(&bits, &v, sizeof bits);
      return bits + (0x7fffu + ((bits >> 16) & 1u));
    };
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n / 2; ++i) {
      const float even = f(i, from_bits(reinterpret_cast<const Pair*>(x)[i] << 16)...);
      const float odd = f(half + i, from_bits(reinterpret_cast<const Pair*>(x)[i] & 0xffff0000u)...);
      reinterpret_cast<Pair*>(y)[i] = nearest(even) >> 16 | (nearest(odd) & 0xffff0000u);
      sum += even + odd;
    }
    if (n % 2) {
      const float last = f(n / 2, widen(x[n - 1])...);
      y[n - 1] = narrow<BFloat16>(last);
      sum += last;
    }
  }
  return sum;
}
template <typename T> inline int64_t slot_of(int64_t i, int64_t half) {
  return std::is_same_v<T, BFloat16> ? i / 2 + i % 2 * half : i;
}

// A bound rounded as the values it bounds, so that a backward pass recognises a stored value that stands at it.
template <typename T> inline typename Wide<T>::type as_stored(double bound) {
  return widen(narrow<T>(static_cast<typename Wide<T>::type>(bound)));
}

}  // namespace pumpgan
