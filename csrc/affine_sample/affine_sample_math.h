// Which pixels of x a pixel of y shows. The CPU and CUDA loops both follow these few lines, forward and backward, so
// the one is exactly the other's adjoint.
#pragma once

#include <cmath>
#include <limits>

#include "common/divider.h"
#include "common/host_device.h"

namespace pumpgan {

constexpr int32_t kFarthest = 1 << 28;  // pixels along an axis, from the first: what lies beyond is not shown

// A sum that is rounded alike wherever it is inlined. On the processor one function makes all of them.
template <typename A>
PUMPGAN_HD A multiply_add(A a, A b, A c) {
#ifdef __CUDA_ARCH__
  return fma(a, b, c);
#else
  return a * b + c;
#endif
}

// One axis of a sample's map: pixel (u, v) of y, from its centre, shows place by_u * u + by_v * v + start of this axis
// of x, counted from its first pixel.
template <typename A>
struct MappedAxis {
  A by_u, by_v, start;

  // line: of the matrix.
  PUMPGAN_HD MappedAxis(const A* line, int64_t side) : by_u(line[0]), by_v(line[1]), start(line[2] + A(side - 1) / 2) {}
};

// Pixel k of `side`, from the centre.
template <typename A>
PUMPGAN_HD A centred(int32_t k, int64_t side) {
  return A(k) - A(side - 1) / 2;
}

// Along one axis, between pixels `first` and first + 1, `part` of the way; NaN where that is nowhere. Not yet mirrored.
template <typename A>
struct Place {
  int32_t first;
  A part;
};

template <typename A>
PUMPGAN_HD Place<A> place_of(const MappedAxis<A>& axis, A u, A v) {
  constexpr A nowhere = std::numeric_limits<A>::quiet_NaN();
  const A place = multiply_add(axis.by_u, u, multiply_add(axis.by_v, v, axis.start));
  const A above = place > A(-kFarthest) ? place : A(-kFarthest);  // no branches: loops of these are vectorised
  const A known = above < A(kFarthest) ? above : A(kFarthest);
  int32_t first = static_cast<int32_t>(known);
  first -= A(first) > known;  // towards -infinity
  return {first, std::abs(place) < A(kFarthest) ? place - A(first) : nowhere};
}

// The pixel that stands at place k of an axis that goes on mirrored beyond both its ends.
class Mirror {
 public:
  explicit Mirror(int64_t side) : period_(2 * side), side_(int32_t(side)), lift_(int32_t(lifted(2 * side))) {}

  PUMPGAN_HD int32_t operator()(int32_t k) const {
    const int32_t lifted = k + lift_, turn = lifted - period_.quotient(lifted) * (2 * side_);
    return turn < side_ ? turn : 2 * side_ - 1 - turn;
  }

 private:
  // So many whole periods that k, once they are added, is not negative; at most 2^28 + 2^25.
  static int64_t lifted(int64_t period) { return (kFarthest / period + 1) * period; }

  Divider period_;
  int32_t side_, lift_;
};

}  // namespace pumpgan
