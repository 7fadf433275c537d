// A filter that slides down a strip of an image with what it has begun in registers.
#pragma once

#include "common/cuda_pack.h"
#include "upfirdn2d/upfirdn2d_math.h"

namespace pumpgan {

constexpr int kSlideThreads = 128;  // of a block: up to 170 registers each leave room for three

// A thread takes kColumns neighbouring columns of y, kWidth channels of each, and slides down a strip of its rows.
// A turn reads kDown rows of x, filters them along themselves, adds them to the groups of rows of y (upfirdn2d_math.h)
// that they reach, and completes the group begun kPending turns ago; all of this stays in registers. What neighbouring
// columns read in common comes from the L1 cache. Channels-last: threads lie along channels, kWidth of which fill an
// access. NCHW (kPlanes): along columns, one sample an access. kAhead turns are read together, to have enough bytes on
// their way.
template <typename T, bool kPlanes, int kUp, int kDown, int kTaps>
struct Slide {
  using A = typename Wide<T>::type;
  static constexpr int kWidth = kPlanes ? 1 : kWidest<T> / (kUp == 4 ? 4 : 1);
  static constexpr int kColumns = kUp * (kUp * kDown == 1 || (kPlanes && kUp * kDown == 2) ? 2 : 1);
  static constexpr int kReads = ((kColumns - 1) * kDown + kTaps - 1) / kUp + 1;  // columns of x for them
  static constexpr int kPending = (kTaps - 1 + (kUp - 1) * kDown) / kUp / kDown;
  static constexpr int kAhead = kDown == 4 ? 1 : kPlanes ? 4 / kDown : kUp * kDown == 1 ? 2 : 1;
  static constexpr int kValues = kColumns * kWidth;

  A across[kTaps], down[kTaps];
  A begun[kPending + 1][kUp][kValues];  // groups of rows of y, by the turns since they began

  __device__ __forceinline__ Slide(const void* taps, bool flip, double gain) {
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
      across[k] = static_cast<const A*>(taps)[tap_at(k, kTaps, flip)];
      down[k] = A(gain) * across[k];
    }
  }

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int e = 0; e <= kPending; ++e)
#pragma unroll
      for (int k = 0; k < kUp; ++k)
#pragma unroll
        for (int v = 0; v < kValues; ++v) begun[e][k][v] = A(0);
  }

  // The turn of kDown rows of x, each kReads columns, which read(row, column, values) widens. Afterwards begun[kPending]
  // is complete.
  template <typename Read>
  __device__ __forceinline__ void turn(const Read& read) {
#pragma unroll
    for (int e = kPending; e >= 0; --e)
#pragma unroll
      for (int k = 0; k < kUp; ++k)
#pragma unroll
        for (int v = 0; v < kValues; ++v) begun[e][k][v] = e > 0 ? begun[e > 0 ? e - 1 : 0][k][v] : A(0);
#pragma unroll
    for (int q = 0; q < kDown; ++q) {
      A line[kValues];
      filter_across(read, q, line);
#pragma unroll
      for (int e = 0; e <= kPending; ++e)
#pragma unroll
        for (int k = 0; k < kUp; ++k) {
          const int tap = (e * kDown + q) * kUp - k * kDown;
          if (tap < 0 || tap >= kTaps) continue;
#pragma unroll
          for (int v = 0; v < kValues; ++v) begun[e][k][v] += down[tap] * line[v];
        }
    }
  }

 private:
  template <typename Read>
  __device__ __forceinline__ void filter_across(const Read& read, int row, A (&line)[kValues]) {
#pragma unroll
    for (int v = 0; v < kValues; ++v) line[v] = A(0);
#pragma unroll
    for (int m = 0; m < kReads; ++m) {
      A values[kWidth];
      read(row, m, values);
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const int tap = m * kUp - c * kDown;
        if (tap < 0 || tap >= kTaps) continue;
#pragma unroll
        for (int j = 0; j < kWidth; ++j) line[c * kWidth + j] += across[tap] * values[j];
      }
    }
  }
};

}  // namespace pumpgan
