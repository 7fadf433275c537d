#include "common/cuda_kernel.h"
#include "upfirdn2d/upfirdn2d.h"
#include "upfirdn2d/upfirdn2d_math.h"

#include <limits>

namespace pumpgan {
namespace {

// One sample of y a thread and turn; neighbours in a warp are neighbours in y, so what they read overlaps in cache.
// kUp and kDown are the factors where the compiler may know them, else 0. I indexes x and y.
template <typename T, typename I, int kUp, int kDown>
__global__ void gather(Upfirdn2dArgs args) {
  using A = typename Wide<T>::type;
  const T* x = static_cast<const T*>(args.x);
  const A* taps = static_cast<const A*>(args.taps);
  T* y = static_cast<T*>(args.y);
  const I up = kUp ? I(kUp) : I(args.columns.up), down = kDown ? I(kDown) : I(args.columns.down);
  const I pixel = I(args.pixel), in_rows = I(args.rows.in), in_columns = I(args.columns.in);
  const I out_rows = I(args.rows.out), out_columns = I(args.columns.out);
  const I tall = I(args.rows.taps), wide = I(args.columns.taps);
  const int64_t size = args.planes * args.rows.out * args.columns.out * args.pixel;
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
    const I index = I(i), channel = index % pixel, column = index / pixel % out_columns;
    const I row = index / pixel / out_columns % out_rows, plane = index / pixel / out_columns / out_rows;
    const Reach<I> v = clipped(reach_of(row, tall, up, down, I(args.rows.before)), up, in_rows);
    const Reach<I> h = clipped(reach_of(column, wide, up, down, I(args.columns.before)), up, in_columns);
    A total = A(0);
    for (I m = 0; m < v.count; ++m) {
      const T* line = x + ((plane * in_rows + v.first + m) * in_columns + h.first) * pixel + channel;
      const I tap_row = tap_at(v.tap + m * up, tall, args.flip);
      const A* filter = args.separable ? taps : taps + tap_row * wide;
      A sum = A(0);
      for (I k = 0; k < h.count; ++k) sum += filter[tap_at(h.tap + k * up, wide, args.flip)] * widen(line[k * pixel]);
      total += args.separable ? taps[tap_row] * sum : sum;
    }
    y[i] = narrow<T>(A(args.gain) * total);
  }
}

template <typename T, typename I>
void gather_all(const Upfirdn2dArgs& args, cudaStream_t stream) {
  const unsigned blocks = blocks_for(args.planes * args.rows.out * args.columns.out * args.pixel);
  const int64_t up = args.columns.up, down = args.columns.down;
  auto kernel = &gather<T, I, 0, 0>;
  if (up == 1 && down == 1) kernel = &gather<T, I, 1, 1>;
  if (up == 1 && down == 2) kernel = &gather<T, I, 1, 2>;
  if (up == 2 && down == 1) kernel = &gather<T, I, 2, 1>;
  launch("upfirdn2d", kernel, blocks, kThreads, 0, stream, args);
}

template <typename T>
void upfirdn2d(const Upfirdn2dArgs& args, cudaStream_t stream) {
  const int64_t planes = args.planes * args.pixel;
  const int64_t largest = std::max(planes * args.rows.in * args.columns.in, planes * args.rows.out * args.columns.out);
  if (largest <= std::numeric_limits<int32_t>::max())
    gather_all<T, int32_t>(args, stream);  // 64-bit divisions would cost more than the filter
  else
    gather_all<T, int64_t>(args, stream);
}

}  // namespace

void upfirdn2d_cuda(const Upfirdn2dArgs& args, CUstream_st* stream) {
  switch (args.dtype) {
    case DType::f16: return upfirdn2d<__half>(args, stream);
    case DType::bf16: return upfirdn2d<__nv_bfloat16>(args, stream);
    case DType::f32: return upfirdn2d<float>(args, stream);
    case DType::f64: return upfirdn2d<double>(args, stream);
  }
}

}  // namespace pumpgan
