// A filter step is a weighted sum of rows: of the image's rows on the vertical axis, and of one line's shifted copies
// on the horizontal one. Both run along memory, so one loop, vectorised, does all the arithmetic.
#include "upfirdn2d/upfirdn2d.h"

#include <algorithm>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "common/cpu_kernel.h"
#include "upfirdn2d/upfirdn2d_math.h"

namespace pumpgan {
namespace {

constexpr int64_t kGrain = 1 << 14;  // samples of y worth a thread
constexpr int64_t kTogether = 4;     // rows that one pass of the loop adds up

// Loops ----------------------------------------------------------------------------------------------------

// out[i] = (add ? out[i] : 0) + sum over m < count of weights[m] * rows[m][i].
template <int count, bool add, typename In, typename A, typename Out>
inline void sum_of(const In* const* rows, const A* weights, Out* out, int64_t n) {
  const In* const r0 = rows[0];
  const In* const r1 = rows[count > 1 ? 1 : 0];
  const In* const r2 = rows[count > 2 ? 2 : 0];
  const In* const r3 = rows[count > 3 ? 3 : 0];
  const A w0 = weights[0], w1 = weights[count > 1 ? 1 : 0], w2 = weights[count > 2 ? 2 : 0],
          w3 = weights[count > 3 ? 3 : 0];
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    A sum = w0 * widen(r0[i]);
    if (count > 1) sum += w1 * widen(r1[i]);
    if (count > 2) sum += w2 * widen(r2[i]);
    if (count > 3) sum += w3 * widen(r3[i]);
    out[i] = narrow<Out>(add ? widen(out[i]) + sum : sum);
  }
}

template <bool add, typename In, typename A, typename Out>
inline void sum_of_up_to_four(const In* const* rows, const A* weights, int64_t count, Out* out, int64_t n) {
  switch (count) {
    case 1: return sum_of<1, add>(rows, weights, out, n);
    case 2: return sum_of<2, add>(rows, weights, out, n);
    case 3: return sum_of<3, add>(rows, weights, out, n);
    default: return sum_of<4, add>(rows, weights, out, n);
  }
}

template <typename In, typename A, typename Out>
PUMPGAN_EVERY_ISA void weighted_sum(const In* const* rows, const A* weights, int64_t count, bool add, Out* out,
                                    int64_t n) {
  if (count == 0 && !add) std::fill(out, out + n, Out{});
  for (int64_t m = 0; m < count; m += kTogether) {
    const int64_t together = std::min(kTogether, count - m);
    if (add || m > 0)
      sum_of_up_to_four<true>(rows + m, weights + m, together, out, n);
    else
      sum_of_up_to_four<false>(rows + m, weights + m, together, out, n);
  }
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
  for (int64_t i = 0; i < pixels; ++i)
    std::copy(whole + i * pixel, whole + (i + 1) * pixel, parts + i % count * stride + i / count * pixel);
}

// The way back, into the type of y.
template <typename A, typename T>
PUMPGAN_EVERY_ISA void gather_in(const A* __restrict__ parts, int64_t stride, int64_t count, T* __restrict__ whole,
                                 int64_t pixels, int64_t pixel) {
  if (pixel == 1 && count == 2) {
    const A* __restrict__ odd = parts + stride;
    for (int64_t i = 0; i < pixels / 2; ++i) {
      whole[2 * i] = narrow<T>(parts[i]);
      whole[2 * i + 1] = narrow<T>(odd[i]);
    }
    if (pixels % 2) whole[pixels - 1] = narrow<T>(parts[pixels / 2]);
    return;
  }
  for (int64_t i = 0; i < pixels; ++i) {
    const A* __restrict__ from = parts + i % count * stride + i / count * pixel;
    for (int64_t j = 0; j < pixel; ++j) whole[i * pixel + j] = narrow<T>(from[j]);
  }
}

// Plan -----------------------------------------------------------------------------------------------------

// One of `up` interleaved subsets of a row of y: sample q of it reaches x[first + q * down + m].
template <typename A>
struct Phase {
  int64_t first;
  int64_t samples;
  std::vector<std::vector<A>> weights;  // one list a filter row, in the order of m
};

template <typename T>
struct Plan {
  using A = typename Wide<T>::type;
  std::vector<A> vertical;         // [rows.taps] as a correlation; empty where the filter is not separable
  std::vector<Phase<A>> phases;    // of the horizontal axis
  int64_t low = 0, high = 0;       // columns of x that any sample reaches, zeros around it included
  int64_t part = 0, subset = 0;    // values in one of `down` parts of a line; in one of `up` subsets of a row

