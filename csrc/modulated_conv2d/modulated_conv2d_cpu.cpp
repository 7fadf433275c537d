#include "modulated_conv2d/modulated_conv2d.h"

#include <algorithm>
#include <stdexcept>

#include "common/cpu_kernel.h"
#include "common/cpu_sums.h"
#include "modulated_conv2d/modulated_conv2d_math.h"

namespace pumpgan {
namespace {

constexpr int64_t kTileElements = 1 << 14;  // worth a thread, and three tensors' worth stays in a core's L2 cache

int64_t grain_of(const EpilogueShape& shape) { return kTileElements / (shape.row_tile * shape.lane_tile) + 1; }

// What varies from lane to lane is read as a vector, what varies from row to row as a scalar.
template <typename T, bool kLaneScale, bool kLaneShift>
PUMPGAN_EVERY_ISA void forward_tile(const EpilogueArgs& args, const Tile& tile) {
  using A = typename Wide<T>::type;
  const EpilogueShape& shape = args.shape;
  const bool last = shape.channels_are_lanes;
  const A* d = static_cast<const A*>(args.d);
  const A* bias = static_cast<const A*>(args.bias);
  const A* noise = static_cast<const A*>(args.noise);
  if (d) d += tile.sample * shape.channels();
  if (noise) noise += tile.sample * args.noise_stride;
  const A* __restrict__ lane_scale = last ? d : nullptr;
  const A* __restrict__ lane_shift = last ? bias : noise;
  const A* row_scale = last ? nullptr : d;
  const A* row_shift = last ? noise : bias;
  const A slope = A(args.slope), gain = A(args.gain), clamp = as_stored<T>(args.clamp);
  const int64_t begin = tile.lane_begin, end = tile.lane_end;
  for (int64_t row = tile.row_begin; row < tile.row_end; ++row) {
    const int64_t start = (tile.sample * shape.rows + row) * shape.lanes;
    const T* __restrict__ x = static_cast<const T*>(args.x) + start;
    T* __restrict__ y = static_cast<T*>(args.y) + start;
    const A scale = row_scale ? row_scale[row] : A(1), shift = row_shift ? row_shift[row] : A(0);
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const A s = kLaneScale ? lane_scale[i] : scale;
      const A b = kLaneShift ? lane_shift[i] + shift : shift;
      y[i] = narrow<T>(epilogue_value<A>(widen(x[i]), s, b, slope, gain, clamp));
    }
  }
}

template <typename T>
void forward(const EpilogueArgs& args) {
  const bool scaled = args.shape.channels_are_lanes && args.d;
  const bool shifted = args.shape.channels_are_lanes ? args.bias : args.noise;
  const auto run = scaled ? (shifted ? forward_tile<T, true, true> : forward_tile<T, true, false>)
                          : (shifted ? forward_tile<T, false, true> : forward_tile<T, false, false>);
  parallel_for(args.shape.tiles(), grain_of(args.shape), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) run(args, tile_at(args.shape, i));
  });
}

