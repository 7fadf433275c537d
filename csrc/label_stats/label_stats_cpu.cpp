#include "label_stats/label_stats.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "common/cpu_kernel.h"
#include "label_stats/label_stats_math.h"

namespace pumpgan {
namespace {

constexpr int64_t kTile = 512;  // pixels worked on together: with a dozen classes they stay in a core's L1 cache

constexpr int64_t kStrip = 32;  // pixels transposed together, so that the cache lines they lie on are met once

// A tile of pixels, classes apart, so that every loop runs along pixels; `omp simd` says that nothing overlaps.
template <typename T>
struct Workspace {
  using A = typename Wide<T>::type;
  explicit Workspace(int64_t classes) : powers(classes * kTile), narrowed(classes * kTile) {}
  Scratch<A> powers;          // [classes, kTile] exp((logit - largest) / temperature)
  Scratch<T> narrowed;        // [classes, kTile] a result on its way to memory
  alignas(64) A largest[kTile];
  alignas(64) A total[kTile]; // sum of powers over the classes
  alignas(64) A mean[kTile];  // of the gradient over the classes, weighted by powers
  alignas(64) int32_t winner[kTile];
};

// The largest logit of each pixel, and its class where kWinners, beside a wide copy of the logits.
template <bool kWinners, typename T>
void largest_of_tile(const T* __restrict__ logits, const LogitsLayout& layout, int64_t classes, int64_t size,
                     Workspace<T>& work) {
  using A = typename Wide<T>::type;
  A* __restrict__ largest = work.largest;
  A* __restrict__ values = work.powers.data();
  int32_t* __restrict__ winner = work.winner;
  const int64_t step = layout.pixel;
  if (step != 1)
    for (int64_t first = 0; first < size; first += kStrip)
      for (int64_t c = 0; c < classes; ++c)
        for (int64_t i = first; i < std::min(first + kStrip, size); ++i)
          values[c * kTile + i] = widen(logits[c * layout.label + i * step]);
  std::fill(largest, largest + size, -std::numeric_limits<A>::infinity());
  if (kWinners) std::fill(winner, winner + size, 0);
  for (int64_t c = 0; c < classes; ++c) {
    const T* __restrict__ from = logits + c * layout.label;
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) {
      const A value = step == 1 ? widen(from[i]) : values[c * kTile + i], best = largest[i];
      const bool better = kWinners ? exceeds(value, best) : value > best;
      values[c * kTile + i] = value;
      largest[i] = better ? value : best;
      if (kWinners) winner[i] = better ? int32_t(c) : winner[i];
    }
  }
}

// Turns the values of largest_of_tile into powers, and adds them up in `total`; times grad[c] in `mean`, where given.
template <typename T, typename A>
void powers_of_tile(const A* grad, int64_t classes, int64_t size, A per_temperature, Workspace<T>& work) {
  const A* __restrict__ largest = work.largest;
  A* __restrict__ powers = work.powers.data();
  A* __restrict__ total = work.total;
  A* __restrict__ mean = work.mean;
  std::fill(total, total + size, A(0));
  if (grad) std::fill(mean, mean + size, A(0));
  for (int64_t c = 0; c < classes; ++c) {
    const A g = grad ? grad[c] : A(0);
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) {
      const A power = exp_negative((powers[c * kTile + i] - largest[i]) * per_temperature);
      powers[c * kTile + i] = power;
      total[i] += power;
      if (grad) mean[i] += g * power;
    }
  }
}

template <typename T>
PUMPGAN_EVERY_ISA void stats_of_block(const LabelStatsArgs& args, int64_t index, Workspace<T>& work) {
  using A = typename Wide<T>::type;
  const int64_t sample = index / args.blocks, first = index % args.blocks * kLabelStatsBlock;
  const int64_t end = std::min(first + kLabelStatsBlock, args.pixels), classes = args.classes;
  const T* logits = static_cast<const T*>(args.logits) + sample * args.layout.sample;
  double* mass = args.mass_parts + index * classes;
  int64_t* counts = args.count_parts + index * classes;
  std::fill(mass, mass + classes, 0.0);
  std::fill(counts, counts + classes, int64_t(0));
  for (int64_t begin = first; begin < end; begin += kTile) {
    const int64_t size = std::min(kTile, end - begin);
    largest_of_tile<true>(logits + begin * args.layout.pixel, args.layout, classes, size, work);
    powers_of_tile<T, A>(nullptr, classes, size, A(1 / args.temperature), work);
    A* __restrict__ total = work.total;
    const int32_t* __restrict__ winner = work.winner;
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) total[i] = A(1) / total[i];
    for (int64_t c = 0; c < classes; ++c) {
      const A* __restrict__ powers = work.powers.data() + c * kTile;
      A sum = A(0);
      int32_t wins = 0;
#pragma omp simd reduction(+ : sum, wins)
      for (int64_t i = 0; i < size; ++i) {
        sum += powers[i] * total[i];
        wins += winner[i] == int32_t(c);
      }
      mass[c] += sum;
      counts[c] += wins;
    }
  }
}

