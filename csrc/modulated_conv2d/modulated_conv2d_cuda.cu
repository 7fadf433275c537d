// Both kernels walk down rows: a thread keeps what belongs to its few neighbouring lanes in registers, so one body
// serves both layouts. Lanes are pixels in NCHW and channels in channels-last; kLast says which, kPacked whether a
// thread's lanes are one aligned access.
#include <algorithm>
#include <initializer_list>

#include "common/cuda_pack.h"
#include "common/cuda_sums.h"
#include "common/divider.h"
#include "modulated_conv2d/modulated_conv2d.h"
#include "modulated_conv2d/modulated_conv2d_math.h"

namespace pumpgan {
namespace {

constexpr int64_t kEnoughThreads = 1 << 18;  // about what an H200 holds at once
constexpr int kMostLanes = 64, kFewestLanes = 8;  // of a tile; at most a warp's threads share one, whatever the type

// Forward --------------------------------------------------------------------------------------------------

constexpr int kFlight = 4;  // rows that a thread reads together

struct ForwardWalk {
  Divider packs, bands;  // packs of a row, bands of rows of a sample
  int64_t items, band;   // of threads' work; rows of a band
};

template <typename T, bool kLast, bool kPacked>
__global__ void __launch_bounds__(kThreads) forward_kernel(EpilogueArgs args, ForwardWalk walk) {
  using A = typename Wide<T>::type;
  constexpr int kWidth = kWidest<T>;
  const EpilogueShape& shape = args.shape;
  const A slope = A(args.slope), gain = A(args.gain), clamp = as_stored<T>(args.clamp);
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t item = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; item < walk.items; item += stride) {
    int64_t sample = item;
    const int64_t lane = walk.packs.take(sample) * kWidth, begin = walk.bands.take(sample) * walk.band;
    const int64_t end = min(begin + walk.band, shape.rows), left = shape.lanes - lane;
    const A* d = args.d ? static_cast<const A*>(args.d) + sample * shape.channels() : nullptr;
    const A* noise = args.noise ? static_cast<const A*>(args.noise) + sample * args.noise_stride : nullptr;
    const A* bias = static_cast<const A*>(args.bias);
    const A* lane_scale = kLast ? d : nullptr;
    const A* lane_shift = kLast ? bias : noise;
    const A* row_scale = kLast ? nullptr : d;
    const A* row_shift = kLast ? noise : bias;
    A scales[kWidth], shifts[kWidth];
    values_at<kPacked>(lane_scale ? lane_scale + lane : nullptr, left, A(1), scales);
    values_at<kPacked>(lane_shift ? lane_shift + lane : nullptr, left, A(0), shifts);
    const int64_t start = (sample * shape.rows + begin) * shape.lanes + lane;
    const T* x = static_cast<const T*>(args.x) + start;
    T* y = static_cast<T*>(args.y) + start;
    for (int64_t row = begin; row < end; row += kFlight, x += kFlight * shape.lanes, y += kFlight * shape.lanes) {
      Pack<T, kWidth> packs[kFlight];
      A scale[kFlight], shift[kFlight];
#pragma unroll
      for (int k = 0; k < kFlight; ++k) {
        if (row + k >= end) continue;
        packs[k] = load<kPacked, kWidth>(x + k * shape.lanes, left);
        scale[k] = row_scale ? row_scale[row + k] : A(1);
        shift[k] = row_shift ? row_shift[row + k] : A(0);
      }
#pragma unroll
      for (int k = 0; k < kFlight; ++k) {
        if (row + k >= end) continue;
        A values[kWidth];
        widen(packs[k], values);
#pragma unroll
        for (int j = 0; j < kWidth; ++j)
          values[j] =
              epilogue_value<A>(values[j], kLast ? scales[j] : scale[k], shifts[j] + shift[k], slope, gain, clamp);
        store<kPacked>(y + k * shape.lanes, left, narrow_pack<T, kWidth>(values));
      }
    }
  }
}

// Backward -------------------------------------------------------------------------------------------------

// A team of threads, side by side in a warp, takes a tile: each keeps the sums of its lanes in registers, and a row's
// sums are taken across the team. All threads of a warp make the same turns, as they sum together.
struct BackwardWalk {
  Divider lane_tiles, row_tiles;
  int team;
};

template <typename T, bool kLast, bool kPacked>
__global__ void __launch_bounds__(kThreads) backward_kernel(EpilogueBackwardArgs args, BackwardWalk walk) {
  using A = typename Wide<T>::type;
  constexpr int kWidth = kWidest<T>, kTogether = 2;  // rows read together
  const EpilogueShape& shape = args.shape;
  A* row_sums = static_cast<A*>(kLast ? args.pixel_sums : args.channel_sums);
  A* row_products = static_cast<A*>(kLast ? nullptr : args.channel_products);
  A* lane_sums = static_cast<A*>(kLast ? args.channel_sums : args.pixel_sums);
  A* lane_products = static_cast<A*>(kLast ? args.channel_products : nullptr);
  const A slope = A(args.slope), gain = A(args.gain), clamp = as_stored<T>(args.clamp);
  const bool scaled = args.d != nullptr;
  const int member = threadIdx.x & (walk.team - 1);
  const int64_t tiles = shape.tiles(), teams = int64_t(gridDim.x) * blockDim.x / walk.team;
  const int64_t first = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / walk.team;
  const int64_t warps_first = (int64_t(blockIdx.x) * blockDim.x + (threadIdx.x & ~(kWarp - 1))) / walk.team;
  for (int64_t turn = 0; warps_first + turn < tiles; turn += teams) {
    int64_t sample = first + turn;
    const bool busy = sample < tiles;
    const int64_t lane_index = walk.lane_tiles.take(sample), row_index = walk.row_tiles.take(sample);
    const int64_t begin = row_index * shape.row_tile, lane = lane_index * shape.lane_tile + member * kWidth;
    const int64_t left = busy ? shape.lanes - lane : 0;
    const int64_t end = left > 0 ? min(begin + shape.row_tile, shape.rows) : begin;
    const int64_t row_place = (sample * shape.lane_tiles() + lane_index) * shape.rows;
    const int64_t lane_place = (sample * shape.row_tiles() + row_index) * shape.lanes + lane;
    const A* d = static_cast<const A*>(args.d);
    if (scaled && busy) d += sample * shape.channels();
    A scales[kWidth], sums[kWidth] = {}, products[kWidth] = {};
    values_at<kPacked>(kLast && scaled && left > 0 ? d + lane : nullptr, left, A(1), scales);
    for (int64_t row = begin; row < begin + shape.row_tile; row += kTogether) {
      Pack<T, kWidth> grad_y[kTogether], y[kTogether], x[kTogether];
#pragma unroll
      for (int k = 0; k < kTogether; ++k) {
        grad_y[k] = y[k] = x[k] = Pack<T, kWidth>{};
        if (row + k >= end) continue;
        const int64_t i = (sample * shape.rows + row + k) * shape.lanes + lane;
        grad_y[k] = load<kPacked, kWidth>(static_cast<const T*>(args.grad_y) + i, left);
        y[k] = load<kPacked, kWidth>(static_cast<const T*>(args.y) + i, left);
        if (scaled) x[k] = load<kPacked, kWidth>(static_cast<const T*>(args.x) + i, left);
      }
#pragma unroll
      for (int k = 0; k < kTogether; ++k) {
        const A scale = !kLast && scaled && row + k < end ? d[row + k] : A(1);
        A row_sum = A(0), row_product = A(0), gradients[kWidth], outputs[kWidth], inputs[kWidth];
        widen(grad_y[k], gradients);
        widen(y[k], outputs);
        widen(x[k], inputs);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
          const A t = gradients[j] * bias_act_slope_at<A>(outputs[j], slope, gain, clamp), product = t * inputs[j];
          gradients[j] = t * (kLast ? scales[j] : scale);
          row_sum += t;
          if (!kLast) row_product += product;
          sums[j] += t;
          if (kLast) products[j] += product;
        }
        if (row + k < end)
          store<kPacked>(static_cast<T*>(args.grad_x) + (sample * shape.rows + row + k) * shape.lanes + lane, left,
                         narrow_pack<T, kWidth>(gradients));
        if (row_sums) row_sum = team_sum(row_sum, walk.team);
        if (row_products) row_product = team_sum(row_product, walk.team);
        if (member == 0 && row + k < end) {
          if (row_sums) row_sums[row_place + row + k] = row_sum;
          if (row_products) row_products[row_place + row + k] = row_product;
        }
      }
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      if (j >= left) continue;
      if (lane_sums) lane_sums[lane_place + j] = sums[j];
      if (lane_products) lane_products[lane_place + j] = products[j];
    }
  }
}

