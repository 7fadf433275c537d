// A filter step is a weighted sum of rows: of the image's rows on the vertical axis, and of one line's shifted copies
// on the horizontal one. Both run along memory, so one loop, vectorised, does all the arithmetic. What StyleGAN2 asks
// for most, four taps over many neighbouring channels, keeps those sums in registers instead: `FusedLoop`. Planes of
// short rows, and any by two-dimensional taps, are filtered on a sheet.
#include "upfirdn2d/upfirdn2d.h"

#include <algorithm>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "common/cpu_kernel.h"
#include "upfirdn2d/upfirdn2d_math.h"
#include "upfirdn2d/upfirdn2d_rows.h"
#include "upfirdn2d/upfirdn2d_sheet.h"

namespace pumpgan {
namespace {

constexpr int64_t kGrain = 1 << 14;  // samples of y worth a thread

// Loops ----------------------------------------------------------------------------------------------------

template <typename In, typename A, typename Out>
PUMPGAN_EVERY_ISA void weighted_sum(const In* const* rows, const A* weights, int64_t count, bool add, Out* out,
                                    int64_t n) {
  sum_of_rows(rows, weights, count, add, out, n);
}

// parts[k * stride + i] = whole[i * parts_count + k]: every pixel of a line to the part it belongs to.
template <typename A>
PUMPGAN_EVERY_ISA void deal_out(const A* __restrict__ whole, int64_t pixels, int64_t pixel, int64_t count,
                                A* __restrict__ parts, int64_t stride) {
  if (pixel == 1 && count == 2) {
    A* __restrict__ odd = parts + stride;
    for (int64_t i = 0; i < pixels / 2; ++i) {
      parts[i] = whole[2 * i];
      odd[i] = whole[2 * i + 1];
    }
    if (pixels % 2) parts[pixels / 2] = whole[pixels - 1];
    return;
  }
  for (int64_t k = 0; k < count; ++k) {
    A* to = parts + k * stride;
    for (int64_t i = k; i < pixels; i += count, to += pixel) std::copy_n(whole + i * pixel, pixel, to);
  }
}

// The way back, into the type of y. narrowed: scratch, [stride * count].
template <typename A, typename T>
PUMPGAN_EVERY_ISA void gather_in(const A* __restrict__ parts, int64_t stride, int64_t count, T* __restrict__ narrowed,
                                 T* __restrict__ whole, int64_t pixels, int64_t pixel) {
  if (pixel == 1 && count == 2) {
    const A* __restrict__ odd = parts + stride;
    for (int64_t i = 0; i < pixels / 2; ++i) {
      whole[2 * i] = narrow<T>(parts[i]);
      whole[2 * i + 1] = narrow<T>(odd[i]);
    }
    if (pixels % 2) whole[pixels - 1] = narrow<T>(parts[pixels / 2]);
    return;
  }
  for (int64_t i = 0; i < count * stride; ++i) narrowed[i] = narrow<T>(parts[i]);  // pixels may be short, this is not
  for (int64_t k = 0; k < count; ++k) {
    const T* from = narrowed + k * stride;
    for (int64_t i = k; i < pixels; i += count, from += pixel) std::copy_n(from, pixel, whole + i * pixel);
  }
}

// Few taps over many channels ------------------------------------------------------------------------------

// What a row of y needs: `reach` rows of x with their weights, and the horizontal weights of each phase.
template <typename T, int reach, int up>
struct FusedRow {
  using A = typename Wide<T>::type;
  const T* rows[reach];
  A vertical[reach];
  A horizontal[up][reach];
  T* y;
};

// A row of y, a block of channels at a time.
template <typename T, int reach, int up, int down, int late>
struct FusedLoop {
  template <int kBytes>
  static inline void run(const Upfirdn2dArgs& args, const FusedRow<T, reach, up>& row, int64_t low) {
    using A = typename Wide<T>::type;
    using B = Block<T, kBytes>;
    const int64_t pixel = args.pixel, in = args.columns.in, out = args.columns.out;
    A vertical[reach], horizontal[up][reach];
    for (int m = 0; m < reach; ++m) {
      vertical[m] = row.vertical[m];
      for (int p = 0; p < up; ++p) horizontal[p][m] = row.horizontal[p][m];
    }
    for (int64_t first = 0; first < pixel; first += B::kElements) {
      const int64_t channel = std::min(first, pixel - B::kElements);  // the last block may overlap the one before
      const T* rows[reach];
      for (int m = 0; m < reach; ++m) rows[m] = row.rows[m] + channel;
      T* y = row.y + channel;
      const auto read = [&](int m, int64_t column, B& x) {
        x.load(rows[m] + column * pixel);
        if (m >= reach - down) __builtin_prefetch(rows[m] + (down * in + column) * pixel);  // the next row's
      };
      slide<B, reach, up, down, late>(vertical, horizontal, low, in, out, read,
                                      [&](int64_t j, const B& sum) { sum.store(y + j * pixel); });
    }
  }
};

// Plan -----------------------------------------------------------------------------------------------------

// One of `up` interleaved subsets of a tile. Its filter begins in some of the `down` parts of the line.
template <typename A>
struct Phase {
  std::vector<int64_t> offsets;         // where in the parts the copy of the line that meets weight m begins
  std::vector<std::vector<A>> weights;  // one list a filter row, in the order of m
};

// Everything that rows of y have in common. A tile is so much of a row as keeps its line in the first-level cache.
template <typename T>
struct Plan {
  using A = typename Wide<T>::type;
  std::vector<A> vertical;               // the filter as a correlation; empty where it is not separable
  std::vector<Reach<int64_t>> vertical_reach;  // of every row of y
  std::vector<Phase<A>> phases;          // of the horizontal axis
  int64_t tile;                          // samples of y, a multiple of `up`
  int64_t low, line;                     // a tile's line: the first column of x it reaches (of tile 0), and how many
  int64_t part, subset;                  // values in one of `down` parts of a line, and in one of `up` subsets