  explicit Plan(const Upfirdn2dArgs& args) {
    const ResampledAxis &v = args.rows, &h = args.columns;
    const A* taps = static_cast<const A*>(args.taps);
    if (args.separable)
      for (int64_t k = 0; k < v.taps; ++k) vertical.push_back(A(args.gain) * taps[tap_at(k, v.taps, args.flip)]);
    for (int64_t p = 0; p < std::min(h.up, h.out); ++p) {
      const Reach<int64_t> reach = reach_of(p, h.taps, h.up, h.down, h.before);
      Phase<A> phase{reach.first, (h.out - p + h.up - 1) / h.up, {}};
      for (int64_t row = 0; row < (args.separable ? 1 : v.taps); ++row) {
        const A* filter = args.separable ? taps : taps + tap_at(row, v.taps, args.flip) * h.taps;
        std::vector<A> weights;
        for (int64_t m = 0; m < reach.count; ++m)
          weights.push_back(filter[tap_at(reach.tap + m * h.up, h.taps, args.flip)] *
                            (args.separable ? A(1) : A(args.gain)));
        phase.weights.push_back(std::move(weights));
      }
      const int64_t end = phase.first + (phase.samples - 1) * h.down + std::max<int64_t>(reach.count, 1);
      low = phases.empty() ? phase.first : std::min(low, phase.first);
      high = phases.empty() ? end : std::max(high, end);
      phases.push_back(std::move(phase));
    }
    part = (high - low + h.down - 1) / h.down * args.pixel;
    subset = (h.out + h.up - 1) / h.up * args.pixel;
  }
};

// One worker's scratch, and the rows of y it makes.
template <typename T>
struct Worker {
  using A = typename Wide<T>::type;
  const Upfirdn2dArgs& args;
  const Plan<T>& plan;
  std::vector<A> line, parts, subsets, weights;
  std::vector<const T*> rows;
  std::vector<const A*> shifted;

  Worker(const Upfirdn2dArgs& args, const Plan<T>& plan)
      : args(args), plan(plan), line((plan.high - plan.low) * args.pixel), parts(plan.part * args.columns.down),
        subsets(plan.subset * args.columns.up), weights(args.rows.taps), rows(args.rows.taps),
        shifted(args.columns.taps) {}

  // line = the weighted sum of rows of x, with zeros to its left and right.
  void fill_line(const A* weights, int64_t count) {
    const int64_t left = std::clamp<int64_t>(0, plan.low, plan.high);
    const int64_t right = std::clamp<int64_t>(args.columns.in, left, plan.high);
    for (int64_t m = 0; m < count; ++m) rows[m] += left * args.pixel;
    weighted_sum(rows.data(), weights, count, false, line.data() + (left - plan.low) * args.pixel,
                 (right - left) * args.pixel);
  }

  // Filters the line along itself: into `out`, one subset after the other.
  template <typename Out>
  void filter_line(int64_t filter_row, bool add, Out* out) {
    const int64_t down = args.columns.down;
    const A* from = line.data();
    if (down > 1) {
      deal_out(line.data(), plan.high - plan.low, args.pixel, down, parts.data(), plan.part);
      from = parts.data();
    }
    for (const Phase<A>& phase : plan.phases) {
      const std::vector<A>& horizontal = phase.weights[filter_row];
      for (size_t m = 0; m < horizontal.size(); ++m) {
        const int64_t i = phase.first - plan.low + int64_t(m);
        shifted[m] = from + i % down * plan.part + i / down * args.pixel;
      }
      weighted_sum(shifted.data(), horizontal.data(), int64_t(horizontal.size()), add, out, phase.samples * args.pixel);
      out += plan.subset;
    }
  }

  void make_row(int64_t plane, int64_t j) {
    const ResampledAxis& v = args.rows;
    const int64_t width = args.columns.in * args.pixel, out_width = args.columns.out * args.pixel;
    const T* image = static_cast<const T*>(args.x) + plane * v.in * width;
    T* y = static_cast<T*>(args.y) + (plane * v.out + j) * out_width;
    const Reach<int64_t> reach = clipped(reach_of(j, v.taps, v.up, v.down, v.before), v.up, v.in);
    if (args.separable) {
      for (int64_t m = 0; m < reach.count; ++m) {
        rows[m] = image + (reach.first + m) * width;
        weights[m] = plan.vertical[reach.tap + m * v.up];
      }
      fill_line(weights.data(), reach.count);
      // Several passes over a narrow y would round it several times.
      const bool one_pass = std::is_same_v<T, A> || plan.phases[0].weights[0].size() <= kTogether;
      if (args.columns.up == 1 && one_pass) return filter_line(0, false, y);
      filter_line(0, false, subsets.data());
    } else {
      std::fill(subsets.begin(), subsets.end(), A(0));
      for (int64_t m = 0; m < reach.count; ++m) {
        const A one = A(1);
        rows[0] = image + (reach.first + m) * width;
        fill_line(&one, 1);
        filter_line(reach.tap + m * v.up, true, subsets.data());
      }
    }
    gather_in(subsets.data(), plan.subset, args.columns.up, y, args.columns.out, args.pixel);
  }
};

template <typename T>
void upfirdn2d(const Upfirdn2dArgs& args) {
  const Plan<T> plan(args);
  const int64_t grain = kGrain / (args.columns.out * args.pixel) + 1;
  parallel_for(args.planes * args.rows.out, grain, [&](int64_t begin, int64_t end) {
    Worker<T> worker(args, plan);
    for (int64_t row = begin; row < end; ++row) worker.make_row(row / args.rows.out, row % args.rows.out);
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
