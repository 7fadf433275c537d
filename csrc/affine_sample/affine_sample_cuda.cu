// Forward a thread makes some channels of a pixel of y, backward of a pixel of x. There it gathers too, without atomics,
// so that every run adds up in the same order: it looks for the pixels of y that show its own about where the inverse
// of the map sends each of its mirror images.
#include <cmath>
#include <limits>

#include "affine_sample/affine_sample.h"
#include "affine_sample/affine_sample_math.h"
#include "common/cuda_pack.h"

namespace pumpgan {
namespace {

// What a launch fixes beside its arguments. Packed, neighbouring threads take packs of a pixel, else pixels of a row.
struct Walk {
  Divider packs, columns, rows, groups;  // of a pixel; of the images written; of channels, in those
  Mirror across, down;
  int64_t items;
  int64_t from_channel, to_channel, pixel;  // elements between neighbours
};

// Some channels of one pixel of the images written.
struct Item {
  int64_t sample, channel;
  int32_t row, column;

  __device__ __forceinline__ Item(const Walk& walk, int64_t index, int width) {
    const int64_t pack = walk.packs.take(index);
    column = static_cast<int32_t>(walk.columns.take(index));
    row = static_cast<int32_t>(walk.rows.take(index));
    channel = (pack + walk.groups.take(index)) * width;  // one of the two is 0
    sample = index;
  }
};

// sums += weight * the channels from `from` on, of which `left` exist.
template <bool kPacked, typename T, typename A, int kWidth>
__device__ __forceinline__ void add(const T* from, int64_t channel_step, int64_t left, A weight, A (&sums)[kWidth]) {
  if constexpr (kPacked) {
    A values[kWidth];
    widen(load<true, kWidth>(from, kWidth), values);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sums[j] += weight * values[j];
  } else {
#pragma unroll
    for (int j = 0; j < kWidth; ++j)
      if (j < left) sums[j] += weight * widen(from[j * channel_step]);
  }
}

template <bool kPacked, typename T, typename A, int kWidth>
__device__ __forceinline__ void keep(T* to, int64_t channel_step, int64_t left, const A (&sums)[kWidth]) {
  if constexpr (kPacked) {
    store<true>(to, kWidth, narrow_pack<T, kWidth>(sums));
  } else {
#pragma unroll
    for (int j = 0; j < kWidth; ++j)
      if (j < left) to[j * channel_step] = narrow<T>(sums[j]);
  }
}

template <typename T, bool kPacked, int kWidth>
__global__ void show(AffineSampleArgs args, Walk walk) {
  using A = typename Wide<T>::type;
  const int64_t image = args.channels * args.rows * args.columns;
  const int64_t shown_image = args.channels * args.shown_rows * args.shown_columns;
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < walk.items; i += stride) {
    const Item item(walk, i, kWidth);
    const A* matrix = static_cast<const A*>(args.matrices) + 6 * item.sample;
    const A u = centred<A>(item.column, args.shown_columns), v = centred<A>(item.row, args.shown_rows);
    const Place<A> x = place_of(MappedAxis<A>(matrix, args.columns), u, v);
    const Place<A> y = place_of(MappedAxis<A>(matrix + 3, args.rows), u, v);
    const T* from = static_cast<const T*>(args.from) + item.sample * image + item.channel * walk.from_channel;
    const int64_t left = args.channels - item.channel;
    A sums[kWidth] = {};
#pragma unroll
    for (int down = 0; down < 2; ++down)
#pragma unroll
      for (int across = 0; across < 2; ++across) {
        const int64_t pixel = walk.down(y.first + down) * args.columns + walk.across(x.first + across);
        const A weight = (down ? y.part : 1 - y.part) * (across ? x.part : 1 - x.part);
        add<kPacked>(from + pixel * walk.pixel, walk.from_channel, left, weight, sums);
      }
    T* to = static_cast<T*>(args.to) + item.sample * shown_image + item.channel * walk.to_channel +
            (item.row * args.shown_columns + item.column) * walk.pixel;
    keep<kPacked>(to, walk.to_channel, left, sums);
  }
}

// Backward -------------------------------------------------------------------------------------------------

// The pixels of y that may show a pixel of x.
struct Box {
  int32_t left, right, top, bottom;
};

// Where a sample's pixels of x are shown. Copies of x, every second one mirrored, tile the plane that the map reaches;
// each pixel of x has an image in every tile. Is the map singular, nearly so, or its reach out of hand, then it takes
// less to look at all of y than for the images one by one.
template <typename A>
class Images {
 public:
  int32_t left = 0, right = 0, top = 0, bottom = 0;  // tiles
  bool few;                                          // else there is one, of all that a pixel's images are