// Launches -------------------------------------------------------------------------------------------------

bool packs_fit(int64_t lanes, int width, std::initializer_list<const void*> pointers) {
  return lanes % width == 0 && std::all_of(pointers.begin(), pointers.end(), [](const void* p) { return aligned(p); });
}

template <typename T, bool kLast, bool kPacked>
void forward(const EpilogueArgs& args, cudaStream_t stream) {
  const EpilogueShape& shape = args.shape;
  const int64_t packs = (shape.lanes + kWidest<T> - 1) / kWidest<T>, across = shape.samples * packs;
  const int64_t flights = across * ((shape.rows + kFlight - 1) / kFlight);  // of all threads
  const int64_t band = kFlight * std::clamp<int64_t>(flights / kEnoughThreads, 1, 4);
  const int64_t bands = (shape.rows + band - 1) / band;
  const ForwardWalk walk{Divider(packs), Divider(bands), across * bands, band};
  launch("modulated_epilogue", forward_kernel<T, kLast, kPacked>, blocks_for(walk.items), kThreads, 0, stream, args,
         walk);
}

template <typename T>
void forward(const EpilogueArgs& args, cudaStream_t stream) {
  const EpilogueShape& shape = args.shape;
  const bool packed = packs_fit(shape.lanes, kWidest<T>, {args.x, args.y, args.d, args.noise, args.bias});
  if (shape.channels_are_lanes)
    packed ? forward<T, true, true>(args, stream) : forward<T, true, false>(args, stream);
  else
    packed ? forward<T, false, true>(args, stream) : forward<T, false, false>(args, stream);
}

