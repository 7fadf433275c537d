// Two ways through the logits. In registers: up to 32 classes, each logit read once. In memory: more classes, or
// float64, where a pixel's logits are read again for every use and come from the cache.
#include <algorithm>

#include "common/cuda_pack.h"
#include "common/divider.h"
#include "label_stats/cuda_pixels.h"
#include "label_stats/label_stats.h"
#include "label_stats/label_stats_math.h"

namespace pumpgan {
namespace {

constexpr int kWarps = kThreads / kWarp;

// In registers ---------------------------------------------------------------------------------------------

// A block of threads takes a block of pixels. A thread adds its pixels up by class, a warp its threads; lane c keeps
// class c, whose pixels won are counted by ballot.
template <typename T, int kMost, bool kPacks>
__global__ void __launch_bounds__(kThreads) stats_kernel(LabelStatsArgs args, Way way, Divider blocks) {
  using P = Pixels<T, kMost, kPacks>;
  __shared__ float masses[kWarps][kWarp];
  __shared__ int wins[kWarps][kWarp];
  const int classes = int(args.classes), warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const float steepness = float(kLog2E / args.temperature);
  for (int64_t index = blockIdx.x; index < args.samples * args.blocks; index += gridDim.x) {
    int64_t sample = index;
    const int64_t first = blocks.take(sample) * kLabelStatsBlock;
    const int64_t end = min(first + kLabelStatsBlock, args.pixels);
    const T* logits = static_cast<const T*>(args.logits) + sample * way.from.sample;
    float mass[kMost];
    int won = 0;
#pragma unroll
    for (int c = 0; c < kMost; ++c) mass[c] = 0.0f;
    for (int64_t turn = first; turn < end; turn += P::kTurn) {
      P pixels;
      pixels.read(logits, way, classes, turn, end, dynamic_shared<T>());
      pixels.raise(classes, steepness);
      const bool there = turn + threadIdx.x * P::kPixels < end;
#pragma unroll
      for (int j = 0; j < P::kPixels; ++j) {
        const float per_total = there ? 1.0f / pixels.total[j] : 0.0f;
#pragma unroll
        for (int c = 0; c < kMost; ++c) {
          if (c >= classes) continue;
          mass[c] += pixels.values[c][j] * per_total;
          const int winners = __popc(__ballot_sync(0xffffffffu, there && pixels.winner[j] == c));
          if (lane == c) won += winners;
        }
      }
    }
    float mine = 0.0f;
#pragma unroll
    for (int c = 0; c < kMost; ++c) {
      if (c >= classes) continue;
      const float sum = warp_sum(mass[c]);
      if (lane == c) mine = sum;
    }
    masses[warp][lane] = mine;
    wins[warp][lane] = won;
    __syncthreads();
    if (threadIdx.x < classes) {
      double sum = 0;
      int64_t count = 0;
      for (int w = 0; w < kWarps; ++w) sum += double(masses[w][threadIdx.x]);
      for (int w = 0; w < kWarps; ++w) count += wins[w][threadIdx.x];
      args.mass_parts[index * classes + threadIdx.x] = sum;
      args.count_parts[index * classes + threadIdx.x] = count;
    }
    __syncthreads();  // masses and wins are written again in the next turn
  }
}

// With p = softmax(logits / t): grad_logits = p (g - sum_k p_k g_k) / (pixels * t). A block takes a turn's pixels.
template <typename T, int kMost, bool kPacks>
__global__ void __launch_bounds__(kThreads) backward_kernel(LabelStatsBackwardArgs args, Way way, Divider turns) {
  using P = Pixels<T, kMost, kPacks>;
  const int classes = int(args.classes);
  const float steepness = float(kLog2E / args.temperature);
  const float scale = float(1 / (args.temperature * double(args.pixels)));
  for (int64_t index = blockIdx.x; index < args.samples * turns.divisor(); index += gridDim.x) {
    int64_t sample = index;
    const int64_t first = turns.take(sample) * P::kTurn, p = first + threadIdx.x * P::kPixels;
    const float* grad = static_cast<const float*>(args.grad_fractions) + sample * classes;
    T* out = static_cast<T*>(args.grad_logits) + sample * way.to.sample;
    T* stage = dynamic_shared<T>();
    P pixels;
    pixels.read(static_cast<const T*>(args.logits) + sample * way.from.sample, way, classes, first, args.pixels, stage);
    pixels.raise(classes, steepness);
    float mean[P::kPixels], factor[P::kPixels];
#pragma unroll
    for (int j = 0; j < P::kPixels; ++j) {
      mean[j] = 0.0f;
#pragma unroll
      for (int c = 0; c < kMost; ++c)
        if (c < classes) mean[j] += grad[c] * pixels.values[c][j];
      mean[j] /= pixels.total[j];
      factor[j] = scale / pixels.total[j];
    }
    const bool staged = !kPacks && way.staged_out;
    if (staged) __syncthreads();  // all have read what is staged
    T* to = staged ? stage + threadIdx.x * classes : out + p * way.to.pixel;
    const int64_t step = staged ? 1 : way.to.label;
#pragma unroll
    for (int c = 0; c < kMost; ++c) {
      if (c >= classes || p >= args.pixels) continue;
#pragma unroll
      for (int j = 0; j < P::kPixels; ++j) pixels.values[c][j] *= factor[j] * (grad[c] - mean[j]);
      store<kPacks>(to + c * step, P::kPixels, narrow_pack<T, P::kPixels>(pixels.values[c]));
    }
    if (!staged) continue;
    __syncthreads();
    const int size = int(min(args.pixels - first, int64_t(P::kTurn))) * classes;
#pragma unroll 4
    for (int i = threadIdx.x; i < size; i += kThreads) out[first * classes + i] = stage[i];
  }
}

// In memory ------------------------------------------------------------------------------------------------

constexpr int kPixelsEach = int(kLabelStatsBlock / kThreads);  // of a thread: its pixels share a warp's sum

// The largest logit of a pixel, its class, and the sum of 2^(steepness * (logit - largest)).
template <typename A>
struct Softmax {
  A largest, total;
  int winner;
};

template <typename T, typename A>
__device__ Softmax<A> softmax_of(const T* logits, int64_t stride, int64_t classes, A steepness) {
  Softmax<A> s{A(-INFINITY), A(0), 0};
  for (int64_t c = 0; c < classes; ++c) {
    const A value = widen(logits[c * stride]);
    if (exceeds(value, s.largest)) s = {value, A(0), int(c)};
  }
  for (int64_t c = 0; c < classes; ++c)
    s.total += exp2_negative((widen(logits[c * stride]) - s.largest) * steepness);
  return s;
}

// A block of threads takes a block of pixels of one sample. Warps add up in shared memory, each in its own row.
template <typename T>
__global__ void __launch_bounds__(kThreads) stats_in_memory(LabelStatsArgs args, Divider blocks) {
  using A = typename Wide<T>::type;
  const int64_t classes = args.classes;
  double* masses = dynamic_shared<double>();                       // [kWarps, classes]
  int* wins = reinterpret_cast<int*>(masses + kWarps * classes);   // [kWarps, classes]
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const A steepness = A(kLog2E / args.temperature);
  for (int64_t index = blockIdx.x; index < args.samples * args.blocks; index += gridDim.x) {
    int64_t sample = index;
    const int64_t first = blocks.take(sample) * kLabelStatsBlock;
    const T* logits = static_cast<const T*>(args.logits) + sample * args.layout.sample;
    Softmax<A> pixels[kPixelsEach];
#pragma unroll
    for (int k = 0; k < kPixelsEach; ++k) {
      const int64_t p = first + k * kThreads + threadIdx.x;
      pixels[k] = {A(0), A(1), -1};
      if (p < args.pixels)
        pixels[k] = softmax_of(logits + p * args.layout.pixel, args.layout.label, classes, steepness);
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
        mass += exp2_negative((value - pixels[k].largest) * steepness) * pixels[k].total;
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

template <typename T>
__global__ void __launch_bounds__(kThreads) backward_in_memory(LabelStatsBackwardArgs args, Divider pixels) {
  using A = typename Wide<T>::type;
  const A steepness = A(kLog2E / args.temperature), scale = A(1 / (args.temperature * double(args.pixels)));
  const LogitsLayout from = args.layout, to = args.grad_layout;
  const int64_t stride = int64_t(gridDim.x) * blockDim.x, size = args.samples * args.pixels;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride) {
    int64_t sample = i;
    const int64_t pixel = pixels.take(sample);
    const T* logits = static_cast<const T*>(args.logits) + sample * from.sample + pixel * from.pixel;
    T* out = static_cast<T*>(args.grad_logits) + sample * to.sample + pixel * to.pixel;
    const A* grad = static_cast<const A*>(args.grad_fractions) + sample * args.classes;
    const Softmax<A> s = softmax_of(logits, from.label, args.classes, steepness);
    const A per_total = A(1) / s.total;
    A mean = A(0);
    for (int64_t c = 0; c < args.classes; ++c)
      mean += grad[c] * (exp2_negative((widen(logits[c * from.label]) - s.largest) * steepness) * per_total);
    for (int64_t c = 0; c < args.classes; ++c) {
      const A p = exp2_negative((widen(logits[c * from.label]) - s.largest) * steepness) * per_total;
      out[c * to.label] = narrow<T>(p * (grad[c] - mean) * scale);
    }
  }
}

// Sums and launches ----------------------------------------------------------------------------------------

// A warp takes a class of a sample.
template <typename A>
__global__ void __launch_bounds__(kThreads) add_parts_kernel(LabelStatsArgs args, Divider classes) {
  const int lane = threadIdx.x % kWarp;
  const int64_t warps = int64_t(gridDim.x) * kWarps, size = args.samples * args.classes;
  for (int64_t i = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarp; i < size; i += warps) {
    int64_t sample = i;
    const int64_t label = classes.take(sample), first = sample * args.blocks * args.classes + label;
    double mass = 0;
    int64_t count = 0;
    for (int64_t b = lane; b < args.blocks; b += kWarp) mass += args.mass_parts[first + b * args.classes];
    for (int64_t b = lane; b < args.blocks; b += kWarp) count += args.count_parts[first + b * args.classes];
    mass = warp_sum(mass);
    count = warp_sum(count);
    if (lane != 0) continue;
    static_cast<A*>(args.fractions)[i] = A(mass / double(args.pixels));
    args.counts[i] = count;
  }
}

template <typename T, int kMost>
void forward_in_registers(const LabelStatsArgs& args, cudaStream_t stream) {
  const unsigned blocks = blocks_for(args.samples * args.blocks * kThreads);
  const Divider divider(args.blocks);
  if constexpr (kMost <= kMostInPacks)
    if (packs_fit<T, Pixels<T, kMost, true>::kPixels>(args.logits, args.layout, args.pixels))
      return launch("label_stats", stats_kernel<T, kMost, true>, blocks, kThreads, 0, stream, args,
                    Way{args.layout, {}, false, false}, divider);
  const Way way{args.layout, {}, stages(args.layout, args.classes), false};
  launch("label_stats", stats_kernel<T, kMost, false>, blocks, kThreads, stage_bytes<T>(way, args.classes), stream,
         args, way, divider);
}

template <typename T, int kMost>
void backward_in_registers(const LabelStatsBackwardArgs& args, cudaStream_t stream) {
  const char* name = "label_stats_backward";
  const auto run = [&](auto* kernel, const Way& way, int64_t turn) {
    const Divider turns((args.pixels + turn - 1) / turn);
    launch(name, kernel, blocks_for(args.samples * turns.divisor() * kThreads), kThreads,
           stage_bytes<T>(way, args.classes), stream, args, way, turns);
  };
  if constexpr (kMost <= kMostInPacks) {
    using Packs = Pixels<T, kMost, true>;
    if (packs_fit<T, Packs::kPixels>(args.logits, args.layout, args.pixels) &&
        packs_fit<T, Packs::kPixels>(args.grad_logits, args.grad_layout, args.pixels))
      return run(backward_kernel<T, kMost, true>, {args.layout, args.grad_layout, false, false}, Packs::kTurn);
  }
  const bool dense = args.grad_layout.label == 1 && args.grad_layout.pixel == args.classes;
  run(backward_kernel<T, kMost, false>, {args.layout, args.grad_layout, stages(args.layout, args.classes), dense},
      Pixels<T, kMost, false>::kTurn);
}

template <typename T>
void forward(const LabelStatsArgs& args, cudaStream_t stream) {
  using A = typename Wide<T>::type;
  const auto in_memory = [&] {
    const size_t shared = kWarps * args.classes * (sizeof(double) + sizeof(int));
    launch("label_stats", stats_in_memory<T>, blocks_for(args.samples * args.blocks * kThreads), kThreads, shared,
           stream, args, Divider(args.blocks));
  };
  if constexpr (sizeof(T) <= sizeof(float)) {
    if (args.classes <= 4) forward_in_registers<T, 4>(args, stream);
    else if (args.classes <= 12) forward_in_registers<T, 12>(args, stream);
    else if (args.classes <= kWarp) forward_in_registers<T, kWarp>(args, stream);
    else in_memory();
  } else {
    in_memory();
  }
  launch("label_stats's sums", add_parts_kernel<A>, blocks_for(args.samples * args.classes * kWarp), kThreads, 0,
         stream, args, Divider(args.classes));
}

template <typename T>
void backward(const LabelStatsBackwardArgs& args, cudaStream_t stream) {
  if constexpr (sizeof(T) <= sizeof(float)) {
    if (args.classes <= 4) return backward_in_registers<T, 4>(args, stream);
    if (args.classes <= 12) return backward_in_registers<T, 12>(args, stream);
    if (args.classes <= kWarp) return backward_in_registers<T, kWarp>(args, stream);
  }
  launch("label_stats_backward", backward_in_memory<T>, blocks_for(args.samples * args.pixels), kThreads, 0, stream,
         args, Divider(args.pixels));
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

}  // namespace pumpgan
