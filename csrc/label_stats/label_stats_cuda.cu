#include "common/cuda_kernel.h"
#include "label_stats/label_stats.h"
#include "label_stats/label_stats_math.h"

namespace pumpgan {
namespace {

constexpr int kWarps = kThreads / kWarp;
constexpr int kPixelsEach = int(kLabelStatsBlock / kThreads);  // of a thread: its pixels share a warp's sum

// The largest logit of a pixel, its class, and the sum of exp((logit - largest) / temperature).
template <typename A>
struct Softmax {
  A largest, total;
  int winner;
};

// Reads each logit twice; the second time it comes from the cache.
template <typename T, typename A>
__device__ Softmax<A> softmax_of(const T* logits, int64_t stride, int64_t classes, A per_temperature) {
  Softmax<A> s{A(-INFINITY), A(0), 0};
  for (int64_t c = 0; c < classes; ++c) {
    const A value = widen(logits[c * stride]);
    if (exceeds(value, s.largest)) s = {value, A(0), int(c)};
  }
  for (int64_t c = 0; c < classes; ++c)
    s.total += exp_negative((widen(logits[c * stride]) - s.largest) * per_temperature);
  return s;
}

// A block of threads takes a block of pixels of one sample. Warps add up in shared memory, each in its own row.
template <typename T>
__global__ void stats_kernel(LabelStatsArgs args) {
  using A = typename Wide<T>::type;
  double* shared = dynamic_shared<double>();
  const int64_t classes = args.classes;
  double* masses = shared;                                             // [kWarps, classes]
  int* wins = reinterpret_cast<int*>(shared + kWarps * classes);       // [kWarps, classes]
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const A per_temperature = A(1 / args.temperature);
  for (int64_t index = blockIdx.x; index < args.samples * args.blocks; index += gridDim.x) {
    const int64_t sample = index / args.blocks, first = index % args.blocks * kLabelStatsBlock;
    const T* logits = static_cast<const T*>(args.logits) + sample * args.layout.sample;
    Softmax<A> pixels[kPixelsEach];
#pragma unroll
    for (int k = 0; k < kPixelsEach; ++k) {
      const int64_t p = first + k * kThreads + threadIdx.x;
      pixels[k] = {A(0), A(1), -1};
      if (p < args.pixels)
        pixels[k] = softmax_of(logits + p * args.layout.pixel, args.layout.label, classes, per_temperature);
      pixels[k].total = A(1) / pixels[k].total;
    }
    for (int64_t c = 0; c < classes; ++c) {
      A mass = A(0);
      int won = 0;
#pragma unroll
      for (int k = 0; k < kPixelsEach; ++k) {
        const int64_t p = first + k * kThreads + threadIdx.x;
        if (p >= args.pixels) continue;
        const A value = widen(logits[p * args.layout.pixel + c * args.layout.label]);
        mass += exp_negative((value - pixels[k].largest) * per_temperature) * pixels[k].total;
        won += pixels[k].winner == c;
      }
      mass = warp_sum(mass);
      won = warp_sum(won);
      if (lane == 0) masses[warp * classes + c] = mass;
      if (lane == 0) wins[warp * classes + c] = won;
    }
    __syncthreads();
    for (int64_t c = threadIdx.x; c < classes; c += kThreads) {
      double mass = 0;
      int64_t count = 0;
      for (int w = 0; w < kWarps; ++w) mass += masses[w * classes + c];
      for (int w = 0; w < kWarps; ++w) count += wins[w * classes + c];
      args.mass_parts[index * classes + c] = mass;
      args.count_parts[index * classes + c] = count;
    }
    __syncthreads();
  }
}

template <typename A>
__global__ void add_parts_kernel(LabelStatsArgs args) {
  const int64_t stride = int64_t(gridDim.x) * blockDim.x, size = args.samples * args.classes;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
    const int64_t first = i / args.classes * args.blocks * args.classes + i % args.classes;
    double mass = 0;
    int64_t count = 0;
    for (int64_t b = 0; b < args.blocks; ++b) mass += args.mass_parts[first + b * args.classes];
    for (int64_t b = 0; b < args.blocks; ++b) count += args.count_parts[first + b * args.classes];
    static_cast<A*>(args.fractions)[i] = A(mass / double(args.pixels));
    args.counts[i] = count;
  }
}

template <typename T>
void forward(const LabelStatsArgs& args, cudaStream_t stream) {
  using A = typename Wide<T>::type;
  const unsigned blocks = blocks_for(args.samples * args.blocks * kThreads);
  const size_t shared = kWarps * args.classes * (sizeof(double) + sizeof(int));
  launch("label_stats", stats_kernel<T>, blocks, kThreads, shared, stream, args);
  launch("label_stats's sums", add_parts_kernel<A>, blocks_for(args.samples * args.classes), kThreads, 0, stream, args);
}

template <typename T>
__global__ void backward_kernel(LabelStatsBackwardArgs args) {
  using A = typename Wide<T>::type;
  const A per_temperature = A(1 / args.temperature), scale = A(1 / (args.temperature * double(args.pixels)));
  const int64_t stride = int64_t(gridDim.x) * blockDim.x, size = args.samples * args.pixels;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
    const int64_t sample = i / args.pixels, pixel = i % args.pixels;
    const LogitsLayout from = args.layout, to = args.grad_layout;
    const T* logits = static_cast<const T*>(args.logits) + sample * from.sample + pixel * from.pixel;
    T* out = static_cast<T*>(args.grad_logits) + sample * to.sample + pixel * to.pixel;
    const A* grad = static_cast<const A*>(args.grad_fractions) + sample * args.classes;
    const Softmax<A> s = softmax_of(logits, from.label, args.classes, per_temperature);
    const A per_total = A(1) / s.total;
    A mean = A(0);
    for (int64_t c = 0; c < args.classes; ++c)
      mean += grad[c] * (exp_negative((widen(logits[c * from.label]) - s.largest) * per_temperature) * per_total);
    for (int64_t c = 0; c < args.classes; ++c) {
      const A p = exp_negative((widen(logits[c * from.label]) - s.largest) * per_temperature) * per_total;
      out[c * to.label] = narrow<T>(p * (grad[c] - mean) * scale);
    }
  }
}