  explicit Plan(const Upfirdn2dArgs& args) {
    const ResampledAxis &v = args.rows, &h = args.columns;
    const A* taps = static_cast<const A*>(args.taps);
    const A gain = A(args.gain);
    if (args.separable)
      for (int64_t k = 0; k < v.taps; ++k) vertical.push_back(gain * taps[tap_at(k, v.taps, args.flip)]);
    for (int64_t j = 0; j < v.out; ++j)
      vertical_reach.push_back(clipped(reach_of(j, v.taps, v.up, v.down, v.before), v.up, v.in));

    const int64_t in_cache = int64_t(kLineBytes / sizeof(A)) / args.pixel * h.up / h.down;
    const int64_t turns = std::min(std::max(in_cache / h.up, kFewestTurns), (h.out + h.up - 1) / h.up);
    tile = turns * h.up;
    std::vector<Reach<int64_t>> reach;
    for (int64_t p = 0; p < h.up; ++p) reach.push_back(reach_of(p, h.taps, h.up, h.down, h.before));
    low = reach[0].first;
    int64_t high = low + 1;
    for (const auto& r : reach) high = std::max(high, r.first + (turns - 1) * h.down + std::max<int64_t>(r.count, 1));
    line = high - low;
    part = (line + h.down - 1) / h.down * args.pixel;
    subset = turns * args.pixel;

    for (const auto& r : reach) {
      Phase<A> phase;
      for (int64_t m = 0; m < r.count; ++m) {
        const int64_t i = r.first - low + m;
        phase.offsets.push_back(i % h.down * part + i / h.down * args.pixel);
      }
      for (int64_t row = 0; row < (args.separable ? 1 : v.taps); ++row) {
        const A* filter = args.separable ? taps : taps + tap_at(row, v.taps, args.flip) * h.taps;
        phase.weights.emplace_back();
        for (int64_t m = 0; m < r.count; ++m) {
          const A weight = filter[tap_at(r.tap + m * h.up, h.taps, args.flip)];
          phase.weights.back().push_back(args.separable ? weight : gain * weight);
        }
      }
      phases.push_back(std::move(phase));
    }
  }

