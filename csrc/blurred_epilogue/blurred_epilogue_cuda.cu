// Threads lie along channels, a pack of 16 bytes each, take two neighbouring columns and slide down a band of rows, as in
// upfirdn2d; what they filter never leaves their registers. A team of neighbours in a warp holds the channels of a tile:
// the sum over a pixel's channels goes across it.
#include <algorithm>

#include "blurred_epilogue/blurred_epilogue.h"
#include "blurred_epilogue/blurred_epilogue_math.h"
#include "common/cuda_pack.h"
#include "common/cuda_sums.h"
#include "common/divider.h"
#include "upfirdn2d/cuda_slide.h"

namespace pumpgan {
namespace {

constexpr int64_t kEnoughThreads = 1 << 18;  // about what an H200 holds at once
constexpr int64_t kMostChannels = 64, kFewestChannels = 8;  // of a tile; at most a warp's threads share one
constexpr int64_t kShortestBand = 8, kLongestBand = 32;     // the rows about its edges are read twice

template <typename T> using Blur = Slide<T, false, 1, 1, kBlurTaps>;
constexpr int kPending = kBlurTaps - 1, kColumns = 2;
static_assert(Blur<float>::kPending == kPending && Blur<float>::kColumns == kColumns);

// Threads by what they take, the first varying fastest.
struct Walk {
  Divider team, bundles, parts, bands;
  int64_t items;

