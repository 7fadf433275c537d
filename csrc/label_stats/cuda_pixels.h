// The pixels of a thread, their logits in registers: at most 32 classes of a type no wider than float32.
#pragma once

#include <algorithm>

#include "common/cuda_pack.h"
#include "label_stats/label_stats.h"
#include "label_stats/label_stats_math.h"

namespace pumpgan {

// How a thread gets at its pixels: kPacks: neighbours whose logits of one class are one aligned access, as in NCHW.
// Otherwise one pixel; where a pixel's logits are neighbours, as in channels-last, a block first copies its pixels to
// shared memory in the order in which they lie, as a warp whose threads jump from pixel to pixel wastes accesses.
struct Way {
  LogitsLayout from, to;
  bool staged_in, staged_out;
};

// The logits of kPixels pixels, then the powers 2^(steepness * (logit - largest)) in their place.
template <typename T, int kMost, bool kPacks>
struct Pixels {
  static constexpr int kPixels = kPacks ? 4 : 1;
  static constexpr int kTurn = kThreads * kPixels;  // pixels that a block takes in a turn

  float values[kMost][kPixels];
  float total[kPixels];
  int winner[kPixels];

  // Thread threadIdx.x's pixels of the turn that begins at `first`; of those past `end` all logits count as 0.
  // All threads of a block must call.
  __device__ __forceinline__ void read(const T* logits, const Way& way, int classes, int64_t first, int64_t end,
                                       T* stage) {
    const int64_t p = first + threadIdx.x * kPixels;
    LogitsLayout at = way.from;
    const T* from = logits + p * at.pixel;
    if (!kPacks && way.staged_in) {
      const int64_t there = min(end - first, int64_t(kTurn));
      const int size = int((there - 1) * at.pixel + classes);
      __syncthreads();  // the last turn's readers are done
#pragma unroll 4
      for (int i = threadIdx.x; i < size; i += kThreads) stage[i] = logits[first * at.pixel + i];
      __syncthreads();
      from = stage + threadIdx.x * at.pixel;
    }
#pragma unroll
    for (int c = 0; c < kMost; ++c) {
      Pack<T, kPixels> pack{};
      if (c < classes && p < end) pack = load<kPacks, kPixels>(from + c * at.label, kPixels);
      widen(pack, values[c]);
    }
  }

  __device__ __forceinline__ void raise(int classes, float steepness) {
#pragma unroll
    for (int j = 0; j < kPixels; ++j) {
      float largest = -INFINITY;
      winner[j] = 0;
      total[j] = 0.0f;
#pragma unroll
      for (int c = 0; c < kMost; ++c)
        if (c < classes && exceeds(values[c][j], largest)) {
          largest = values[c][j];
          winner[j] = c;
        }
#pragma unroll
      for (int c = 0; c < kMost; ++c)
        if (c < classes) {
          values[c][j] = exp2_negative((values[c][j] - largest) * steepness);
          total[j] += values[c][j];
        }
    }
  }
};

constexpr int kMostInPacks = 12;  // classes; with more, four pixels' logits leave too few registers

// Whether kWidth neighbouring pixels are one aligned access to each class.
template <typename T, int kWidth>
bool packs_fit(const void* data, const LogitsLayout& layout, int64_t pixels) {
  return layout.pixel == 1 && pixels % kWidth == 0 && layout.label % kWidth == 0 && layout.sample % kWidth == 0 &&
         aligned(data, sizeof(T) * kWidth);
}

// Whether to copy pixels as they lie: their classes are neighbours, and little or nothing lies between.
inline bool stages(const LogitsLayout& layout, int64_t classes) {
  return layout.label == 1 && layout.pixel >= classes && layout.pixel <= std::max<int64_t>(16, 2 * classes) &&
         layout.pixel <= 40;  // of float32 and 256 threads, with what else is shared, within 48 KiB
}

template <typename T>
size_t stage_bytes(const Way& way, int64_t classes) {
  const int64_t in = way.staged_in ? way.from.pixel : 0, out = way.staged_out ? classes : 0;
  return size_t(std::max(in, out)) * kThreads * sizeof(T);
}

}  // namespace pumpgan
