// Sums on the GPU whose order depends on sizes alone: across a few threads of a warp, and over parts.
#pragma once

#include "common/cuda_kernel.h"
#include "common/divider.h"

namespace pumpgan {

// The sum over a team of neighbouring threads, a power of two, in every one of them; the whole warp must call.
template <typename A>
__device__ __forceinline__ A team_sum(A value, int team) {
  for (int offset = team / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

// sums[o, i] = sum over m of parts[o, m, i], strides in elements. A block takes kThreads / down places of one o, `down`
// threads share the parts of each. The order depends on the sizes alone. sums may be the first parts themselves.
struct Parts {
  int64_t outer, middle, inner;
  int64_t outer_stride, middle_stride, sums_stride;
};

template <typename A>
__global__ void __launch_bounds__(kThreads) add_parts_kernel(A* sums, const A* parts, Parts p, Divider blocks,
                                                             int down) {
  __shared__ A shared[kThreads];
  const int columns = kThreads / down, across = threadIdx.x % columns, mine = threadIdx.x / columns;
  for (int64_t item = blockIdx.x; item < p.outer * blocks.divisor(); item += gridDim.x) {
    int64_t o = item;
    const int64_t i = blocks.take(o) * columns + across;
    A sum = A(0);
    if (i < p.inner) {
      const A* part = parts + o * p.outer_stride + i;
#pragma unroll 4
      for (int64_t m = mine; m < p.middle; m += down) sum += part[m * p.middle_stride];
    }
    shared[threadIdx.x] = sum;
    __syncthreads();
    for (int k = 1; mine == 0 && k < down; ++k) sum += shared[k * columns + across];
    if (mine == 0 && i < p.inner) sums[o * p.sums_stride + i] = sum;
    __syncthreads();  // shared is written again in the next turn
  }
}

template <typename A>
void add_parts(const char* op, void* sums, const void* parts, const Parts& p, cudaStream_t stream) {
  const int down = p.middle < 32 ? 1 : 8, columns = kThreads / down;
  const int64_t blocks = (p.inner + columns - 1) / columns;
  launch(op, add_parts_kernel<A>, blocks_for(p.outer * blocks * kThreads), kThreads, 0, stream, static_cast<A*>(sums),
         static_cast<const A*>(parts), p, Divider(blocks), down);
}

// sums[i] = sum over n and m of parts[n, m, i], which it overwrites: a sample's parts first, into the first of them, as
// `inner` sums alone would keep few threads busy.
template <typename A>
void add_samples(const char* op, void* sums, void* parts, int64_t samples, int64_t middle, int64_t inner,
                 cudaStream_t stream) {
  const int64_t sample = middle * inner;
  add_parts<A>(op, parts, parts, {samples, middle, inner, sample, inner, sample}, stream);
  add_parts<A>(op, sums, parts, {1, samples, inner, 0, sample, 0}, stream);
}

}  // namespace pumpgan