  __device__ __forceinline__ Images(const AffineSampleArgs& args, const MappedAxis<A>& across,
                                    const MappedAxis<A>& down)
      : start_x_(across.start), start_y_(down.start), half_u_(A(args.shown_columns - 1) / 2),
        half_v_(A(args.shown_rows - 1) / 2), last_u_(int32_t(args.shown_columns - 1)),
        last_v_(int32_t(args.shown_rows - 1)) {
    const A columns = A(args.columns), rows = A(args.rows);
    const A spread_x = std::abs(across.by_u) * half_u_ + std::abs(across.by_v) * half_v_;
    const A spread_y = std::abs(down.by_u) * half_u_ + std::abs(down.by_v) * half_v_;
    // A pixel is shown from less than 1 away, and places are rounded.
    constexpr A slack = 16 * std::numeric_limits<A>::epsilon();
    const A reach =
        1 + slack * (spread_x + std::abs(start_x_) + columns + spread_y + std::abs(start_y_) + rows);
    const A low_x = start_x_ - spread_x - reach, high_x = start_x_ + spread_x + reach;
    const A low_y = start_y_ - spread_y - reach, high_y = start_y_ + spread_y + reach;
    const A scale = 1 / determinant(across.by_u, across.by_v, down.by_u, down.by_v);
    u_by_x_ = down.by_v * scale;
    u_by_y_ = -across.by_v * scale;
    v_by_x_ = -down.by_u * scale;
    v_by_y_ = across.by_u * scale;
    reach_u_ = (std::abs(u_by_x_) + std::abs(u_by_y_)) * reach + slack * A(args.shown_columns);
    reach_v_ = (std::abs(v_by_x_) + std::abs(v_by_y_)) * reach + slack * A(args.shown_rows);
    const A first_x = std::floor(low_x / columns), last_x = std::floor(high_x / columns);
    const A first_y = std::floor(low_y / rows), last_y = std::floor(high_y / rows);
    const A each = (2 * reach_u_ + 1) * (2 * reach_v_ + 1) + 1;
    const A work = (last_x - first_x + 1) * (last_y - first_y + 1) * each;
    constexpr A farthest = A(kFarthest);
    few = low_x > -farthest && high_x < farthest && low_y > -farthest && high_y < farthest &&
          work <= A(args.shown_columns) * A(args.shown_rows);  // none of which a NaN is
    if (!few) return;
    left = int32_t(first_x);
    right = int32_t(last_x);
    top = int32_t(first_y);
    bottom = int32_t(last_y);
  }

  // Where pixel k of `side` has its image in a tile.
  static __device__ __forceinline__ int32_t image_of(int32_t k, int32_t tile, int32_t side) {
    return tile * side + (tile & 1 ? side - 1 - k : k);
  }

  // What may show the image at place (x, y).
  __device__ __forceinline__ Box box_of(int32_t x, int32_t y) const {
    if (!few) return {0, last_u_, 0, last_v_};
    const A by_x = A(x) - start_x_, by_y = A(y) - start_y_;
    const A u = u_by_x_ * by_x + u_by_y_ * by_y + half_u_, v = v_by_x_ * by_x + v_by_y_ * by_y + half_v_;
    return {first(u - reach_u_, last_u_), last(u + reach_u_, last_u_), first(v - reach_v_, last_v_),
            last(v + reach_v_, last_v_)};
  }

 private:
  // a d - b c, to the last bits however much of it cancels.
  static __device__ __forceinline__ A determinant(A a, A b, A c, A d) {
    const A product = b * c;
    return std::fma(a, d, -product) + std::fma(-b, c, product);
  }
  static __device__ __forceinline__ int32_t first(A bound, int32_t end) {
    return static_cast<int32_t>(min(max(std::ceil(bound), A(0)), A(end) + 1));
  }
  static __device__ __forceinline__ int32_t last(A bound, int32_t end) {
    return static_cast<int32_t>(max(min(std::floor(bound), A(end)), A(-1)));
  }

