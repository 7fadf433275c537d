#include "label_stats/label_stats.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "common/cpu_kernel.h"
#include "label_stats/cpu_transpose.h"
#include "label_stats/label_stats_math.h"

namespace pumpgan {
namespace {

constexpr int64_t kTile = 512;  // pixels worked on together: with a dozen classes they stay in a core's L1 cache

// A tile of pixels, classes apart, so that every loop runs along pixels; `omp simd` says that its turns do not depend on
// each other.
template <typename T>
struct Workspace {
  using A = typename Wide<T>::type;
  explicit Workspace(int64_t classes) : powers(classes * kTile) {}
  Scratch<A> powers;           // [classes, kTile] the logits, wide; then 2^(steepness * (logit - largest))
  alignas(64) A largest[kTile];
  alignas(64) A total[kTile];  // sum of powers over the classes
  alignas(64) A mean[kTile];   // of the gradient over the classes, weighted by powers
  alignas(64) int32_t winner[kTile];
};

// A tile's logits, wide: where they lie, or brought to the workspace.
template <typename A>
struct Tile {
  const A* values;  // of pixel i and class c at [c * stride + i]
  int64_t stride;
  int64_t classes;
  int64_t size;
};

template <typename T>
Tile<typename Wide<T>::type> tile_of(const T* logits, const LogitsLayout& layout, int64_t classes, int64_t size,
                                     Workspace<T>& work) {
  if constexpr (std::is_same_v<T, typename Wide<T>::type>)
    if (layout.pixel == 1) return {logits, layout.label, classes, size};
  take_apart(logits, layout.pixel, layout.label, size, classes, work.powers.data(), kTile);
  return {work.powers.data(), kTile, classes, size};
}

// body(c, n) for classes [c, c + n), n a constant of up to four: what a pixel adds up is fetched once for all of them.
template <typename Body>
inline void by_fours(int64_t classes, Body body) {
  int64_t c = 0;
  for (; c + 4 <= classes; c += 4) body(c, std::integral_constant<int, 4>());
  if (classes - c == 3) body(c, std::integral_constant<int, 3>());
  if (classes - c == 2) body(c, std::integral_constant<int, 2>());
  if (classes - c == 1) body(c, std::integral_constant<int, 1>());
}

// The largest logit of each pixel, and its class where kWinners. A NaN is passed over.
template <bool kWinners, typename T, typename A>
void find_largest(const Tile<A>& tile, Workspace<T>& work) {
  const int64_t size = tile.size, stride = tile.stride;
  A* const largest = work.largest;
  int32_t* const winners = work.winner;
  std::fill(largest, largest + size, -std::numeric_limits<A>::infinity());
  if (kWinners) std::fill(winners, winners + size, 0);
  by_fours(tile.classes, [=, values = tile.values](int64_t first, auto count) {
    constexpr int kCount = decltype(count)::value;
    const A* const from = values + first * stride;
    const int32_t c = int32_t(first);
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) {
      A best = largest[i];
      int32_t winner = kWinners ? winners[i] : 0;
#pragma GCC unroll 4
      for (int k = 0; k < kCount; ++k) {
        const A value = from[k * stride + i];
        const bool better = value > best;
        if (kWinners) winner = better ? c + k : winner;
        best = better ? value : best;
      }
      largest[i] = best;
      if (kWinners) winners[i] = winner;
    }
  });
}

// The powers of a tile, and their sum over the classes in `total`; times grad[c] in `mean`, where kGrad.
template <bool kGrad, typename T, typename A>
void find_powers(const Tile<A>& tile, A steepness, const A* grad, Workspace<T>& work) {
  const int64_t size = tile.size, stride = tile.stride;
  const A* const largest = work.largest;
  A *const powers = work.powers.data(), *const total = work.total, *const mean = work.mean;
  std::fill(total, total + size, A(0));
  if (kGrad) std::fill(mean, mean + size, A(0));
  by_fours(tile.classes, [=, values = tile.values](int64_t first, auto count) {
    constexpr int kCount = decltype(count)::value;
    const A* const from = values + first * stride;
    A* const to = powers + first * kTile;
    A g[kCount] = {};
    for (int k = 0; kGrad && k < kCount; ++k) g[k] = grad[first + k];
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) {
      const A best = largest[i];
      A sum = total[i], weighted = kGrad ? mean[i] : A(0);
#pragma GCC unroll 4
      for (int k = 0; k < kCount; ++k) {
        const A power = exp2_negative((from[k * stride + i] - best) * steepness);
        to[k * kTile + i] = power;
        sum += power;
        if (kGrad) weighted += g[k] * power;
      }
      total[i] = sum;
      if (kGrad) mean[i] = weighted;
    }
  });
}

