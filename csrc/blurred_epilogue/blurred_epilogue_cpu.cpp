// Forward, a row of y is filtered like one of upfirdn2d and activated before it is stored. Backward, the four rows of t
// that a row of x meets wait, widened, in a ring; each is made once a tile, and summed on the way.
#include "blurred_epilogue/blurred_epilogue.h"

#include <algorithm>
#include <stdexcept>

#include "blurred_epilogue/blurred_epilogue_math.h"
#include "common/cpu_kernel.h"
#include "common/cpu_sums.h"
#include "upfirdn2d/upfirdn2d_rows.h"

namespace pumpgan {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements of y worth a thread
constexpr int64_t kRing = 1 << 16;   // elements of a tile's ring, which stays in a core's L2 cache
constexpr int64_t kBand = 32, kFewestChannels = 64;

// What all rows have in common: weights in the order in which `slide` meets them, and the activation.
template <typename A>
struct Common {
  A vertical[kBlurTaps], horizontal[1][kBlurTaps];
  A slope, gain, clamp;
};

template <typename T, typename Args>
Common<typename Wide<T>::type> common_of(const Args& args, bool back) {
  using A = typename Wide<T>::type;
  Common<A> common{{}, {}, A(args.slope), A(args.gain), as_stored<T>(args.clamp)};
  for (int k = 0; k < kBlurTaps; ++k) {
    common.horizontal[0][k] = static_cast<const A*>(args.taps)[tap_at(k, kBlurTaps, back)];
    common.vertical[k] = A(args.filter_gain) * common.horizontal[0][k];
  }
  return common;
}

// Forward --------------------------------------------------------------------------------------------------

template <typename T>
struct ForwardRow {
  using A = typename Wide<T>::type;
  const T* rows[kBlurTaps];  // of x, or of zeros beyond it
  const A *d, *bias;         // in the order of a block's parts
  const A* noise;
  int64_t columns, channels;
  T* y;
};

struct ForwardLoop {
  template <int kBytes, typename T>
  static inline void run(const Common<typename Wide<T>::type>& all, const ForwardRow<T>& row) {
    using A = typename Wide<T>::type;
    using B = Block<T, kBytes>;
    const Common<A> common = all;
    const A slope = common.slope, gain = common.gain, clamp = common.clamp;
    const int64_t columns = row.columns, channels = row.channels, next = (columns + 1) * channels;
    const A* noise = row.noise;
    for (int64_t channel = 0; channel < channels; channel += B::kElements) {
      const T* rows[kBlurTaps];
      for (int m = 0; m < kBlurTaps; ++m) rows[m] = row.rows[m] + channel;
      T* y = row.y + channel;
      B d, bias;
      d.load_parts(row.d + channel);
      bias.load_parts(row.bias + channel);
      const auto read = [&](int m, int64_t column, B& x) {
        x.load(rows[m] + column * channels);
        if (m == kBlurTaps - 1) __builtin_prefetch(rows[m] + column * channels + next);
      };
      const auto emit = [&](int64_t j, B& sum) {
        const A shift = noise[j];
        sum.apply([=](A x, A scale, A b) { return epilogue_value<A>(x, scale, b + shift, slope, gain, clamp); }, d, bias);
        sum.store(y + j * channels);
      };
      slide<B, kBlurTaps, 1, 1, 0>(common.vertical, common.horizontal, kFirst, columns + 1, columns, read, emit);
    }
  }
};

template <typename T>
void forward(const BlurredEpilogueArgs& args) {
  using A = typename Wide<T>::type;
  const BlurShape& shape = args.shape;
  const Common<A> common = common_of<T>(args, false);
  const int64_t c = shape.channels, width = (shape.columns + 1) * c;
  const Scratch<T> beyond(width);
  const Scratch<A> zeros(std::max(c, shape.columns)), ones(c, A(1));  // in place of what is not there
  parallel_for(shape.samples * shape.rows, kGrain / (shape.columns * c) + 1, [&](int64_t begin, int64_t end) {
    Scratch<A> d(c), bias(c);
    to_parts<T>(args.bias ? static_cast<const A*>(args.bias) : zeros.data(), c, bias.data());
    for (int64_t index = begin; index < end; ++index) {
      const int64_t sample = index / shape.rows, j = index % shape.rows;
      if (index == begin || j == 0)
        to_parts<T>(args.d ? static_cast<const A*>(args.d) + sample * c : ones.data(), c, d.data());
      const A* noise = args.noise ? static_cast<const A*>(args.noise) + sample * args.noise_stride + j * shape.columns
                                  : zeros.data();
      ForwardRow<T> row{{}, d.data(), bias.data(), noise, shape.columns, c,
                        static_cast<T*>(args.y) + index * shape.columns * c};
      for (int m = 0; m < kBlurTaps; ++m) {
        const int64_t i = j + kFirst + m;
        const T* x = static_cast<const T*>(args.x) + (sample * (shape.rows + 1) + i) * width;
        row.rows[m] = i < 0 || i > shape.rows ? beyond.data() : x;
      }
      run_widest<ForwardLoop>(common, row);
    }
  });
}

// Backward -------------------------------------------------------------------------------------------------

// A row of t: of pixels, with `lanes` channels of each, which are added to the channels' sums and summed over each pixel.
template <typename T>
struct SlopeRow {
  using A = typename Wide<T>::type;
  const T *grad_y, *y;
  int64_t columns, lanes, channels;
  A *t, *channel_sums, *pixel_sums;
};

struct SlopeLoop {
  template <int kBytes, typename T>
  static inline void run(const Common<typename Wide<T>::type>& common, const SlopeRow<T>& row) {
    using A = typename Wide<T>::type;
    using B = Block<T, kBytes>;
    const A slope = common.slope, gain = common.gain, clamp = common.clamp;
    const int64_t columns = row.columns, lanes = row.lanes, channels = row.channels, next = columns * channels;
    A *t_row = row.t, *channel_sums = row.channel_sums, *pixel_sums = row.pixel_sums;
    for (int64_t j = 0; j < columns; ++j) {
      const T *grad_y = row.grad_y + j * channels, *y = row.y + j * channels;
      B over_channels;
      over_channels.clear();
      for (int64_t lane = 0; lane < lanes; lane += B::kElements) {
        B t, at, sum;
        t.load(grad_y + lane);
        at.load(y + lane);
        __builtin_prefetch(grad_y + lane + next, 0, 2);  // the next row, into the L2 cache
        __builtin_prefetch(y + lane + next, 0, 2);
        sum.load_parts(channel_sums + lane);
        t.apply([=](A g, A value) { return g * bias_act_slope_at<A>(value, slope, gain, clamp); }, at);
        sum.add(A(1), t);
        over_channels.add(A(1), t);
        t.store_parts(t_row + j * lanes + lane);
        sum.store_parts(channel_sums + lane);
      }
      pixel_sums[j] = over_channels.sum();
    }
  }
};

// A row of grad_x. Its products with x are added to.
template <typename T>
struct GradientRow {
  using A = typename Wide<T>::type;
  const A* rows[kBlurTaps];  // of t, or of zeros beyond it
  const T* x;                // or nullptr, where there is no d
  const A* d;                // in the order of a block's parts
  int64_t columns, lanes, channels;  // columns: of t
  T* grad_x;
  A* products;
};

template <bool kScaled>
struct GradientLoop {
  template <int kBytes, typename T>
  static inline void run(const Common<typename Wide<T>::type>& all, const GradientRow<T>& row) {
    using A = typename Wide<T>::type;
    using B = Block<T, kBytes>;
    const Common<A> common = all;
    const int64_t columns = row.columns, lanes = row.lanes, channels = row.channels, next = (columns + 1) * channels;
    for (int64_t lane = 0; lane < lanes; lane += B::kElements) {
      const A* rows[kBlurTaps];
      for (int m = 0; m < kBlurTaps; ++m) rows[m] = row.rows[m] + lane;
      const T* x = row.x + (kScaled ? lane : 0);
      T* grad_x = row.grad_x + lane;
      B d, products;
      products.clear();
      if (kScaled) d.load_parts(row.d + lane);
      const auto read = [&](int m, int64_t column, B& t) { t.load_parts(rows[m] + column * lanes); };
      const auto emit = [&](int64_t j, B& g) {
        if (kScaled) {
          B at;
          at.load(x + j * channels);
          __builtin_prefetch(x + j * channels + next, 0, 2);
          for (int k = 0; k < B::kParts; ++k) {
            products.part[k] += g.part[k] * at.part[k];
            g.part[k] *= d.part[k];
          }
        }
        g.store(grad_x + j * channels);
      };
      slide<B, kBlurTaps, 1, 1, 0>(common.vertical, common.horizontal, kFirstBack, columns, columns + 1, read, emit);
      B sum;
      sum.load_parts(row.products + lane);
      sum.add(A(1), products);
      sum.store_parts(row.products + lane);
    }
  }
};

// One worker's scratch, and the tiles it makes.
template <typename T>
class Worker {
 public:
  using A = typename Wide<T>::type;