  Walk(const BlurShape& shape, int width)
      : team(shape.channel_tile / width), bundles(shape.bundles()), parts(shape.pixel_parts()), bands(shape.bands()),
        items(team.divisor() * bundles.divisor() * parts.divisor() * bands.divisor() * shape.samples) {}
};

// Where a thread begins; its sample is past the last one where there is no such item.
struct Start {
  int64_t sample, channel, band, bundle, part;
  int row, column;
};

template <typename T>
__device__ __forceinline__ Start start_at(const BlurShape& shape, const Walk& walk, int64_t item) {
  Start start;
  start.sample = item;
  start.channel = walk.team.take(start.sample) * kWidest<T>;
  start.bundle = walk.bundles.take(start.sample);
  start.part = walk.parts.take(start.sample);
  start.band = walk.bands.take(start.sample);
  start.channel += start.part * shape.channel_tile;
  start.row = int(start.band * shape.band);
  start.column = int(start.bundle * shape.bundle);
  return start;
}

// Columns [first, first + kReads) of a row of an image [rows, columns, channels]; zeros beyond it.
template <typename T, int kReads>
__device__ __forceinline__ void read_row(const T* image, int rows, int columns, int64_t channels, int row, int first,
                                         Pack<T, kWidest<T>> (&to)[kReads]) {
  const bool there = row >= 0 && row < rows;
  const T* line = image + (int64_t(row) * columns + first) * channels;
#pragma unroll
  for (int m = 0; m < kReads; ++m) {
    to[m] = Pack<T, kWidest<T>>{};
    if (there && first + m >= 0 && first + m < columns)
      to[m] = load<true, kWidest<T>>(line + m * channels, kWidest<T>);
  }
}

template <typename A, int kWidth>
__device__ __forceinline__ void scales_at(const void* from, int64_t place, A fallback, A (&to)[kWidth]) {
  values_at<true>(from ? static_cast<const A*>(from) + place : nullptr, kWidth, fallback, to);
}

template <typename T>
__global__ void __launch_bounds__(kSlideThreads) forward_kernel(BlurredEpilogueArgs args, Walk walk) {
  using A = typename Wide<T>::type;
  using B = Blur<T>;
  constexpr int kWidth = B::kWidth;
  const BlurShape& shape = args.shape;
  const A slope = A(args.slope), gain = A(args.gain), clamp = as_stored<T>(args.clamp);
  const int rows = int(shape.rows), columns = int(shape.columns);
  const int64_t channels = shape.channels, stride = int64_t(gridDim.x) * blockDim.x;
  B state(args.taps, false, args.filter_gain);
  for (int64_t item = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; item < walk.items; item += stride) {
    const Start start = start_at<T>(shape, walk, item);
    const T* x = static_cast<const T*>(args.x) + start.sample * (rows + 1) * (columns + 1) * channels + start.channel;
    T* y = static_cast<T*>(args.y) + start.sample * rows * columns * channels + start.channel;
    const A* noise = args.noise ? static_cast<const A*>(args.noise) + start.sample * args.noise_stride : nullptr;
    A d[kWidth], bias[kWidth];
    scales_at(args.d, start.sample * channels + start.channel, A(1), d);
    scales_at(args.bias, start.channel, A(0), bias);
    state.clear();
    const int end = min(start.row + int(shape.band), rows);
    for (int row = start.row - kPending; row < end; row += B::kAhead) {  // of y, complete after its turn
      Pack<T, kWidth> packs[B::kAhead][B::kReads];
#pragma unroll
      for (int a = 0; a < B::kAhead; ++a)
        read_row(x, rows + 1, columns + 1, channels, row + a + kFirst + kPending, start.column + kFirst, packs[a]);
#pragma unroll
      for (int a = 0; a < B::kAhead; ++a) {
        state.turn([&](int, int column, A (&values)[kWidth]) { widen(packs[a][column], values); });
        if (row + a < start.row || row + a >= end) continue;
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
          if (start.column + c >= columns) continue;
          const int64_t pixel = int64_t(row + a) * columns + start.column + c;
          const A shift = noise ? noise[pixel] : A(0);
          const A* blurred = state.begun[kPending][0] + c * kWidth;
          A values[kWidth];
#pragma unroll
          for (int j = 0; j < kWidth; ++j)
            values[j] = epilogue_value<A>(blurred[j], d[j], bias[j] + shift, slope, gain, clamp);
          store<true>(y + pixel * channels, kWidth, narrow_pack<T, kWidth>(values));
        }
      }
    }
  }
}

// All threads of a warp make the same turns, as they sum together.
template <typename T>
__global__ void __launch_bounds__(kSlideThreads, 3) backward_kernel(BlurredEpilogueBackwardArgs args, Walk walk) {
  using A = typename Wide<T>::type;
  using B = Blur<T>;
  constexpr int kWidth = B::kWidth, kOwn = -kFirstBack;  // of the columns that it reads: from here on, its own
  const BlurShape& shape = args.shape;
  const A slope = A(args.slope), gain = A(args.gain), clamp = as_stored<T>(args.clamp);
  const int rows = int(shape.rows), columns = int(shape.columns), band = int(shape.band);
  const int team = int(walk.team.divisor()), lane = threadIdx.x & (kWarp - 1);
  const int64_t channels = shape.channels, stride = int64_t(gridDim.x) * blockDim.x;
  const int64_t thread = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  B state(args.taps, true, args.filter_gain);
  for (int64_t turn = 0; thread - lane + turn < walk.items; turn += stride) {
    const Start start = start_at<T>(shape, walk, thread + turn);
    const bool busy = start.sample < shape.samples;
    const int64_t image = start.sample * rows * columns * channels + start.channel;
    const int64_t in_image = start.sample * (rows + 1) * (columns + 1) * channels + start.channel;
    const T* grad_y = static_cast<const T*>(args.grad_y) + image;
    const T* y = static_cast<const T*>(args.y) + image;
    A d[kWidth], sums[kWidth] = {}, products[kWidth] = {};
    scales_at(busy ? args.d : nullptr, start.sample * channels + start.channel, A(1), d);
    state.clear();
    for (int row = start.row - kPending; row < start.row + band; ++row) {  // of grad_x, complete after its turn
      const int t_row = row + kLastBack;
      Pack<T, kWidth> gradients[B::kReads], outputs[B::kReads];
      read_row(grad_y, busy ? rows : 0, columns, channels, t_row, start.column + kFirstBack, gradients);
      read_row(y, busy ? rows : 0, columns, channels, t_row, start.column + kFirstBack, outputs);
      const bool own_row = t_row >= start.row && t_row < start.row + band;
      A over_channels[kColumns] = {};
      state.turn([&](int, int column, A (&t)[kWidth]) {
        A values[kWidth];
        widen(gradients[column], t);
        widen(outputs[column], values);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) t[j] *= bias_act_slope_at<A>(values[j], slope, gain, clamp);
        if (column < kOwn || column >= kOwn + kColumns || !own_row) return;
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
          sums[j] += t[j];
          over_channels[column - kOwn] += t[j];
        }
      });
      if (args.pixel_sums && own_row) {
        A* sums_row = static_cast<A*>(args.pixel_sums) +
                      ((start.sample * shape.pixel_parts() + start.part) * rows + t_row) * columns + start.column;
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
          const A sum = team_sum(over_channels[c], team);
          if ((lane & (team - 1)) == 0 && busy && t_row < rows && start.column + c < columns) sums_row[c] = sum;
        }
      }
      if (row < start.row || row > rows || !busy) continue;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        if (start.column + c > columns) continue;
        const int64_t i = in_image + (int64_t(row) * (columns + 1) + start.column + c) * channels;
        const A* g = state.begun[kPending][0] + c * kWidth;
        A values[kWidth];
        if (args.d) {
          widen(load<true, kWidth>(static_cast<const T*>(args.x) + i, kWidth), values);
#pragma unroll
          for (int j = 0; j < kWidth; ++j) products[j] += g[j] * values[j];
        }
#pragma unroll
        for (int j = 0; j < kWidth; ++j) values[j] = g[j] * d[j];
        store<true>(static_cast<T*>(args.grad_x) + i, kWidth, narrow_pack<T, kWidth>(values));
      }
    }
    if (!busy) continue;
    const int64_t place =
        (start.sample * shape.channel_parts() + start.band * shape.bundles() + start.bundle) * channels + start.channel;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      if (args.channel_sums) static_cast<A*>(args.channel_sums)[place + j] = sums[j];
      if (args.channel_products) static_cast<A*>(args.channel_products)[place + j] = products[j];
    }
  }
}

