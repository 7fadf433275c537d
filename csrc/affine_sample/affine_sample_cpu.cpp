// A row of y at a time: first the four pixels of x and the weights of each of its own, then every channel by them.
// Backward, one worker owns a channel and adds to it in the order of y, so the sums do not depend on their number.
#include "affine_sample/affine_sample.h"

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#include "affine_sample/affine_sample_math.h"
#include "common/cpu_kernel.h"

namespace pumpgan {
namespace {

constexpr int64_t kGrain = 1 << 14;  // values worth a thread
constexpr int kCorners = 4;
constexpr int64_t kTogether = 4;     // channels

// How x and y lie: elements between neighbours.
struct Steps {
  int64_t pixel, channel, shown_channel;

  explicit Steps(const AffineSampleArgs& args)
      : pixel(args.channels_last ? args.channels : 1),
        channel(args.channels_last ? 1 : args.rows * args.columns),
        shown_channel(args.channels_last ? 1 : args.shown_rows * args.shown_columns) {}
};

// What a row of y shows along one axis: of each pixel the two of x that its place lies between, and where between.
template <typename A>
struct ShownAlong {
  Scratch<int32_t> near, far;
  Scratch<A> part;

  explicit ShownAlong(int64_t pixels) : near(pixels), far(pixels), part(pixels) {}
};

// And altogether: of each pixel the four of x, as offsets in one channel, and their weights, NaN for nowhere.
template <typename A>
struct ShownRow {
  ShownAlong<A> across, down;
  Scratch<int64_t> at[kCorners];
  Scratch<A> weights[kCorners];