  Worker(const BlurredEpilogueBackwardArgs& args, const Common<A>& common)
      : args_(args), shape_(args.shape), common_(common), ring_(kBlurTaps * shape_.columns * shape_.channel_tile),
        beyond_(shape_.columns * shape_.channel_tile), d_(shape_.channel_tile), sums_(shape_.channel_tile),
        products_(shape_.channel_tile), unwanted_(std::max(shape_.columns, shape_.channel_tile)) {}

  void make_tile(int64_t index) {
    const int64_t c = shape_.channels, parts = shape_.pixel_parts(), bands = shape_.bands();
    const int64_t part = index % parts, band = index / parts % bands, sample = index / parts / bands;
    const int64_t channel = part * shape_.channel_tile, lanes = std::min(shape_.channel_tile, c - channel);
    const int64_t begin = band * shape_.band, end = begin + shape_.band;
    const int64_t width = shape_.columns * c, in_width = width + c;
    std::fill(sums_.begin(), sums_.end(), A(0));
    std::fill(products_.begin(), products_.end(), A(0));
    if (args_.d) to_parts<T>(static_cast<const A*>(args_.d) + sample * c + channel, lanes, d_.data());
    A* pixel_sums = static_cast<A*>(args_.pixel_sums);
    if (pixel_sums) pixel_sums += (sample * parts + part) * shape_.rows * shape_.columns;
    const auto slot = [&](int64_t row) { return ring_.data() + row % kBlurTaps * shape_.columns * lanes; };

    const int64_t last = std::min(end, shape_.rows + 1) + kLastBack;
    for (int64_t row = std::max<int64_t>(begin + kFirstBack, 0); row < last; ++row) {
      if (row < shape_.rows) {
        const int64_t start = (sample * shape_.rows + row) * width + channel;
        const bool own = row >= begin && row < end;
        const SlopeRow<T> made{static_cast<const T*>(args_.grad_y) + start, static_cast<const T*>(args_.y) + start,
                               shape_.columns, lanes, c, slot(row), own ? sums_.data() : unwanted_.data(),
                               own && pixel_sums ? pixel_sums + row * shape_.columns : unwanted_.data()};
        run_widest<SlopeLoop>(common_, made);
      }
      const int64_t in_row = row - kLastBack;  // which meets no later row
      if (in_row < begin) continue;
      const int64_t start = (sample * (shape_.rows + 1) + in_row) * in_width + channel;
      GradientRow<T> made{{}, args_.d ? static_cast<const T*>(args_.x) + start : nullptr, d_.data(), shape_.columns,
                          lanes, c, static_cast<T*>(args_.grad_x) + start, products_.data()};
      for (int m = 0; m < kBlurTaps; ++m) {
        const int64_t i = in_row + kFirstBack + m;
        made.rows[m] = i < 0 || i >= shape_.rows ? beyond_.data() : slot(i);
      }
      args_.d ? run_widest<GradientLoop<true>>(common_, made) : run_widest<GradientLoop<false>>(common_, made);
    }
    const int64_t place = (sample * bands + band) * c + channel;
    if (args_.channel_sums)
      from_parts<T>(sums_.data(), lanes, static_cast<A*>(args_.channel_sums) + place);
    if (args_.channel_products)
      from_parts<T>(products_.data(), lanes, static_cast<A*>(args_.channel_products) + place);
  }

