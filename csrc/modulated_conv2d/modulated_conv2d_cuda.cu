#include "common/cuda_kernel.h"
#include "modulated_conv2d/modulated_conv2d.h"
#include "modulated_conv2d/modulated_conv2d_math.h"

namespace pumpgan {
namespace {

constexpr int kLanesEach = 4;   // lanes a thread takes: fewer warp sums for each element, more loads in flight
constexpr int kRowTile = 32;

template <typename T>
__global__ void forward_kernel(EpilogueArgs args) {
  using A = typename Wide<T>::type;
  const EpilogueShape& shape = args.shape;
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  const A* d = static_cast<const A*>(args.d);
  const A* noise = static_cast<const A*>(args.noise);
  const A* bias = static_cast<const A*>(args.bias);
  const A slope = A(args.slope), gain = A(args.gain), clamp = as_stored<T>(args.clamp);
  const int64_t size = shape.samples * shape.rows * shape.lanes;
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
    const int64_t lane = i % shape.lanes, row = i / shape.lanes % shape.rows, n = i / shape.lanes / shape.rows;
    const int64_t c = shape.channels_are_lanes ? lane : row, p = shape.channels_are_lanes ? row : lane;
    const A scale = d ? d[n * shape.channels() + c] : A(1);
    const A shift = (noise ? noise[n * args.noise_stride + p] : A(0)) + (bias ? bias[c] : A(0));
    y[i] = narrow<T>(epilogue_value<A>(widen(x[i]), scale, shift, slope, gain, clamp));
  }
}

// A warp takes a tile. Each thread keeps the sums of its lanes in registers; a row's sum is taken across the warp.
template <typename T>
__global__ void backward_kernel(EpilogueBackwardArgs args) {
  using A = typename Wide<T>::type;
  const EpilogueShape& shape = args.shape;
  const bool last = shape.channels_are_lanes;
  const T* grad_y = static_cast<const T*>(args.grad_y);
  const T* y = static_cast<const T*>(args.y);
  const T* x = static_cast<const T*>(args.x);
  T* grad_x = static_cast<T*>(args.grad_x);
  const A* d = static_cast<const A*>(args.d);
  A* row_sums = static_cast<A*>(last ? args.pixel_sums : args.channel_sums);
  A* lane_sums = static_cast<A*>(last ? args.channel_sums : args.pixel_sums);
  A* row_products = static_cast<A*>(last ? nullptr : args.channel_products);
  A* lane_products = static_cast<A*>(last ? args.channel_products : nullptr);
  const A slope = A(args.slope), gain = A(args.gain), clamp = as_stored<T>(args.clamp);
  const int thread = threadIdx.x % kWarp;
  const int64_t warps = int64_t(gridDim.x) * (blockDim.x / kWarp);
  for (int64_t t = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp; t < shape.tiles(); t += warps) {
    const Tile tile = tile_at(shape, t);
    const int64_t row_place = (tile.sample * shape.lane_tiles() + tile.lane_index) * shape.rows;
    const int64_t lane_place = (tile.sample * shape.row_tiles() + tile.row_index) * shape.lanes;
    const A* scales = d ? d + tile.sample * shape.channels() : nullptr;
    A lane_sum[kLanesEach] = {}, lane_product[kLanesEach] = {};
    for (int64_t row = tile.row_begin; row < tile.row_end; ++row) {
      const int64_t start = (tile.sample * shape.rows + row) * shape.lanes;
      A row_sum = A(0), row_product = A(0);
#pragma unroll
      for (int k = 0; k < kLanesEach; ++k) {
        const int64_t lane = tile.lane_begin + k * kWarp + thread;
        if (lane >= tile.lane_end) continue;
        const A g = widen(grad_y[start + lane]) * bias_act_slope_at<A>(widen(y[start + lane]), slope, gain, clamp);
        const A product = scales ? g * widen(x[start + lane]) : A(0);
        row_sum += g;
        row_product += product;
        lane_sum[k] += g;
        lane_product[k] += product;
        grad_x[start + lane] = narrow<T>(scales ? g * scales[last ? lane : row] : g);
      }
      if (row_sums) row_sum = warp_sum(row_sum);
      if (row_products) row_product = warp_sum(row_product);
      if (row_sums && thread == 0) row_sums[row_place + row] = row_sum;
      if (row_products && thread == 0) row_products[row_place + row] = row_product;
    }
#pragma unroll
    for (int k = 0; k < kLanesEach; ++k) {
      const int64_t lane = tile.lane_begin + k * kWarp + thread;
      if (lane >= tile.lane_end) continue;
      if (lane_sums) lane_sums[lane_place + lane] = lane_sum[k];
      if (lane_products) lane_products[lane_place + lane] = lane_product[k];
    }
  }
}

template <typename A>
__global__ void add_parts_kernel(A* sums, const A* parts, int64_t outer, int64_t middle, int64_t inner) {
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < outer * inner; i += stride)
    sums[i] = sum_of_parts(parts, middle, inner, i);
}

template <typename A>
void add_parts(void* sums, const void* parts, int64_t outer, int64_t middle, int64_t inner, cudaStream_t stream) {
  if (!sums) return;
  launch("modulated_epilogue_backward's sums", add_parts_kernel<A>, blocks_for(outer * inner), kThreads, 0, stream,
         static_cast<A*>(sums), static_cast<const A*>(parts), outer, middle, inner);
}

template <typename T>
void forward(const EpilogueArgs& args, cudaStream_t stream) {
  const int64_t size = args.shape.samples * args.shape.rows * args.shape.lanes;
  launch("modulated_epilogue", forward_kernel<T>, blocks_for(size), kThreads, 0, stream, args);
}

template <typename T>
void backward(const EpilogueBackwardArgs& args, cudaStream_t stream) {
  using A = typename Wide<T>::type;
  const EpilogueShape& shape = args.shape;
  launch("modulated_epilogue_backward", backward_kernel<T>, blocks_for(shape.tiles() * kWarp), kThreads, 0, stream,
         args);
  const int64_t n = shape.samples, c = shape.channels(), p = shape.pixels();
  add_parts<A>(args.grad_d, args.channel_products, n, shape.channel_parts(), c, stream);
  add_parts<A>(args.grad_noise, args.pixel_sums, n, shape.pixel_parts(), p, stream);
  add_parts<A>(args.grad_bias, args.channel_sums, 1, n * shape.channel_parts(), c, stream);
}

}  // namespace

void tile_for_cuda(EpilogueShape& shape) {
  shape.lane_tile = kWarp * kLanesEach;
  shape.row_tile = kRowTile;
}

void modulated_epilogue_cuda(const EpilogueArgs& args, CUstream_st* stream) {
  switch (args.dtype) {
    case DType::f16: return forward<__half>(args, stream);
    case DType::bf16: return forward<__nv_bfloat16>(args, stream);
    case DType::f32: return forward<float>(args, stream);
    case DType::f64: return forward<double>(args, stream);
  }
}

void modulated_epilogue_backward_cuda(const EpilogueBackwardArgs& args, CUstream_st* stream) {
  switch (args.dtype) {
    case DType::f16: return backward<__half>(args, stream);
    case DType::bf16: return backward<__nv_bfloat16>(args, stream);
    case DType::f32: return backward<float>(args, stream);
    case DType::f64: return backward<double>(args, stream);
  }
}

}  // namespace pumpgan
