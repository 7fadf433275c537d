// What filters on the processor are made of: sums of rows, and a window that slides along one with its sums in registers.
#pragma once

#include <algorithm>
#include <cstring>

#include "common/cpu_kernel.h"

namespace pumpgan {

constexpr int64_t kTogether = 4;  // rows that one pass of the loop adds up

// out[i] = (add ? out[i] : 0) + sum over m < count of weights[m] * rows[m][i].
template <int count, bool add, typename In, typename A, typename Out>
inline void sum_of(const In* const* rows, const A* weights, Out* out, int64_t n) {
  const In* const r0 = rows[0];
  const In* const r1 = rows[count > 1 ? 1 : 0];
  const In* const r2 = rows[count > 2 ? 2 : 0];
  const In* const r3 = rows[count > 3 ? 3 : 0];
  const A w0 = weights[0], w1 = weights[count > 1 ? 1 : 0], w2 = weights[count > 2 ? 2 : 0],
          w3 = weights[count > 3 ? 3 : 0];
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    A sum = w0 * widen(r0[i]);
    if (count > 1) sum += w1 * widen(r1[i]);
    if (count > 2) sum += w2 * widen(r2[i]);
    if (count > 3) sum += w3 * widen(r3[i]);
    out[i] = narrow<Out>(add ? widen(out[i]) + sum : sum);
  }
}

template <bool add, typename In, typename A, typename Out>
inline void sum_of_up_to_four(const In* const* rows, const A* weights, int64_t count, Out* out, int64_t n) {
  switch (count) {
    case 1: return sum_of<1, add>(rows, weights, out, n);
    case 2: return sum_of<2, add>(rows, weights, out, n);
    case 3: return sum_of<3, add>(rows, weights, out, n);
    default: return sum_of<4, add>(rows, weights, out, n);
  }
}

template <typename In, typename A, typename Out>
inline void sum_of_rows(const In* const* rows, const A* weights, int64_t count, bool add, Out* out, int64_t n) {
  if (count == 0 && !add) std::fill(out, out + n, Out{});
  for (int64_t m = 0; m < count; m += kTogether) {
    const int64_t together = std::min(kTogether, count - m);
    if (add || m > 0)
      sum_of_up_to_four<true>(rows + m, weights + m, together, out, n);
    else
      sum_of_up_to_four<false>(rows + m, weights + m, together, out, n);
  }
}

// kBytes of T, widened: two vectors of a bfloat16's even and odd elements, so that widening and narrowing are shifts and
// masks; else one.
template <typename T, int kBytes>
struct Block {
  using A = typename Wide<T>::type;
  typedef A Vector __attribute__((vector_size(kBytes)));
  typedef uint32_t Bits __attribute__((vector_size(kBytes)));
  static constexpr int64_t kElements = kBytes / sizeof(T);
  static constexpr int kParts = sizeof(A) / sizeof(T);
  Vector part[kParts];

  inline void clear() {
    for (Vector& v : part) v = Vector{};
  }
  inline void load(const T* from) {
    if constexpr (kParts == 1) {
      std::memcpy(&part[0], from, kBytes);
    } else {
      Bits pairs;
      std::memcpy(&pairs, from, kBytes);
      part[0] = reinterpret_cast<Vector>(pairs << 16);
      part[1] = reinterpret_cast<Vector>(pairs & 0xffff0000u);
    }
  }
  inline void store(T* to) const {
    if constexpr (kParts == 1) {
      std::memcpy(to, &part[0], kBytes);
    } else {  // narrow(), on pairs
      Bits rounded[2];
      for (int k = 0; k < 2; ++k) {
        const Bits bits = reinterpret_cast<Bits>(part[k]);
        const Bits nearest = bits + (((bits >> 16) & 1u) + 0x7fffu);
        rounded[k] = part[k] == part[k] ? nearest : Bits{} + 0x7fc00000u;
      }
      const Bits pairs = (rounded[0] >> 16) | (rounded[1] & 0xffff0000u);
      std::memcpy(to, &pairs, kBytes);
    }
  }
  inline void add(A weight, const Block& other) {
    for (int k = 0; k < kParts; ++k) part[k] += weight * other.part[k];
  }