template <typename T>
void forward(const BlurredEpilogueArgs& args, cudaStream_t stream) {
  const Walk walk(args.shape, kWidest<T>);
  launch("blurred_epilogue", forward_kernel<T>, blocks_for(walk.items, kSlideThreads), kSlideThreads, 0, stream, args,
         walk);
}

template <typename T>
void backward(const BlurredEpilogueBackwardArgs& args, cudaStream_t stream) {
  using A = typename Wide<T>::type;
  const BlurShape& shape = args.shape;
  const Walk walk(shape, kWidest<T>);
  launch("blurred_epilogue_backward", backward_kernel<T>, blocks_for(walk.items, kSlideThreads), kSlideThreads, 0,
         stream, args, walk);
  const char* op = "blurred_epilogue_backward's sums";
  const int64_t n = shape.samples, c = shape.channels, p = shape.rows * shape.columns;
  const int64_t channel_parts = shape.channel_parts(), pixel_parts = shape.pixel_parts();
  if (args.grad_d)
    add_parts<A>(op, args.grad_d, args.channel_products, {n, channel_parts, c, channel_parts * c, c, c}, stream);
  if (args.grad_noise)
    add_parts<A>(op, args.grad_noise, args.pixel_sums, {n, pixel_parts, p, pixel_parts * p, p, p}, stream);
  if (args.grad_bias) add_samples<A>(op, args.grad_bias, args.channel_sums, n, channel_parts, c, stream);
}

}  // namespace

void blur_tiles_for_cuda(BlurShape& shape) {
  shape.bundle = kColumns;
  shape.channel_tile = kFewestChannels;
  while (shape.channel_tile < kMostChannels && shape.channels % (2 * shape.channel_tile) == 0) shape.channel_tile *= 2;
  // Tall bands, all alike, as long as threads are enough; of 4 channels each, as the types differ.
  const int64_t height = shape.rows + 1, rows_of_all = shape.samples * shape.bundles() * (shape.channels / 4) * height;
  const int64_t wanted = std::clamp(rows_of_all / kEnoughThreads, kShortestBand, kLongestBand);
  const int64_t bands = std::max<int64_t>((height + wanted / 2) / wanted, 1);
  shape.band = (height + bands - 1) / bands;
}

void blurred_epilogue_cuda(const BlurredEpilogueArgs& args, CUstream_st* stream) {
  switch (args.dtype) {
    case DType::f16: return forward<__half>(args, stream);
    case DType::bf16: return forward<__nv_bfloat16>(args, stream);
    case DType::f32: return forward<float>(args, stream);
    case DType::f64: return forward<double>(args, stream);
  }
}

void blurred_epilogue_backward_cuda(const BlurredEpilogueBackwardArgs& args, CUstream_st* stream) {
  switch (args.dtype) {
    case DType::f16: return backward<__half>(args, stream);
    case DType::bf16: return backward<__nv_bfloat16>(args, stream);
    case DType::f32: return backward<float>(args, stream);
    case DType::f64: return backward<double>(args, stream);
  }
}

}  // namespace pumpgan
