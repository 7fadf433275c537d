// Neighbours in memory that one access moves. They are kept, loaded and stored as words, and converted two halves at a
// time: were they elements, nvcc would take them apart into 16-bit registers, and their stores into 16-bit stores.
#pragma once

#include <cstring>

#include "common/cuda_kernel.h"

namespace pumpgan {

template <int kBytes> struct Words;
template <> struct Words<2> { using type = unsigned short; };
template <> struct Words<4> { using type = unsigned; };
template <> struct Words<8> { using type = uint2; };
template <> struct Words<16> { using type = uint4; };

// kWidth elements, of 2 to 16 bytes together; {} holds zeros.
template <typename T, int kWidth>
struct Pack {
  typename Words<int(sizeof(T)) * kWidth>::type words;
};
template <typename T> constexpr int kWidest = int(16 / sizeof(T));

inline bool aligned(const void* pointer, size_t bytes = 16) {
  return reinterpret_cast<uintptr_t>(pointer) % bytes == 0;
}

// kWidth neighbours, of which `left` exist and the others count as 0. In one access where kPacked, which wants all of
// them to exist and `from` to be aligned to their size.
template <bool kPacked, int kWidth, typename T>
__device__ __forceinline__ Pack<T, kWidth> load(const T* from, int64_t left) {
  Pack<T, kWidth> pack;
  if constexpr (kPacked) {
    pack.words = *reinterpret_cast<const decltype(pack.words)*>(from);
  } else {
    T elements[kWidth];
#pragma unroll
    for (int j = 0; j < kWidth; ++j) elements[j] = j < left ? from[j] : T{};
    std::memcpy(&pack, elements, sizeof pack);
  }
  return pack;
}

template <bool kPacked, typename T, int kWidth>
__device__ __forceinline__ void store(T* to, int64_t left, const Pack<T, kWidth>& pack) {
  if constexpr (kPacked) {
    __stcg(reinterpret_cast<decltype(Pack<T, kWidth>::words)*>(to), pack.words);  // a plain store may be taken apart
  } else {
    T elements[kWidth];
    std::memcpy(elements, &pack, sizeof pack);
#pragma unroll
    for (int j = 0; j < kWidth; ++j)
      if (j < left) to[j] = elements[j];
  }
}

// Two halves in a word.
template <typename T> struct Pairs { static constexpr bool known = false; };
template <> struct Pairs<__half> {
  static constexpr bool known = true;
  static __device__ __forceinline__ float2 widen(unsigned word) {
    __half2 pair;
    std::memcpy(&pair, &word, sizeof pair);
    return __half22float2(pair);
  }
  static __device__ __forceinline__ unsigned narrow(float low, float high) {
    const __half2 pair = __floats2half2_rn(low, high);
    unsigned word;
    std::memcpy(&word, &pair, sizeof word);
    return word;
  }
};
template <> struct Pairs<__nv_bfloat16> {
  static constexpr bool known = true;
  static __device__ __forceinline__ float2 widen(unsigned word) {
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
  }
  static __device__ __forceinline__ unsigned narrow(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    unsigned word;
    std::memcpy(&word, &pair, sizeof word);
    return word;
  }
};

template <typename T, int kWidth>
__device__ __forceinline__ void widen(const Pack<T, kWidth>& pack, typename Wide<T>::type (&to)[kWidth]) {
  if constexpr (Pairs<T>::known && kWidth % 2 == 0) {
    unsigned words[kWidth / 2];
    std::memcpy(words, &pack, sizeof words);
#pragma unroll
    for (int j = 0; j < kWidth / 2; ++j) {
      const float2 pair = Pairs<T>::widen(words[j]);
      to[2 * j] = pair.x;
      to[2 * j + 1] = pair.y;
    }
  } else {
    T elements[kWidth];
    std::memcpy(elements, &pack, sizeof elements);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) to[j] = widen(elements[j]);
  }
}

// to = what stands from `from` on, of which `left` exist; `fallback` everywhere where there is nothing at all.
template <bool kPacked, typename A, int kWidth>
__device__ __forceinline__ void values_at(const A* from, int64_t left, A fallback, A (&to)[kWidth]) {
  constexpr int kPart = kWidth < kWidest<A> ? kWidth : kWidest<A>;
#pragma unroll
  for (int j = 0; j < kWidth; j += kPart) {
    A part[kPart];
#pragma unroll
    for (int i = 0; i < kPart; ++i) part[i] = fallback;
    if (from) widen(load<kPacked, kPart>(from + j, left - j), part);
#pragma unroll
    for (int i = 0; i < kPart; ++i) to[j + i] = part[i];
  }
}

// The kWidth values from `from` on.
template <typename T, int kWidth>
__device__ __forceinline__ Pack<T, kWidth> narrow_pack(const typename Wide<T>::type* from) {
  Pack<T, kWidth> pack;
  if constexpr (Pairs<T>::known && kWidth % 2 == 0) {
    unsigned words[kWidth / 2];
#pragma unroll
    for (int j = 0; j < kWidth / 2; ++j) words[j] = Pairs<T>::narrow(from[2 * j], from[2 * j + 1]);
    std::memcpy(&pack, words, sizeof pack);
  } else {
    T elements[kWidth];
#pragma unroll
    for (int j = 0; j < kWidth; ++j) elements[j] = narrow<T>(from[j]);
    std::memcpy(&pack, elements, sizeof pack);
  }
  return pack;
}

}  // namespace pumpgan
