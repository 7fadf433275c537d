// Between logits as they lie in memory and a tile of pixels with its classes apart, as loops along pixels want them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "common/cpu_kernel.h"

namespace pumpgan {

// Four neighbours in memory, widened.
typedef float Four __attribute__((vector_size(16)));
typedef uint32_t FourWords __attribute__((vector_size(16)));
typedef uint16_t FourHalves __attribute__((vector_size(8)));

inline Four load_four(const float* from) {
  Four four;
  std::memcpy(&four, from, sizeof four);
  return four;
}
inline Four load_four(const BFloat16* from) {
  FourHalves halves;
  std::memcpy(&halves, from, sizeof halves);
  return reinterpret_cast<Four>(__builtin_convertvector(halves, FourWords) << 16);
}
inline void store_four(Four four, float* to) { std::memcpy(to, &four, sizeof four); }
inline void store_four(Four four, BFloat16* to) {  // of values that as_narrow() has rounded
  const FourHalves halves = __builtin_convertvector(reinterpret_cast<FourWords>(four) >> 16, FourHalves);
  std::memcpy(to, &halves, sizeof halves);
}

// The value that narrowing to T leaves.
template <typename T> inline typename Wide<T>::type as_narrow(typename Wide<T>::type v) { return v; }
template <> inline float as_narrow<BFloat16>(float v) { return from_bits(rounded_bits(v) & 0xffff0000u); }

#if defined(__clang__) || __GNUC__ >= 12
#define PUMPGAN_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PUMPGAN_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, FourWords{__VA_ARGS__})
#endif

// Rows of a 4x4 matrix become its columns.
inline void transpose_four(Four& a, Four& b, Four& c, Four& d) {
  const Four ab = PUMPGAN_SHUFFLE(a, b, 0, 4, 1, 5), ab_high = PUMPGAN_SHUFFLE(a, b, 2, 6, 3, 7);
  const Four cd = PUMPGAN_SHUFFLE(c, d, 0, 4, 1, 5), cd_high = PUMPGAN_SHUFFLE(c, d, 2, 6, 3, 7);
  a = PUMPGAN_SHUFFLE(ab, cd, 0, 1, 4, 5);
  b = PUMPGAN_SHUFFLE(ab, cd, 2, 3, 6, 7);
  c = PUMPGAN_SHUFFLE(ab_high, cd_high, 0, 1, 4, 5);
  d = PUMPGAN_SHUFFLE(ab_high, cd_high, 2, 3, 6, 7);
}

// body(i, c) for squares of four pixels by four classes that cover a tile of at least that; the last ones overlap.
template <typename Body>
inline void for_each_square(int64_t size, int64_t classes, Body body) {
  for (int64_t first = 0; first < size; first += 4)
    for (int64_t c = 0; c < classes; c += 4) body(std::min(first, size - 4), std::min(c, classes - 4));
}

constexpr int64_t kStrip = 32;  // pixels whose classes are met together where neither is a neighbour of the next

// values[c * stride + i] = logits of pixel i, class c, widened.
template <typename T, typename A>
inline void take_apart(const T* __restrict__ logits, int64_t pixel, int64_t label, int64_t size, int64_t classes,
                       A* __restrict__ values, int64_t stride) {
  if (pixel == 1) {
    for (int64_t c = 0; c < classes; ++c)
      for (int64_t i = 0; i < size; ++i) values[c * stride + i] = widen(logits[c * label + i]);
    return;
  }
  if (label == 1 && pixel == 2 && classes == 2) {
    for (int64_t i = 0; i < size; ++i) {
      values[i] = widen(logits[2 * i]);
      values[stride + i] = widen(logits[2 * i + 1]);
    }
    return;
  }
  if constexpr (std::is_same_v<A, float>)
    if (label == 1 && classes >= 4 && size >= 4)
      return for_each_square(size, classes, [=](int64_t i, int64_t c) {
        const T* from = logits + i * pixel + c;
        Four v0 = load_four(from), v1 = load_four(from + pixel), v2 = load_four(from + 2 * pixel),
             v3 = load_four(from + 3 * pixel);
        transpose_four(v0, v1, v2, v3);
        A* to = values + c * stride + i;
        store_four(v0, to);
        store_four(v1, to + stride);
        store_four(v2, to + 2 * stride);
        store_four(v3, to + 3 * stride);
      });
  for (int64_t first = 0; first < size; first += kStrip)
    for (int64_t c = 0; c < classes; ++c)
      for (int64_t i = first; i < std::min(first + kStrip, size); ++i)
        values[c * stride + i] = widen(logits[c * label + i * pixel]);
}

// The way back, of values that as_narrow<T>() has rounded.
template <typename T, typename A>
inline void put_together(const A* __restrict__ values, int64_t stride, int64_t size, int64_t classes,
                         T* __restrict__ logits, int64_t pixel, int64_t label) {
  if (label == 1 && pixel == 2 && classes == 2) {
    for (int64_t i = 0; i < size; ++i) {
      logits[2 * i] = narrow<T>(values[i]);
      logits[2 * i + 1] = narrow<T>(values[stride + i]);
    }
    return;
  }
  if constexpr (std::is_same_v<A, float>)
    if (label == 1 && classes >= 4 && size >= 4)
      return for_each_square(size, classes, [=](int64_t i, int64_t c) {
        const A* from = values + c * stride + i;
        Four v0 = load_four(from), v1 = load_four(from + stride), v2 = load_four(from + 2 * stride),
             v3 = load_four(from + 3 * stride);
        transpose_four(v0, v1, v2, v3);
        T* to = logits + i * pixel + c;
        store_four(v0, to);
        store_four(v1, to + pixel);
        store_four(v2, to + 2 * pixel);
        store_four(v3, to + 3 * pixel);
      });
  for (int64_t first = 0; first < size; first += kStrip)
    for (int64_t c = 0; c < classes; ++c)
      for (int64_t i = first; i < std::min(first + kStrip, size); ++i)
        logits[c * label + i * pixel] = narrow<T>(values[c * stride + i]);
}

}  // namespace pumpgan