 private:
  static constexpr int64_t kLineBytes = 12 << 10;
  static constexpr int64_t kFewestTurns = 4;
};

// One worker's scratch, and the tiles of y it makes.
template <typename T>
class Worker {
 public:
  Worker(const Upfirdn2dArgs& args, const Plan<T>& plan)
      : args_(args), plan_(plan), line_(plan.line * args.pixel), parts_(plan.part * args.columns.down),
        subsets_(plan.subset * args.columns.up), narrowed_(subsets_.size()), weights_(args.rows.taps),
        rows_(args.rows.taps), shifted_(args.columns.taps) {}

  // Samples [start, start + samples) of row j of a plane.
  void make_tile(int64_t plane, int64_t j, int64_t start, int64_t samples) {
    const ResampledAxis &v = args_.rows, &h = args_.columns;
    const int64_t width = h.in * args_.pixel;
    const T* image = static_cast<const T*>(args_.x) + plane * v.in * width;
    T* y = static_cast<T*>(args_.y) + ((plane * v.out + j) * h.out + start) * args_.pixel;
    const int64_t low = plan_.low + start / h.up * h.down;
    const Reach<int64_t> reach = plan_.vertical_reach[j];
    if (args_.separable) {
      for (int64_t m = 0; m < reach.count; ++m) {
        rows_[m] = image + (reach.first + m) * width;
        weights_[m] = plan_.vertical[reach.tap + m * v.up];
      }
      fill_line(low, reach.count);
      // Several passes over a narrow y would round it several times.
      const bool one_pass = std::is_same_v<T, A> || int64_t(plan_.phases[0].offsets.size()) <= kTogether;
      if (h.up == 1 && one_pass) return filter_line(0, false, samples, y);
      filter_line(0, false, samples, subsets_.data());
    } else {
      std::fill(subsets_.begin(), subsets_.end(), A(0));
      weights_[0] = A(1);
      for (int64_t m = 0; m < reach.count; ++m) {
        rows_[0] = image + (reach.first + m) * width;
        fill_line(low, 1);
        filter_line(reach.tap + m * v.up, true, samples, subsets_.data());
      }
    }
    gather_in(subsets_.data(), plan_.subset, h.up, narrowed_.data(), y, samples, args_.pixel);
  }

 private:
  using A = typename Wide<T>::type;

  // line = the weighted sum of `count` rows of x from column `low` on, with zeros beyond their ends.
  void fill_line(int64_t low, int64_t count) {
    const int64_t pixel = args_.pixel, end = low + plan_.line;
    const int64_t left = std::clamp<int64_t>(0, low, end), right = std::clamp(args_.columns.in, left, end);
    for (int64_t m = 0; m < count; ++m) rows_[m] += left * pixel;
    std::fill(line_.begin(), line_.begin() + (left - low) * pixel, A(0));
    weighted_sum(rows_.data(), weights_.data(), count, false, line_.data() + (left - low) * pixel,
                 (right - left) * pixel);
    std::fill(line_.begin() + (right - low) * pixel, line_.end(), A(0));
  }

  // Filters the line along itself: into `out`, one subset after the other.
  template <typename Out>
  void filter_line(int64_t filter_row, bool add, int64_t samples, Out* out) {
    const int64_t up = args_.columns.up, down = args_.columns.down;
    const A* from = line_.data();
    if (down > 1) {
      deal_out(line_.data(), plan_.line, args_.pixel, down, parts_.data(), plan_.part);
      from = parts_.data();
    }
    for (int64_t p = 0; p < std::min(up, samples); ++p, out += plan_.subset) {
      const Phase<A>& phase = plan_.phases[p];
      const int64_t count = int64_t(phase.offsets.size());
      for (int64_t m = 0; m < count; ++m) shifted_[m] = from + phase.offsets[m];
      const int64_t turns = up == 1 ? samples : (samples - p + up - 1) / up;
      weighted_sum(shifted_.data(), phase.weights[filter_row].data(), count, add, out, turns * args_.pixel);
    }
  }