template <typename T>
void backward(const LabelStatsBackwardArgs& args, cudaStream_t stream) {
  const unsigned blocks = blocks_for(args.samples * args.pixels);
  launch("label_stats_backward", backward_kernel<T>, blocks, kThreads, 0, stream, args);
}

// A warp takes a class.
template <typename T>
__global__ void gaussian_kl_kernel(GaussianKlArgs args) {
  const int lane = threadIdx.x % kWarp;
  const int64_t n = args.samples, classes = args.classes, warps = int64_t(gridDim.x) * kWarps;
  const T* fractions = static_cast<const T*>(args.fractions);
  const T* grad = static_cast<const T*>(args.grad);
  T* result = static_cast<T*>(args.result);
  for (int64_t c = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarp; c < classes; c += warps) {
    double mu = 0, squares = 0;
    for (int64_t i = lane; i < n; i += kWarp) mu += double(fractions[i * classes + c]);
    mu = warp_sum(mu) / double(n);
    for (int64_t i = lane; i < n; i += kWarp) {
      const double off = double(fractions[i * classes + c]) - mu;
      squares += off * off;
    }
    const GaussianKl kl =
        gaussian_kl_of(mu, warp_sum(squares), static_cast<const T*>(args.mean)[c], static_cast<const T*>(args.std)[c],
                       static_cast<const T*>(args.floor)[c], n);
    if (!grad && lane == 0) result[c] = T(kl.value());
    for (int64_t i = lane; grad && i < n; i += kWarp)
      result[i * classes + c] = T(double(grad[c]) * kl.slope_at(double(fractions[i * classes + c]), n));
  }
}

template <typename T>
void gaussian_kl(const GaussianKlArgs& args, cudaStream_t stream) {
  launch("gaussian_kl", gaussian_kl_kernel<T>, blocks_for(args.classes * kWarp), kThreads, 0, stream, args);
}

}  // namespace

void label_stats_cuda(const LabelStatsArgs& args, CUstream_st* stream) {
  switch (args.dtype) {
    case DType::f16: return forward<__half>(args, stream);
    case DType::bf16: return forward<__nv_bfloat16>(args, stream);
    case DType::f32: return forward<float>(args, stream);
    case DType::f64: return forward<double>(args, stream);
  }
}

void label_stats_backward_cuda(const LabelStatsBackwardArgs& args, CUstream_st* stream) {
  switch (args.dtype) {
    case DType::f16: return backward<__half>(args, stream);
    case DType::bf16: return backward<__nv_bfloat16>(args, stream);
    case DType::f32: return backward<float>(args, stream);
    case DType::f64: return backward<double>(args, stream);
  }
}

void gaussian_kl_cuda(const GaussianKlArgs& args, CUstream_st* stream) {
  switch (args.dtype) {
    case DType::f32: return gaussian_kl<float>(args, stream);
    case DType::f64: return gaussian_kl<double>(args, stream);
    default: throw std::invalid_argument("gaussian_kl: fractions must be float32 or float64");
  }
}

}  // namespace pumpgan
