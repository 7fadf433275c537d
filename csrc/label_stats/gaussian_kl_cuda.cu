#include "common/cuda_kernel.h"
#include "label_stats/label_stats.h"
#include "label_stats/label_stats_math.h"

namespace pumpgan {
namespace {

constexpr int kWarps = kThreads / kWarp;

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

void gaussian_kl_cuda(const GaussianKlArgs& args, CUstream_st* stream) {
  switch (args.dtype) {
    case DType::f32: return gaussian_kl<float>(args, stream);
    case DType::f64: return gaussian_kl<double>(args, stream);
    default: throw std::invalid_argument("gaussian_kl: fractions must be float32 or float64");
  }
}

}  // namespace pumpgan
