#include "intrinsics.h"

#include "common/cuda_kernel.h"

namespace pumpgan {
namespace {

constexpr unsigned kAll = 0xffffffffu;

__device__ int thread_of_block() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }
__device__ int block_of_grid() { return blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z); }
__device__ int threads_of_block() { return blockDim.x * blockDim.y * blockDim.z; }

// y[i] = i: every thread of a three-dimensional grid once.
__global__ void indices(IntrinsicsArgs args) {
  const int i = block_of_grid() * threads_of_block() + thread_of_block();
  args.y[i] += i + 1;
}

// y[6][32], the lane that each lane hears.
__global__ void shuffles(IntrinsicsArgs args) {
  const int lane = threadIdx.x;
  args.y[lane] = __shfl_sync(kAll, lane, 5);
  args.y[32 + lane] = __shfl_sync(kAll, float(lane), 9, 8);
  args.y[64 + lane] = __shfl_xor_sync(kAll, double(lane), 3);
  args.y[96 + lane] = __shfl_down_sync(kAll, lane, 3, 16);
  args.y[128 + lane] = __shfl_up_sync(kAll, int64_t(lane), 2u, 8);
  const unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  args.y[160 + lane] = __reduce_add_sync(half, unsigned(lane));
}

// y[5]: ballot of every third lane, any of none, all of all, largest, smallest.
__global__ void votes(IntrinsicsArgs args) {
  const int lane = threadIdx.x;
  const double results[] = {double(__ballot_sync(kAll, lane % 3 == 0)), double(__any_sync(kAll, lane > 31)),
                            double(__all_sync(kAll, lane >= 0)), double(__reduce_max_sync(kAll, lane - 7)),
                            double(__reduce_min_sync(kAll, lane - 7))};
  if (lane < 5) args.y[lane] = results[lane];
}

// y[0] a sum of doubles, y[1] their maximum, over all blocks.
__global__ void atomics(IntrinsicsArgs args) {
  if (block_of_grid() == 0 && thread_of_block() == 0) args.y[2] = 0;
  __shared__ float sum;
  __shared__ int largest;
  if (threadIdx.x == 0) sum = 0.0f;
  if (threadIdx.x == 0) largest = 0;
  __syncthreads();
  atomicAdd(&sum, args.x[threadIdx.x]);
  atomicMax(&largest, int(threadIdx.x * (1 + blockIdx.x)));
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(&args.y[0], double(sum));
  if (threadIdx.x == 0) atomicMax(&args.y[1], double(largest));
}

// The block that comes last adds what all have written: the fences order it, and no barrier does.
__global__ void last_block(IntrinsicsArgs args) {
  __shared__ bool last;
  args.y[64 + blockIdx.x * blockDim.x + threadIdx.x] = args.x[threadIdx.x] * (blockIdx.x + 1);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicInc(reinterpret_cast<unsigned*>(args.y), gridDim.x - 1) == gridDim.x - 1;
  __syncthreads();
  if (!last) return;
  __threadfence();
  double total = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) total += args.y[64 + b * blockDim.x + threadIdx.x];
  args.y[1 + threadIdx.x] = total;
}

// Warps turn 32 values round by themselves, without a barrier of the block.
__global__ void warps_alone(IntrinsicsArgs args) {
  double* values = dynamic_shared<double>();
  for (int turn = 0; turn < 3; ++turn) {
    values[threadIdx.x] = args.x[threadIdx.x] + turn;
    __syncwarp();
    args.y[turn * blockDim.x + threadIdx.x] = values[threadIdx.x ^ 31];
    __syncwarp();
  }
}

// A float's halves, there and back; y[n][2].
__global__ void halves(IntrinsicsArgs args) {
  for (int i = threadIdx.x; i < 4096; i += blockDim.x) {
    args.y[2 * i] = widen(narrow<__half>(args.x[i]));
    args.y[2 * i + 1] = widen(narrow<__nv_bfloat16>(args.x[i]));
  }
}

}  // namespace

void intrinsics_cuda(const IntrinsicsArgs& args, CUstream_st* stream) {
  const auto start = [&](void (*kernel)(IntrinsicsArgs), dim3 blocks, dim3 threads, size_t shared = 0) {
    launch("intrinsics", kernel, blocks, threads, shared, stream, args);
  };
  switch (args.kernel) {
    case 0: return start(indices, dim3(3, 2, 2), dim3(5, 3, 2));
    case 1: return start(shuffles, 1, 32);
    case 2: return start(votes, 1, 32);
    case 3: return start(atomics, 5, 64);
    case 4: return start(last_block, 5, 32);
    case 5:
      cudaFuncSetAttribute(&warps_alone, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 * 1024);
      return start(warps_alone, 1, 96, 100 * 1024);
    case 6: return start(halves, 1, 64);
  }
}

}  // namespace pumpgan