// kScaled: there is a d. kLast: channels are lanes. kLaneSums: sums of t along each lane are wanted.
template <typename T, bool kScaled, bool kLast, bool kLaneSums>
PUMPGAN_EVERY_ISA void backward_tile(const EpilogueBackwardArgs& args, const Tile& tile) {
  using A = typename Wide<T>::type;
  const EpilogueShape& shape = args.shape;
  const A slope = A(args.slope), gain = A(args.gain), clamp = as_stored<T>(args.clamp);
  const int64_t begin = tile.lane_begin, end = tile.lane_end;
  const int64_t row_place = (tile.sample * shape.lane_tiles() + tile.lane_index) * shape.rows;
  const int64_t lane_place = (tile.sample * shape.row_tiles() + tile.row_index) * shape.lanes;
  A* row_sums = static_cast<A*>(kLast ? args.pixel_sums : args.channel_sums);
  A* row_products = static_cast<A*>(kLast ? nullptr : args.channel_products);
  A* __restrict__ lane_sums = static_cast<A*>(kLast ? args.channel_sums : args.pixel_sums);
  A* __restrict__ lane_products = static_cast<A*>(kLast ? args.channel_products : nullptr);
  const A* __restrict__ d = static_cast<const A*>(args.d);
  if (kScaled) d += tile.sample * shape.channels();
  if (kLaneSums) lane_sums += lane_place;
  if (kLaneSums) std::fill(lane_sums + begin, lane_sums + end, A(0));
  if (kScaled && kLast) lane_products += lane_place;
  if (kScaled && kLast) std::fill(lane_products + begin, lane_products + end, A(0));
  for (int64_t row = tile.row_begin; row < tile.row_end; ++row) {
    const int64_t start = (tile.sample * shape.rows + row) * shape.lanes;
    const T* __restrict__ grad_y = static_cast<const T*>(args.grad_y) + start;
    const T* __restrict__ y = static_cast<const T*>(args.y) + start;
    const T* __restrict__ x = static_cast<const T*>(args.x) + (kScaled ? start : 0);
    T* __restrict__ grad_x = static_cast<T*>(args.grad_x) + start;
    const A scale = kScaled && !kLast ? d[row] : A(1);
    A sums[kStripes] = {}, products[kStripes] = {};
    const auto element = [&](int64_t i, int stripe) {
      const A t = widen(grad_y[i]) * bias_act_slope_at<A>(widen(y[i]), slope, gain, clamp);
      sums[stripe] += t;
      if (kLaneSums) lane_sums[i] += t;
      if (kScaled && kLast) lane_products[i] += t * widen(x[i]);
      if (kScaled && !kLast) products[stripe] += t * widen(x[i]);
      grad_x[i] = narrow<T>(t * (kScaled && kLast ? d[i] : scale));
    };
    int64_t i = begin;
    for (; i + kStripes <= end; i += kStripes) {
#pragma omp simd  // nothing that the loop writes overlaps with what it reads
      for (int stripe = 0; stripe < kStripes; ++stripe) element(i + stripe, stripe);
    }
#pragma omp simd
    for (int stripe = 0; stripe < int(end - i); ++stripe) element(i + stripe, stripe);
    if (row_sums) row_sums[row_place + row] = sum_of(sums);
    if (kScaled && !kLast) row_products[row_place + row] = sum_of(products);
  }
}

template <typename T>
void backward(const EpilogueBackwardArgs& args) {
  using A = typename Wide<T>::type;
  const EpilogueShape& shape = args.shape;
  const bool scaled = args.d, last = shape.channels_are_lanes, lane_sums = last ? args.channel_sums : args.pixel_sums;
  const auto run =
      scaled ? (last ? (lane_sums ? backward_tile<T, true, true, true> : backward_tile<T, true, true, false>)
                     : (lane_sums ? backward_tile<T, true, false, true> : backward_tile<T, true, false, false>))
             : (last ? (lane_sums ? backward_tile<T, false, true, true> : backward_tile<T, false, true, false>)
                     : (lane_sums ? backward_tile<T, false, false, true> : backward_tile<T, false, false, false>));
  parallel_for(shape.tiles(), grain_of(shape), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) run(args, tile_at(shape, i));
  });
  const int64_t n = shape.samples, c = shape.channels(), p = shape.pixels();
  add_parts<A>(args.grad_d, args.channel_products, n, shape.channel_parts(), c);
  add_parts<A>(args.grad_noise, args.pixel_sums, n, shape.pixel_parts(), p);
  add_parts<A>(args.grad_bias, args.channel_sums, 1, n * shape.channel_parts(), c);
}

}  // namespace

void tile_for_cpu(EpilogueShape& shape) {
  shape.lane_tile = std::clamp<int64_t>(shape.lanes, 1, 4096);
  shape.row_tile = std::clamp<int64_t>(kTileElements / shape.lane_tile, 1, std::max<int64_t>(shape.rows, 1));
}

void modulated_epilogue_cpu(const EpilogueArgs& args) {
  switch (args.dtype) {
    case DType::f32: return forward<float>(args);
    case DType::f64: return forward<double>(args);
    case DType::bf16: return forward<BFloat16>(args);
    default: throw std::invalid_argument("modulated_epilogue: on CPU x must be float32, float64 or bfloat16");
  }
}

void modulated_epilogue_backward_cpu(const EpilogueBackwardArgs& args) {
  switch (args.dtype) {
    case DType::f32: return backward<float>(args);
    case DType::f64: return backward<double>(args);
    case DType::bf16: return backward<BFloat16>(args);
    default: throw std::invalid_argument("modulated_epilogue_backward: on CPU x must be float32, float64 or bfloat16");
  }
}

}  // namespace pumpgan
