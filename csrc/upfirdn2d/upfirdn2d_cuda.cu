// Two kernels: `slide` knows the filter's length and the factors when it is compiled and reads each sample of x about
// once from memory; `gather` takes everything else, one sample of y at a time.
#include <algorithm>
#include <limits>

#include "common/cuda_pack.h"
#include "common/divider.h"
#include "upfirdn2d/cuda_slide.h"
#include "upfirdn2d/upfirdn2d.h"
#include "upfirdn2d/upfirdn2d_math.h"

namespace pumpgan {
namespace {

// slide ----------------------------------------------------------------------------------------------------

// What a launch of `slide` fixes beside its arguments.
struct Walk {
  Groups rows, columns;
  Divider near, bundles, far, strips;  // packs of a line of memory, bundles of a row, lines of a pixel, strips
  int64_t items;
  int strip;      // groups of rows in one
  bool together;  // NCHW: the columns of a bundle are one aligned access to y
};

template <typename T, bool kPlanes, int kUp, int kDown, int kTaps>
__global__ void __launch_bounds__(kSlideThreads) slide(Upfirdn2dArgs args, Walk walk) {
  using A = typename Wide<T>::type;
  using S = Slide<T, kPlanes, kUp, kDown, kTaps>;
  constexpr int kWidth = S::kWidth, kColumns = S::kColumns, kReads = S::kReads, kAhead = S::kAhead;
  const int in_rows = int(args.rows.in), in_columns = int(args.columns.in);
  const int out_rows = int(args.rows.out), out_columns = int(args.columns.out);
  const int64_t pixel = kPlanes ? 1 : args.pixel, stride = int64_t(gridDim.x) * blockDim.x;
  S state(args.taps, args.flip, args.gain);
  for (int64_t item = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; item < walk.items; item += stride) {
    int64_t plane = item;
    int64_t channel = kPlanes ? 0 : walk.near.take(plane) * kWidth;
    const int bundle = int(walk.bundles.take(plane));
    if (!kPlanes) channel += walk.far.take(plane) * walk.near.divisor() * kWidth;
    const int group = int(walk.strips.take(plane)) * walk.strip;
    const int first_column = int(walk.columns.first_in) + bundle * (kColumns / kUp) * kDown;
    const int first_row = int(walk.rows.first_in) + group * kDown;
    const int column = int(walk.columns.first_out) + bundle * kColumns;
    const int row = int(walk.rows.first_out) + group * kUp;
    const T* x = static_cast<const T*>(args.x) + (plane * in_rows * in_columns + first_column) * pixel + channel;
    T* y = static_cast<T*>(args.y) + (plane * out_rows * out_columns + column) * pixel + channel;
    unsigned there = 0;  // bit m: column first_column + m of x exists
#pragma unroll
    for (int m = 0; m < kReads; ++m) there |= unsigned(first_column + m >= 0 && first_column + m < in_columns) << m;

    state.clear();
    const int turns = int(min(int64_t(walk.strip), walk.rows.count - group)) + S::kPending;
    for (int turn = 0; turn < turns; turn += kAhead) {
      Pack<T, kWidth> rows[kAhead][kDown][kReads];
#pragma unroll
      for (int i = 0; i < kAhead * kDown; ++i) {
        const int in_row = first_row + turn * kDown + i;
        const unsigned wanted = in_row >= 0 && in_row < in_rows ? there : 0u;
        const T* line = x + int64_t(in_row) * in_columns * pixel;
#pragma unroll
        for (int m = 0; m < kReads; ++m) {
          rows[i / kDown][i % kDown][m] = Pack<T, kWidth>{};
          if (wanted >> m & 1u) rows[i / kDown][i % kDown][m] = load<true, kWidth>(line + m * pixel, kWidth);
        }
      }
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
        state.turn([&](int row, int column, A (&values)[kWidth]) { widen(rows[a][row][column], values); });
        const int complete = turn + a - S::kPending;
        if (complete < 0 || turn + a >= turns) continue;
#pragma unroll
        for (int k = 0; k < kUp; ++k) {
          const int out_row = row + complete * kUp + k;
          if (out_row < 0 || out_row >= out_rows) continue;
          T* line = y + int64_t(out_row) * out_columns * pixel;
          const A* made = state.begun[S::kPending][k];
          if constexpr (kPlanes)
            if (walk.together) {
              store<true>(line, kColumns, narrow_pack<T, kColumns>(made));
              continue;
            }
#pragma unroll
          for (int c = 0; c < kColumns; ++c)
            if (column + c >= 0 && column + c < out_columns)
              store<true>(line + c * pixel, kWidth, narrow_pack<T, kWidth>(made + c * kWidth));
        }
      }
    }
  }
}

constexpr int64_t kEnoughThreads = 1 << 18;  // about what an H200 holds at once
constexpr int64_t kLongestStrip = 32;        // its first kPending turns are read again by the strip above

template <typename T, bool kPlanes, int kUp, int kDown, int kTaps>
bool launch_slide(const Upfirdn2dArgs& args, cudaStream_t stream) {
  using S = Slide<T, kPlanes, kUp, kDown, kTaps>;
  const bool wide = kPlanes ? args.pixel == 1 : args.pixel % S::kWidth == 0;
  if (!wide || !aligned(args.x, sizeof(T) * S::kWidth) || !aligned(args.y, sizeof(T) * S::kWidth)) return false;
  const Groups rows = groups_of(args.rows), columns = groups_of(args.columns);
  const int64_t packs = args.pixel / S::kWidth, each = S::kColumns / kUp;
  const int64_t bundles = (columns.count + each - 1) / each, across = args.planes * packs * bundles;
  const int64_t near = packs % 8 == 0 ? 8 : packs;  // so that a block's columns are many, and its halo small
  const int64_t wanted = (kEnoughThreads + across - 1) / across, shortest = std::min<int64_t>(rows.count, 8);
  const int64_t strip = std::clamp((rows.count + wanted - 1) / wanted, shortest, kLongestStrip);
  const int64_t strips = (rows.count + strip - 1) / strip;
  const bool together = columns.first_out == 0 && args.columns.out % S::kColumns == 0 &&
                        aligned(args.y, sizeof(T) * S::kColumns);
  const Walk walk{rows, columns, Divider(near), Divider(bundles), Divider(packs / near), Divider(strips),
                  across * strips, int(strip), together};
  launch("upfirdn2d", slide<T, kPlanes, kUp, kDown, kTaps>, blocks_for(walk.items, kSlideThreads), kSlideThreads, 0,
         stream, args, walk);
  return true;
}

// Whether `slide` has done it.
template <typename T, bool kPlanes>
bool slid(const Upfirdn2dArgs& args, cudaStream_t stream) {
  const auto is = [&](int64_t taps, int64_t up, int64_t down) {
    return args.columns.taps == taps && args.columns.up == up && args.columns.down == down;
  };
  if (is(4, 1, 1)) return launch_slide<T, kPlanes, 1, 1, 4>(args, stream);
  if (is(4, 1, 2)) return launch_slide<T, kPlanes, 1, 2, 4>(args, stream);
  if (is(4, 2, 1)) return launch_slide<T, kPlanes, 2, 1, 4>(args, stream);
  if (is(4, 1, 4)) return launch_slide<T, kPlanes, 1, 4, 4>(args, stream);
  if (is(4, 4, 1)) return launch_slide<T, kPlanes, 4, 1, 4>(args, stream);
  return false;
}

// gather ---------------------------------------------------------------------------------------------------

// One sample of y a thread and turn; neighbours in a warp are neighbours in y, so what they read overlaps in cache.
// I counts along an axis.
template <typename T, typename I>
__global__ void gather(Upfirdn2dArgs args, Divider pixels, Divider columns, Divider rows) {
  using A = typename Wide<T>::type;
  const T* x = static_cast<const T*>(args.x);
  const A* taps = static_cast<const A*>(args.taps);
  T* y = static_cast<T*>(args.y);
  const I up = I(args.columns.up), down = I(args.columns.down);
  const I tall = I(args.rows.taps), wide = I(args.columns.taps);
  const int64_t size = args.planes * args.rows.out * args.columns.out * args.pixel;
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
    int64_t plane = i;
    const int64_t channel = pixels.take(plane);
    const I column = I(columns.take(plane)), row = I(rows.take(plane));
    const Reach<I> v = clipped(reach_of(row, tall, up, down, I(args.rows.before)), up, I(args.rows.in));
    const Reach<I> h = clipped(reach_of(column, wide, up, down, I(args.columns.before)), up, I(args.columns.in));
    A total = A(0);
    for (I m = 0; m < v.count; ++m) {
      const T* line = x + ((plane * args.rows.in + v.first + m) * args.columns.in + h.first) * args.pixel + channel;
      const I tap_row = tap_at(v.tap + m * up, tall, args.flip);
      const A* filter = args.separable ? taps : taps + tap_row * wide;
      A sum = A(0);
      for (I k = 0; k < h.count; ++k)
        sum += filter[tap_at(h.tap + k * up, wide, args.flip)] * widen(line[k * args.pixel]);
      total += args.separable ? taps[tap_row] * sum : sum;
    }
    y[i] = narrow<T>(A(args.gain) * total);
  }
}