template <typename T>
void forward(const LabelStatsArgs& args) {
  using A = typename Wide<T>::type;
  parallel_for(args.samples * args.blocks, 1, [&](int64_t begin, int64_t end) {
    Workspace<T> work(args.classes);
    for (int64_t i = begin; i < end; ++i) stats_of_block<T>(args, i, work);
  });
  for (int64_t i = 0; i < args.samples * args.classes; ++i) {
    const int64_t first = i / args.classes * args.blocks * args.classes + i % args.classes;
    double mass = 0;
    args.counts[i] = 0;
    for (int64_t b = 0; b < args.blocks; ++b) {
      mass += args.mass_parts[first + b * args.classes];
      args.counts[i] += args.count_parts[first + b * args.classes];
    }
    static_cast<A*>(args.fractions)[i] = A(mass / double(args.pixels));
  }
}

// With p = softmax(logits / t): grad_logits = p (g - sum_k p_k g_k) / (pixels * t).
template <typename T>
PUMPGAN_EVERY_ISA void gradient_of_tile(const LabelStatsBackwardArgs& args, int64_t sample, int64_t begin,
                                        Workspace<T>& work) {
  using A = typename Wide<T>::type;
  const int64_t size = std::min(kTile, args.pixels - begin), classes = args.classes, step = args.grad_layout.pixel;
  const T* logits = static_cast<const T*>(args.logits) + sample * args.layout.sample + begin * args.layout.pixel;
  T* __restrict__ out = static_cast<T*>(args.grad_logits) + sample * args.grad_layout.sample + begin * step;
  const A* __restrict__ grad = static_cast<const A*>(args.grad_fractions) + sample * classes;
  largest_of_tile<false>(logits, args.layout, classes, size, work);
  powers_of_tile(grad, classes, size, A(1 / args.temperature), work);
  const A scale = A(1 / (args.temperature * double(args.pixels)));
  A* __restrict__ mean = work.mean;
  A* __restrict__ total = work.total;
  const A* __restrict__ powers = work.powers.data();
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    mean[i] /= total[i];
    total[i] = scale / total[i];
  }
  T* __restrict__ narrowed = work.narrowed.data();
  for (int64_t c = 0; c < classes; ++c) {
    const A g = grad[c];
    T* __restrict__ to = step == 1 ? out + c * args.grad_layout.label : narrowed + c * kTile;
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) to[i] = narrow<T>(powers[c * kTile + i] * total[i] * (g - mean[i]));
  }
  if (step == 1) return;
  for (int64_t first = 0; first < size; first += kStrip)
    for (int64_t c = 0; c < classes; ++c)
      for (int64_t i = first; i < std::min(first + kStrip, size); ++i)
        out[c * args.grad_layout.label + i * step] = narrowed[c * kTile + i];
}

template <typename T>
void backward(const LabelStatsBackwardArgs& args) {
  const int64_t tiles = (args.pixels + kTile - 1) / kTile;
  parallel_for(args.samples * tiles, kLabelStatsBlock / kTile, [&](int64_t begin, int64_t end) {
    Workspace<T> work(args.classes);
    for (int64_t i = begin; i < end; ++i) gradient_of_tile<T>(args, i / tiles, i % tiles * kTile, work);
  });
}

template <typename T>
void gaussian_kl(const GaussianKlArgs& args) {
  const int64_t n = args.samples, classes = args.classes;
  const T* fractions = static_cast<const T*>(args.fractions);
  const T* grad = static_cast<const T*>(args.grad);
  T* result = static_cast<T*>(args.result);
  for (int64_t c = 0; c < classes; ++c) {
    double mu = 0, squares = 0;
    for (int64_t i = 0; i < n; ++i) mu += double(fractions[i * classes + c]);
    mu /= double(n);
    for (int64_t i = 0; i < n; ++i) {
      const double off = double(fractions[i * classes + c]) - mu;
      squares += off * off;
    }
    const GaussianKl kl = gaussian_kl_of(mu, squares, static_cast<const T*>(args.mean)[c],
                                         static_cast<const T*>(args.std)[c], static_cast<const T*>(args.floor)[c], n);
    if (!grad) result[c] = T(kl.value());
    for (int64_t i = 0; grad && i < n; ++i)
      result[i * classes + c] = T(double(grad[c]) * kl.slope_at(double(fractions[i * classes + c]), n));
  }
}

}  // namespace

void label_stats_cpu(const LabelStatsArgs& args) {
  switch (args.dtype) {
    case DType::f32: return forward<float>(args);
    case DType::f64: return forward<double>(args);
    case DType::bf16: return forward<BFloat16>(args);
    default: throw std::invalid_argument("label_stats: on CPU logits must be float32, float64 or bfloat16");
  }
}

void label_stats_backward_cpu(const LabelStatsBackwardArgs& args) {
  switch (args.dtype) {
    case DType::f32: return backward<float>(args);
    case DType::f64: return backward<double>(args);
    case DType::bf16: return backward<BFloat16>(args);
    default: throw std::invalid_argument("label_stats_backward: on CPU logits must be float32, float64 or bfloat16");
  }
}

void gaussian_kl_cpu(const GaussianKlArgs& args) {
  switch (args.dtype) {
    case DType::f32: return gaussian_kl<float>(args);
    case DType::f64: return gaussian_kl<double>(args);
    default: throw std::invalid_argument("gaussian_kl: fractions must be float32 or float64");
  }
}

}  // namespace pumpgan
