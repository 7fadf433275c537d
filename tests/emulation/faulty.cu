#include "faulty.h"

#include "common/cuda_kernel.h"

namespace pumpgan {
namespace {

constexpr int kBlock = 64;

__device__ int64_t index() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }

__global__ void right(FaultyArgs args) {
  __shared__ float turned[kBlock];
  const int64_t begin = int64_t(blockIdx.x) * kBlock;
  const int back = kBlock - 1 - threadIdx.x;
  turned[back] = begin + threadIdx.x < args.size ? args.x[begin + threadIdx.x] : 0.0f;
  __syncthreads();
  if (begin + back < args.size) args.y[begin + back] = 2 * turned[threadIdx.x];
}

__global__ void reads_past_the_end(FaultyArgs args) {
  if (index() < args.size) args.y[index()] = args.x[index()] + args.x[index() + 1];
}

__global__ void writes_past_the_end(FaultyArgs args) {
  if (index() <= args.size) args.y[index()] = 2.0f;
}

__global__ void leaves_the_tail(FaultyArgs args) {
  if (index() < args.size / 4 * 4) args.y[index()] = 2 * args.x[index()];
}

__global__ void loads_unaligned_packs(FaultyArgs args) {
  const float4 pack = *reinterpret_cast<const float4*>(args.x + 1);
  if (index() < args.size) args.y[index()] = 2 * pack.x;
}

__global__ void forgets_a_barrier(FaultyArgs args) {
  __shared__ float turned[kBlock];
  const int back = kBlock - 1 - threadIdx.x;
  if (index() < args.size) turned[back] = args.x[index()];
  if (index() < args.size) args.y[index()] = 2 * turned[threadIdx.x];
}

// The second turn writes what others may still read from the first.
__global__ void forgets_the_barrier_between_turns(FaultyArgs args) {
  __shared__ float first;
  for (int64_t i = 0; i < args.size; ++i) {
    if (threadIdx.x == 0) first = args.x[i];
    __syncthreads();
    if (threadIdx.x == i % kBlock) args.y[i] = 2 * first;
  }
}

// A shuffle hands over values; it orders no memory.
__global__ void takes_a_shuffle_for_a_barrier(FaultyArgs args) {
  __shared__ float values[kWarp];
  if (threadIdx.x >= kWarp) return;
  values[threadIdx.x] = args.x[0];
  const float sum = warp_sum(values[kWarp - 1 - threadIdx.x]);
  if (threadIdx.x == 0) args.y[0] = sum;
}

__global__ void lets_blocks_share_an_output(FaultyArgs args) {
  if (threadIdx.x == 0) args.y[0] += args.x[blockIdx.x];
}

__global__ void puts_a_warp_sum_in_a_branch(FaultyArgs args) {
  float value = args.x[0];
  if (threadIdx.x < 20) value = warp_sum(value);
  else __syncthreads();
  if (index() < args.size) args.y[index()] = value;
}

__global__ void reads_a_lane_that_left(FaultyArgs args) {
  if (threadIdx.x >= 20) return;
  const float value = warp_sum(args.x[0]);
  if (index() < args.size) args.y[index()] = value;
}

__global__ void overruns_static_shared_memory(FaultyArgs args) {
  __shared__ float values[kBlock];
  values[threadIdx.x + args.size % 2] = 1.0f;
  __syncthreads();
  if (index() < args.size) args.y[index()] = values[threadIdx.x];
}

__global__ void overruns_dynamic_shared_memory(FaultyArgs args) {
  float* values = dynamic_shared<float>();
  values[threadIdx.x] = 1.0f;
  __syncthreads();
  if (index() < args.size) args.y[index()] = values[threadIdx.x];
}

__global__ void trusts_shared_memory_to_be_zero(FaultyArgs args) {
  __shared__ float sum[kBlock];
  if (index() < args.size) sum[threadIdx.x] += args.x[index()];
  if (index() < args.size) args.y[index()] = sum[threadIdx.x];
}

__global__ void overruns_its_own_array(FaultyArgs args) {
  float pack[4] = {};
  float* values = pack;
  for (int64_t i = 0; i < args.size; ++i) values[i] = args.x[i];
  if (index() < args.size) args.y[index()] = pack[index() % 4];
}

}  // namespace

void faulty_cuda(const FaultyArgs& args, CUstream_st* stream) {
  const auto start = [&](void (*kernel)(FaultyArgs), size_t shared = 0) {
    launch("faulty", kernel, unsigned((args.size + kBlock - 1) / kBlock), kBlock, shared, stream, args);
  };
  switch (args.fault) {
    case 0: return start(right);
    case 1: return start(reads_past_the_end);
    case 2: return start(writes_past_the_end);
    case 3: return start(leaves_the_tail);
    case 4: return start(loads_unaligned_packs);
    case 5: return start(forgets_a_barrier);
    case 6: return start(forgets_the_barrier_between_turns);
    case 7: return start(takes_a_shuffle_for_a_barrier);
    case 8: return start(lets_blocks_share_an_output);
    case 9: return start(puts_a_warp_sum_in_a_branch);
    case 10: return start(reads_a_lane_that_left);
    case 11: return start(overruns_static_shared_memory);
    case 12: return start(overruns_dynamic_shared_memory, (kBlock - 1) * sizeof(float));
    case 13: return start(trusts_shared_memory_to_be_zero);
    case 14: return start(overruns_its_own_array);
    case 15: return start(right, 64 * 1024);
  }
}

}  // namespace pumpgan