 private:
  const BlurredEpilogueBackwardArgs& args_;
  const BlurShape& shape_;
  const Common<A>& common_;
  Scratch<A> ring_, beyond_, d_, sums_, products_, unwanted_;
};

template <typename T>
void backward(const BlurredEpilogueBackwardArgs& args) {
  using A = typename Wide<T>::type;
  const BlurShape& shape = args.shape;
  const Common<A> common = common_of<T>(args, true);
  const int64_t elements = shape.band * shape.columns * shape.channel_tile;
  parallel_for(shape.samples * shape.bands() * shape.pixel_parts(), kGrain / elements + 1,
               [&](int64_t begin, int64_t end) {
                 Worker<T> worker(args, common);
                 for (int64_t index = begin; index < end; ++index) worker.make_tile(index);
               });
  const int64_t n = shape.samples, c = shape.channels, p = shape.rows * shape.columns;
  add_parts<A>(args.grad_d, args.channel_products, n, shape.channel_parts(), c);
  add_parts<A>(args.grad_noise, args.pixel_sums, n, shape.pixel_parts(), p);
  add_parts<A>(args.grad_bias, args.channel_sums, 1, n * shape.channel_parts(), c);
}

}  // namespace

void blur_tiles_for_cpu(BlurShape& shape) {
  shape.band = kBand;
  shape.bundle = shape.columns + 1;
  const int64_t fit = kRing / (kBlurTaps * shape.columns) / kFewestChannels * kFewestChannels;
  shape.channel_tile = std::clamp(fit, kFewestChannels, std::max(shape.channels, kFewestChannels));
}

void blurred_epilogue_cpu(const BlurredEpilogueArgs& args) {
  switch (args.dtype) {
    case DType::f32: return forward<float>(args);
    case DType::f64: return forward<double>(args);
    case DType::bf16: return forward<BFloat16>(args);
    default: throw std::invalid_argument("blurred_epilogue: on CPU x must be float32, float64 or bfloat16");
  }
}

void blurred_epilogue_backward_cpu(const BlurredEpilogueBackwardArgs& args) {
  switch (args.dtype) {
    case DType::f32: return backward<float>(args);
    case DType::f64: return backward<double>(args);
    case DType::bf16: return backward<BFloat16>(args);
    default: throw std::invalid_argument("blurred_epilogue_backward: on CPU x must be float32, float64 or bfloat16");
  }
}

}  // namespace pumpgan