// Adds a tile's softmax and winners up, class by class; returns whether no pixel has a NaN.
template <typename T>
bool add_up(const Tile<typename Wide<T>::type>& tile, Workspace<T>& work, double* mass, int64_t* counts) {
  using A = typename Wide<T>::type;
  const int64_t size = tile.size;
  A* const total = work.total;
  const int32_t* const winner = work.winner;
  A check = A(0);
#pragma omp simd reduction(+ : check)
  for (int64_t i = 0; i < size; ++i) {
    total[i] = A(1) / total[i];
    check += total[i];
  }
  for (int64_t c = 0; c < tile.classes; c += 2) {  // two at a time, as either waits for its last sum
    const int64_t d = std::min(c + 1, tile.classes - 1);
    const A *const powers_c = work.powers.data() + c * kTile, *const powers_d = work.powers.data() + d * kTile;
    A sum_c = A(0), sum_d = A(0);
    int32_t wins_c = 0, wins_d = 0;
#pragma omp simd reduction(+ : sum_c, sum_d, wins_c, wins_d)
    for (int64_t i = 0; i < size; ++i) {
      sum_c += powers_c[i] * total[i];
      sum_d += powers_d[i] * total[i];
      wins_c += winner[i] == int32_t(c);
      wins_d += winner[i] == int32_t(d);
    }
    mass[c] += sum_c;
    counts[c] += wins_c;
    if (d == c) break;
    mass[d] += sum_d;
    counts[d] += wins_d;
  }
  return check == check;
}

// Takes back the winners of pixels that have a NaN, and counts its class instead.
template <typename T>
void count_nans(const T* logits, const LogitsLayout& layout, int64_t classes, int64_t size, const int32_t* winner,
                int64_t* counts) {
  for (int64_t i = 0; i < size; ++i)
    for (int64_t c = 0; c < classes; ++c) {
      const auto value = widen(logits[c * layout.label + i * layout.pixel]);
      if (value == value) continue;
      --counts[winner[i]];
      ++counts[c];
      break;
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
    const T* from = logits + begin * args.layout.pixel;
    const Tile<A> tile = tile_of(from, args.layout, classes, std::min(kTile, end - begin), work);
    find_largest<true>(tile, work);
    find_powers<false>(tile, A(kLog2E / args.temperature), static_cast<const A*>(nullptr), work);
    if (!add_up(tile, work, mass, counts)) count_nans(from, args.layout, classes, tile.size, work.winner, counts);
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
  T* out = static_cast<T*>(args.grad_logits) + sample * args.grad_layout.sample + begin * step;
  const A* grad = static_cast<const A*>(args.grad_fractions) + sample * classes;
  const Tile<A> tile = tile_of(logits, args.layout, classes, size, work);
  find_largest<false>(tile, work);
  find_powers<true>(tile, A(kLog2E / args.temperature), grad, work);
  const A scale = A(1 / (args.temperature * double(args.pixels)));
  A *const mean = work.mean, *const total = work.total;
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    mean[i] /= total[i];  // of one class alone exactly its gradient
    total[i] = scale / total[i];
  }
  for (int64_t c = 0; c < classes; ++c) {
    const A g = grad[c];
    A* const powers = work.powers.data() + c * kTile;
    T* const to = out + c * args.grad_layout.label;
    if (step == 1) {
#pragma omp simd
      for (int64_t i = 0; i < size; ++i) to[i] = narrow<T>(powers[i] * total[i] * (g - mean[i]));
    } else {
#pragma omp simd
      for (int64_t i = 0; i < size; ++i) powers[i] = as_narrow<T>(powers[i] * total[i] * (g - mean[i]));
    }
  }
  if (step != 1) put_together(work.powers.data(), kTile, size, classes, out, step, args.grad_layout.label);
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