  explicit ShownRow(int64_t pixels) : across(pixels), down(pixels) {
    for (int k = 0; k < kCorners; ++k) {
      at[k].resize(pixels);
      weights[k].resize(pixels);
    }
  }
};

template <typename A>
PUMPGAN_EVERY_ISA void find_along(const MappedAxis<A> axis, const Mirror mirror, const A v, const int64_t side,
                                  ShownAlong<A>& shown) {
  int32_t *__restrict__ near = shown.near.data(), *__restrict__ far = shown.far.data();
  A* __restrict__ part = shown.part.data();
#pragma GCC ivdep
  for (int32_t j = 0; j < int32_t(side); ++j) {
    const Place<A> place = place_of(axis, centred<A>(j, side), v);
    near[j] = mirror(place.first);
    far[j] = mirror(place.first + 1);
    part[j] = place.part;
  }
}

template <typename A>
PUMPGAN_EVERY_ISA void combine(const int64_t pixels, const int64_t pixel_step, const int64_t row_step,
                               ShownRow<A>& shown) {
  const int32_t *__restrict__ left = shown.across.near.data(), *__restrict__ right = shown.across.far.data();
  const int32_t *__restrict__ upper = shown.down.near.data(), *__restrict__ lower = shown.down.far.data();
  const A *__restrict__ x = shown.across.part.data(), *__restrict__ y = shown.down.part.data();
  int64_t *__restrict__ at0 = shown.at[0].data(), *__restrict__ at1 = shown.at[1].data();
  int64_t *__restrict__ at2 = shown.at[2].data(), *__restrict__ at3 = shown.at[3].data();
  A *__restrict__ weight0 = shown.weights[0].data(), *__restrict__ weight1 = shown.weights[1].data();
  A *__restrict__ weight2 = shown.weights[2].data(), *__restrict__ weight3 = shown.weights[3].data();
#pragma GCC ivdep
  for (int64_t j = 0; j < pixels; ++j) {
    at0[j] = upper[j] * row_step + left[j] * pixel_step;
    at1[j] = upper[j] * row_step + right[j] * pixel_step;
    at2[j] = lower[j] * row_step + left[j] * pixel_step;
    at3[j] = lower[j] * row_step + right[j] * pixel_step;
    weight0[j] = (1 - y[j]) * (1 - x[j]);
    weight1[j] = (1 - y[j]) * x[j];
    weight2[j] = y[j] * (1 - x[j]);
    weight3[j] = y[j] * x[j];
  }
}

// Where x lies in pixels of `pixel_step` elements.
template <typename A>
void find_row(const AffineSampleArgs& args, int64_t sample, int64_t row, int64_t pixel_step, const Mirror& across,
              const Mirror& down, ShownRow<A>& shown) {
  const A* matrix = static_cast<const A*>(args.matrices) + 6 * sample;
  const A v = centred<A>(int32_t(row), args.shown_rows);
  find_along(MappedAxis<A>(matrix, args.columns), across, v, args.shown_columns, shown.across);
  find_along(MappedAxis<A>(matrix + 3, args.rows), down, v, args.shown_columns, shown.down);
  combine(args.shown_columns, pixel_step, args.columns * pixel_step, shown);
}

// One channel of a row of y.
template <typename T, typename A>
PUMPGAN_EVERY_ISA void show_line(const T* __restrict__ x, const ShownRow<A>& shown, T* __restrict__ y, int64_t pixels) {
  const int64_t *__restrict__ at0 = shown.at[0].data(), *__restrict__ at1 = shown.at[1].data();
  const int64_t *__restrict__ at2 = shown.at[2].data(), *__restrict__ at3 = shown.at[3].data();
  const A *__restrict__ weight0 = shown.weights[0].data(), *__restrict__ weight1 = shown.weights[1].data();
  const A *__restrict__ weight2 = shown.weights[2].data(), *__restrict__ weight3 = shown.weights[3].data();
  for (int64_t j = 0; j < pixels; ++j)
    y[j] = narrow<T>(weight0[j] * widen(x[at0[j]]) + weight1[j] * widen(x[at1[j]]) + weight2[j] * widen(x[at2[j]]) +
                     weight3[j] * widen(x[at3[j]]));
}

// A row of y whose channels are neighbours.
template <typename T, typename A>
PUMPGAN_EVERY_ISA void show_pixels(const T* __restrict__ x, const ShownRow<A>& shown, T* __restrict__ y, int64_t pixels,
                                   int64_t channels) {
  for (int64_t j = 0; j < pixels; ++j, y += channels) {
    const T *x0 = x + shown.at[0][j], *x1 = x + shown.at[1][j], *x2 = x + shown.at[2][j], *x3 = x + shown.at[3][j];
    const A w0 = shown.weights[0][j], w1 = shown.weights[1][j], w2 = shown.weights[2][j], w3 = shown.weights[3][j];
    const auto sum = [=](int64_t, A v0, A v1, A v2, A v3) { return w0 * v0 + w1 * v1 + w2 * v2 + w3 * v3; };
    map_values(channels, 0, y, sum, x0, x1, x2, x3);
  }
}

template <typename T>
void affine_sample(const AffineSampleArgs& args) {
  using A = typename Wide<T>::type;
  const Steps steps(args);
  const Mirror across(args.columns), down(args.rows);
  const int64_t image = args.channels * args.rows * args.columns, line = args.shown_columns * steps.pixel;
  const int64_t shown_image = args.channels * args.shown_rows * args.shown_columns;
  const int64_t grain = kGrain / (args.shown_columns * args.channels) + 1;
  parallel_for(args.samples * args.shown_rows, grain, [&](int64_t begin, int64_t end) {
    ShownRow<A> shown(args.shown_columns);
    for (int64_t index = begin; index < end; ++index) {
      const int64_t sample = index / args.shown_rows, row = index % args.shown_rows;
      const T* x = static_cast<const T*>(args.from) + sample * image;
      T* y = static_cast<T*>(args.to) + sample * shown_image + row * line;
      find_row(args, sample, row, steps.pixel, across, down, shown);
      if (args.channels_last)
        show_pixels(x, shown, y, args.shown_columns, args.channels);
      else
        for (int64_t c = 0; c < args.channels; ++c)
          show_line(x + c * steps.channel, shown, y + c * steps.shown_channel, args.shown_columns);
    }
  });
}

// Backward -------------------------------------------------------------------------------------------------

// Adds a row of the gradient of y to what it showed, in up to kTogether channels. Neighbours in y add to the same pixels
// of x, so channels take turns: the sum that one waits for is another's to use. (Many would push each other out of the
// cache, where their planes lie a power of two apart.)
template <typename T, typename A>
PUMPGAN_EVERY_ISA void give_lines(const T* __restrict__ grad_y, const ShownRow<A>& shown, A* __restrict__ grad_x,
                                  int64_t pixels, int64_t channels, int64_t shown_step, int64_t step) {
  const int64_t *__restrict__ at0 = shown.at[0].data(), *__restrict__ at1 = shown.at[1].data();
  const int64_t *__restrict__ at2 = shown.at[2].data(), *__restrict__ at3 = shown.at[3].data();
  const A *__restrict__ weight0 = shown.weights[0].data(), *__restrict__ weight1 = shown.weights[1].data();
  const A *__restrict__ weight2 = shown.weights[2].data(), *__restrict__ weight3 = shown.weights[3].data();
  for (int64_t j = 0; j < pixels; ++j) {
    if (weight0[j] != weight0[j]) continue;
    for (int64_t c = 0; c < channels; ++c) {
      const A grad = widen(grad_y[c * shown_step + j]);
      A* to = grad_x + c * step;
      to[at0[j]] += weight0[j] * grad;
      to[at1[j]] += weight1[j] * grad;
      to[at2[j]] += weight2[j] * grad;
      to[at3[j]] += weight3[j] * grad;
    }
  }
}

// The same where channels are neighbours; `step` elements lie between two pixels of the gradient of y.
template <typename T, typename A>
PUMPGAN_EVERY_ISA void give_pixels(const T* __restrict__ grad_y, const ShownRow<A>& shown, A* grad_x, int64_t pixels,
                                   int64_t channels, int64_t step) {
  for (int64_t j = 0; j < pixels; ++j, grad_y += step)
    for (int k = 0; k < kCorners; ++k) {
      const A weight = shown.weights[k][j];
      if (weight != weight) break;
      A* __restrict__ to = grad_x + shown.at[k][j];
      for (int64_t c = 0; c < channels; ++c) to[c] += weight * widen(grad_y[c]);
    }
}

// Channels of x, summed wide: in the gradient itself where it is as wide, else in scratch of their own.
template <typename T>
void give_sample(const AffineSampleArgs& args, int64_t sample, int64_t first, int64_t channels, const Mirror& across,
                 const Mirror& down, ShownRow<typename Wide<T>::type>& shown, Scratch<typename Wide<T>::type>& sums) {
  using A = typename Wide<T>::type;
  const Steps steps(args);
  const int64_t pixels = args.rows * args.columns, shown_pixels = args.shown_rows * args.shown_columns;
  const int64_t line = args.shown_columns * steps.pixel;
  const T* grad_y = static_cast<const T*>(args.from) + sample * args.channels * shown_pixels + first * steps.shown_channel;
  T* grad_x = static_cast<T*>(args.to) + sample * args.channels * pixels + first * steps.channel;
  A* to;
  if constexpr (std::is_same_v<T, A>) {
    to = grad_x;
    if (args.channels_last)
      for (int64_t i = 0; i < pixels; ++i) std::fill_n(to + i * steps.pixel, channels, A(0));
    else
      std::fill_n(to, channels * pixels, A(0));
  } else {
    sums.assign(channels * pixels, A(0));
    to = sums.data();
  }
  const int64_t pixel = !args.channels_last ? 1 : std::is_same_v<T, A> ? args.channels : channels;
  for (int64_t row = 0; row < args.shown_rows; ++row, grad_y += line) {
    find_row(args, sample, row, pixel, across, down, shown);
    if (args.channels_last)
      give_pixels(grad_y, shown, to, args.shown_columns, channels, args.channels);
    else
      for (int64_t c = 0; c < channels; c += kTogether)
        give_lines(grad_y + c * shown_pixels, shown, to + c * pixels, args.shown_columns,
                   std::min(kTogether, channels - c), shown_pixels, pixels);
  }
  if constexpr (!std::is_same_v<T, A>) {
    if (args.channels_last)
      for (int64_t i = 0; i < pixels; ++i)
        for (int64_t c = 0; c < channels; ++c) grad_x[i * steps.pixel + c] = narrow<T>(to[i * channels + c]);
    else
      for (int64_t i = 0; i < channels * pixels; ++i) grad_x[i] = narrow<T>(to[i]);
  }
}

template <typename T>
void affine_sample_backward(const AffineSampleArgs& args) {
  using A = typename Wide<T>::type;
  const Mirror across(args.columns), down(args.rows);
  const int64_t group = args.channels_last ? int64_t(64 / sizeof(T)) : 1;  // workers share no cache line
  const int64_t groups = (args.channels + group - 1) / group;
  const int64_t grain = kGrain / (args.shown_rows * args.shown_columns * group) + 1;
  parallel_for(args.samples * groups, grain, [&](int64_t begin, int64_t end) {
    ShownRow<A> shown(args.shown_columns);
    Scratch<A> sums;
    for (int64_t index = begin; index < end;) {  // all groups of a sample that are this worker's, together
      const int64_t sample = index / groups, first = index % groups, last = std::min(groups, first + end - index);
      const int64_t channels = std::min(last * group, args.channels) - first * group;
      give_sample<T>(args, sample, first * group, channels, across, down, shown, sums);
      index += last - first;
    }
  });
}

}  // namespace

void affine_sample_cpu(const AffineSampleArgs& args) {
  switch (args.dtype) {
    case DType::f32: return affine_sample<float>(args);
    case DType::f64: return affine_sample<double>(args);
    case DType::bf16: return affine_sample<BFloat16>(args);
    case DType::f16: throw std::invalid_argument("affine_sample: on CPU x must be float32, float64 or bfloat16");
  }
}

void affine_sample_backward_cpu(const AffineSampleArgs& args) {
  switch (args.dtype) {
    case DType::f32: return affine_sample_backward<float>(args);
    case DType::f64: return affine_sample_backward<double>(args);
    case DType::bf16: return affine_sample_backward<BFloat16>(args);
    case DType::f16: throw std::invalid_argument("affine_sample: on CPU x must be float32, float64 or bfloat16");
  }
}

}  // namespace pumpgan
