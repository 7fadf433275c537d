// Sums on the processor: side by side within a row, so that they vectorise, and over parts in one fixed order.
#pragma once

#include "common/cpu_kernel.h"

namespace pumpgan {

constexpr int kStripes = 32;  // sums of a row that run side by side; the widest vector has 32

template <typename A>
inline A sum_of(const A (&stripes)[kStripes]) {
  A sum = A(0);
  for (const A stripe : stripes) sum += stripe;
  return sum;
}

// sums[outer, inner] = the sum over the middle of parts[outer, middle, inner], always in the same order; nothing where
// sums is nullptr.
template <typename A>
void add_parts(void* sums, const void* parts, int64_t outer, int64_t middle, int64_t inner) {
  if (!sums) return;
  constexpr int64_t kGrain = 1 << 14;  // parts worth a thread
  parallel_for(outer * inner, kGrain / middle + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const A* part = static_cast<const A*>(parts) + i / inner * middle * inner + i % inner;
      A sum = A(0);
      for (int64_t m = 0; m < middle; ++m) sum += part[m * inner];
      static_cast<A*>(sums)[i] = sum;
    }
  });
}

}  // namespace pumpgan