  const Upfirdn2dArgs& args_;
  const Plan<T>& plan_;
  Scratch<A> line_, parts_, subsets_;
  Scratch<T> narrowed_;
  std::vector<A> weights_;
  std::vector<const T*> rows_;
  std::vector<const A*> shifted_;
};

template <typename T, int reach, int up, int down, int late>
void fused(const Upfirdn2dArgs& args, const Plan<T>& plan) {
  const int64_t width = args.columns.in * args.pixel;
  const Scratch<T> zeros(width);  // a row beyond the image
  const int64_t grain = kGrain / (args.columns.out * args.pixel) + 1;
  parallel_for(args.planes * args.rows.out, grain, [&](int64_t begin, int64_t end) {
    FusedRow<T, reach, up> row;
    for (int p = 0; p < up; ++p) std::copy_n(plan.phases[p].weights[0].data(), reach, row.horizontal[p]);
    for (int64_t index = begin; index < end; ++index) {
      const int64_t plane = index / args.rows.out, j = index % args.rows.out;
      const ResampledAxis& v = args.rows;
      const auto all = reach_of(j, v.taps, v.up, v.down, v.before);
      for (int m = 0; m < reach; ++m) {
        const int64_t i = all.first + m;
        const T* image = static_cast<const T*>(args.x) + plane * v.in * width;
        row.rows[m] = i < 0 || i >= v.in ? zeros.data() : image + i * width;
        row.vertical[m] = plan.vertical[all.tap + m * up];
      }
      row.y = static_cast<T*>(args.y) + index * args.columns.out * args.pixel;
      run_widest<FusedLoop<T, reach, up, down, late>>(args, row, plan.low);
    }
  });
}

template <typename T>
void upfirdn2d(const Upfirdn2dArgs& args) {
  if (Sheet<T>::suits(args)) {
    const int64_t grain = kGrain / (args.rows.out * args.columns.out) + 1;
    return parallel_for(args.planes, grain, [&](int64_t begin, int64_t end) {
      Sheet<T> sheet(args);
      filter_on_sheet(sheet, begin, end);
    });
  }
  const Plan<T> plan(args);
  const ResampledAxis& h = args.columns;
  if (args.separable && h.taps == 4 && args.pixel * int64_t(sizeof(T)) >= vector_bytes()) {
    const auto late = [&] { return reach_of<int64_t>(1, 4, 2, 1, h.before).first - plan.low; };
    if (h.up == 1 && h.down == 1) return fused<T, 4, 1, 1, 0>(args, plan);
    if (h.up == 1 && h.down == 2) return fused<T, 4, 1, 2, 0>(args, plan);
    if (h.up == 2 && h.down == 1 && late() == 0) return fused<T, 2, 2, 1, 0>(args, plan);
    if (h.up == 2 && h.down == 1) return fused<T, 2, 2, 1, 1>(args, plan);
  }
  const int64_t out = args.columns.out, tiles = (out + plan.tile - 1) / plan.tile;
  const int64_t grain = kGrain / (out * args.pixel) + 1;
  parallel_for(args.planes * args.rows.out, grain, [&](int64_t begin, int64_t end) {
    Worker<T> worker(args, plan);
    for (int64_t first = begin; first < end;) {  // the rows of one plane, tile by tile: neighbours share rows of x
      const int64_t plane = first / args.rows.out, row = first - plane * args.rows.out;
      const int64_t last = std::min(args.rows.out, row + end - first);
      for (int64_t j = row; j < last; ++j)
        for (int64_t t = 0; t < tiles; ++t)
          worker.make_tile(plane, j, t * plan.tile, std::min(plan.tile, out - t * plan.tile));
      first += last - row;
    }
  });
}

}  // namespace

void upfirdn2d_cpu(const Upfirdn2dArgs& args) {
  switch (args.dtype) {
    case DType::f32: return upfirdn2d<float>(args);
    case DType::f64: return upfirdn2d<double>(args);
    case DType::bf16: return upfirdn2d<BFloat16>(args);
    case DType::f16: throw std::invalid_argument("upfirdn2d: on CPU x must be float32, float64 or bfloat16");
  }
}

}  // namespace pumpgan