  // Every value becomes f of itself and of those that stand in its place in the others. Written as a loop over numbers,
  // gcc makes vectors of comparisons; those of whole vectors it takes apart.
  template <typename F, typename... Others>
  inline void apply(const F& f, const Others&... others) {
#pragma GCC unroll 2
    for (int k = 0; k < kParts; ++k) {
      Lanes lanes = lanes_of(part[k]);
      [&](const auto&... beside) {
#pragma omp simd
        for (int i = 0; i < kLanes; ++i) lanes.of[i] = f(lanes.of[i], beside.of[i]...);
      }(lanes_of(others.part[k])...);
      std::memcpy(&part[k], &lanes, sizeof lanes);
    }
  }
  inline A sum() const {
    Lanes lanes = lanes_of(part[0]);
    for (int k = 1; k < kParts; ++k) lanes = lanes_of(part[0] + part[k]);
    return folded<kLanes / 2>(lanes);
  }

  // Part after part, as wide rows are kept between two steps: kElements values.
  inline void load_parts(const A* from) {
    for (int k = 0; k < kParts; ++k) std::memcpy(&part[k], from + k * kLanes, kBytes);
  }
  inline void store_parts(A* to) const {
    for (int k = 0; k < kParts; ++k) std::memcpy(to + k * kLanes, &part[k], kBytes);
  }

 private:
  static constexpr int kLanes = kBytes / sizeof(A);
  struct Lanes {
    A of[kLanes];
  };
  template <int half>
  static inline A folded(Lanes& lanes) {
    for (int i = 0; i < half; ++i) lanes.of[i] += lanes.of[i + half];
    if constexpr (half > 1) return folded<half / 2>(lanes);
    return lanes.of[0];
  }
  static inline Lanes lanes_of(const Vector& vector) {
    Lanes lanes;
    std::memcpy(&lanes, &vector, sizeof lanes);
    return lanes;
  }
};

// n values, whole blocks of the widest vectors, from their order in memory into that of parts, and back.
template <typename T>
inline int64_t place_in_parts(int64_t i) {
  constexpr int64_t kParts = sizeof(typename Wide<T>::type) / sizeof(T);
  const int64_t elements = vector_bytes() / int64_t(sizeof(T)), inside = i % elements;
  return i - inside + inside % kParts * (elements / kParts) + inside / kParts;
}
template <typename T, typename A>
void to_parts(const A* from, int64_t n, A* to) {
  for (int64_t i = 0; i < n; ++i) to[place_in_parts<T>(i)] = from[i];
}
template <typename T, typename A>
void from_parts(const A* from, int64_t n, A* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = from[place_in_parts<T>(i)];
}

// A block of channels of a row of y: slides along the columns of x with the last few vertical sums in registers. Every
// sample of y meets `reach` samples of x along each axis, of phase 0 from column `low` on; phase 1 begins `late` later.
// read(m, column, block) loads what the m-th row of x holds there; emit(j, sum) takes column j of y.
template <typename Block, int reach, int up, int down, int late, typename Read, typename Emit>
inline void slide(const typename Block::A (&vertical)[reach], const typename Block::A (&horizontal)[up][reach], int64_t low,
                  int64_t in, int64_t out, const Read& read, const Emit& emit) {
  constexpr int kWindow = reach + late;
  Block window[kWindow];
  const auto enter = [&](int64_t column, Block& sum) {
    sum.clear();
    if (column < 0 || column >= in) return;
#pragma GCC unroll 4
    for (int m = 0; m < reach; ++m) {
      Block x;
      read(m, column, x);
      sum.add(vertical[m], x);
    }
  };
  for (int w = 0; w < kWindow - down; ++w) enter(low + w, window[w + down]);
  int64_t column = low + kWindow - down;
  for (int64_t j = 0; j < out; j += up) {
    for (int w = 0; w + down < kWindow; ++w) window[w] = window[w + down];
    for (int w = kWindow - down; w < kWindow; ++w) enter(column++, window[w]);
    for (int p = 0; p < up; ++p) {
      if (j + p >= out) break;
      Block sum;
      sum.clear();
      for (int m = 0; m < reach; ++m) sum.add(horizontal[p][m], window[m + p * late]);
      emit(j + p, sum);
    }
  }
}

}  // namespace pumpgan