template <typename T, typename I>
void launch_gather(const Upfirdn2dArgs& args, cudaStream_t stream) {
  const unsigned blocks = blocks_for(args.planes * args.rows.out * args.columns.out * args.pixel);
  launch("upfirdn2d", gather<T, I>, blocks, kThreads, 0, stream, args, Divider(args.pixel), Divider(args.columns.out),
         Divider(args.rows.out));
}

// Whether every place along an axis, inserted zeros and padding counted, fits an int32_t with room to add two.
bool is_short(const ResampledAxis& axis) {
  constexpr int64_t kLimit = std::numeric_limits<int32_t>::max() / 4;
  return axis.in * axis.up < kLimit && axis.out * axis.down < kLimit && std::abs(axis.before) < kLimit &&
         axis.taps < kLimit;
}

template <typename T>
void upfirdn2d(const Upfirdn2dArgs& args, cudaStream_t stream) {
  const bool fits = is_short(args.rows) && is_short(args.columns);
  if constexpr (sizeof(T) <= sizeof(float)) {
    const bool alike = args.rows.up == args.columns.up && args.rows.down == args.columns.down;
    if (fits && alike && args.separable && (slid<T, true>(args, stream) || slid<T, false>(args, stream))) return;
  }
  if (fits) launch_gather<T, int32_t>(args, stream);
  else launch_gather<T, int64_t>(args, stream);
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