template <typename T, bool kLast, bool kPacked>
void backward(const EpilogueBackwardArgs& args, cudaStream_t stream) {
  const EpilogueShape& shape = args.shape;
  const int team = int(shape.lane_tile) / kWidest<T>;
  const BackwardWalk walk{Divider(shape.lane_tiles()), Divider(shape.row_tiles()), team};
  launch("modulated_epilogue_backward", backward_kernel<T, kLast, kPacked>, blocks_for(shape.tiles() * team), kThreads,
         0, stream, args, walk);
}

template <typename T>
void backward(const EpilogueBackwardArgs& args, cudaStream_t stream) {
  using A = typename Wide<T>::type;
  const EpilogueShape& shape = args.shape;
  const bool packed = packs_fit(shape.lanes, kWidest<T>, {args.grad_y, args.y, args.x, args.d, args.grad_x});
  if (shape.channels_are_lanes)
    packed ? backward<T, true, true>(args, stream) : backward<T, true, false>(args, stream);
  else
    packed ? backward<T, false, true>(args, stream) : backward<T, false, false>(args, stream);
  const int64_t n = shape.samples, c = shape.channels(), p = shape.pixels();
  const int64_t channel_parts = shape.channel_parts(), pixel_parts = shape.pixel_parts();
  const char* op = "modulated_epilogue_backward's sums";
  if (args.grad_d)
    add_parts<A>(op, args.grad_d, args.channel_products, {n, channel_parts, c, channel_parts * c, c, c}, stream);
  if (args.grad_noise)
    add_parts<A>(op, args.grad_noise, args.pixel_sums, {n, pixel_parts, p, pixel_parts * p, p, p}, stream);
  if (args.grad_bias) add_samples<A>(op, args.grad_bias, args.channel_sums, n, channel_parts, c, stream);
}

}  // namespace

void tile_for_cuda(EpilogueShape& shape) {
  shape.lane_tile = kFewestLanes;
  while (shape.lane_tile < kMostLanes && shape.lane_tile < shape.lanes) shape.lane_tile *= 2;
  // Tall tiles leave few partial sums, if there are threads enough; of 4 lanes each, as the types differ.
  const int64_t rows_of_all = shape.samples * shape.lane_tiles() * (shape.lane_tile / 4) * shape.rows;
  shape.row_tile = 2 * std::clamp<int64_t>(rows_of_all / kEnoughThreads / 2, 4, 32);
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