  A start_x_, start_y_, half_u_, half_v_;
  A u_by_x_, u_by_y_, v_by_x_, v_by_y_;
  A reach_u_, reach_v_;
  int32_t last_u_, last_v_;
};

template <typename T, bool kPacked, int kWidth>
__global__ void give(AffineSampleArgs args, Walk walk) {
  using A = typename Wide<T>::type;
  const int64_t image = args.channels * args.rows * args.columns;
  const int64_t shown_image = args.channels * args.shown_rows * args.shown_columns;
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < walk.items; i += stride) {
    const Item item(walk, i, kWidth);
    const A* matrix = static_cast<const A*>(args.matrices) + 6 * item.sample;
    const MappedAxis<A> across(matrix, args.columns), down(matrix + 3, args.rows);
    const Images<A> images(args, across, down);
    const T* from = static_cast<const T*>(args.from) + item.sample * shown_image + item.channel * walk.from_channel;
    const int64_t left = args.channels - item.channel;
    A sums[kWidth] = {};
    // Whether a pixel of y shows the place `wanted` along an axis, and with what weight. An edge may be both its pixels.
    const auto shows = [&](Place<A> place, int32_t wanted, const Mirror& mirror, A& weight) {
      const bool near = (images.few ? place.first : mirror(place.first)) == wanted;
      const bool far = (images.few ? place.first + 1 : mirror(place.first + 1)) == wanted;
      weight = (near ? 1 - place.part : A(0)) + (far ? place.part : A(0));
      return (near || far) && place.part == place.part;
    };
    for (int32_t tile_y = images.top; tile_y <= images.bottom; ++tile_y)
      for (int32_t tile_x = images.left; tile_x <= images.right; ++tile_x) {
        const int32_t x = images.image_of(item.column, tile_x, int32_t(args.columns));
        const int32_t y = images.image_of(item.row, tile_y, int32_t(args.rows));
        const Box box = images.box_of(x, y);
        for (int32_t row = box.top; row <= box.bottom; ++row) {
          const A v = centred<A>(row, args.shown_rows);
          for (int32_t column = box.left; column <= box.right; ++column) {
            const A u = centred<A>(column, args.shown_columns);
            A weight_x, weight_y;
            if (!shows(place_of(across, u, v), x, walk.across, weight_x)) continue;
            if (!shows(place_of(down, u, v), y, walk.down, weight_y)) continue;
            const int64_t pixel = row * args.shown_columns + column;
            add<kPacked>(from + pixel * walk.pixel, walk.from_channel, left, weight_y * weight_x, sums);
          }
        }
      }
    T* to = static_cast<T*>(args.to) + item.sample * image + item.channel * walk.to_channel +
            (item.row * args.columns + item.column) * walk.pixel;
    keep<kPacked>(to, walk.to_channel, left, sums);
  }
}

// Launch ---------------------------------------------------------------------------------------------------

constexpr int kTogether = 4;  // channels of a thread that are not a pack: their pixel's place is found once

template <typename T, bool kPacked, int kWidth>
void launch_either(const AffineSampleArgs& args, bool backward, cudaStream_t stream) {
  const int64_t rows = backward ? args.rows : args.shown_rows, columns = backward ? args.columns : args.shown_columns;
  const int64_t parts = (args.channels + kWidth - 1) / kWidth;
  const int64_t plane = args.rows * args.columns, shown_plane = args.shown_rows * args.shown_columns;
  const bool last = args.channels_last;
  const Walk walk{Divider(kPacked ? parts : 1), Divider(columns), Divider(rows), Divider(kPacked ? 1 : parts),
                  Mirror(args.columns), Mirror(args.rows), args.samples * parts * rows * columns,
                  last ? 1 : backward ? shown_plane : plane, last ? 1 : backward ? plane : shown_plane,
                  last ? args.channels : 1};
  launch(backward ? "affine_sample_backward" : "affine_sample",
         backward ? give<T, kPacked, kWidth> : show<T, kPacked, kWidth>, blocks_for(walk.items), kThreads, 0, stream,
         args, walk);
}

template <typename T>
void launch_for(const AffineSampleArgs& args, bool backward, cudaStream_t stream) {
  constexpr int kWidth = kWidest<T>;
  if (args.channels_last && args.channels % kWidth == 0 && aligned(args.from) && aligned(args.to))
    return launch_either<T, true, kWidth>(args, backward, stream);
  launch_either<T, false, kTogether>(args, backward, stream);
}

void launch_any(const AffineSampleArgs& args, bool backward, cudaStream_t stream) {
  switch (args.dtype) {
    case DType::f16: return launch_for<__half>(args, backward, stream);
    case DType::bf16: return launch_for<__nv_bfloat16>(args, backward, stream);
    case DType::f32: return launch_for<float>(args, backward, stream);
    case DType::f64: return launch_for<double>(args, backward, stream);
  }
}

}  // namespace

void affine_sample_cuda(const AffineSampleArgs& args, CUstream_st* stream) { launch_any(args, false, stream); }

void affine_sample_backward_cuda(const AffineSampleArgs& args, CUstream_st* stream) { launch_any(args, true, stream); }

}  // namespace pumpgan
