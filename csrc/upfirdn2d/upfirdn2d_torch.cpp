// torch.ops.pumpgan.upfirdn2d: check the tensors, allocate the result, run a twin.
#include "torch_binding.h"
#include "upfirdn2d/upfirdn2d.h"

namespace pumpgan {
namespace {

ResampledAxis resampled_axis(const char* name, int64_t in, int64_t taps, int64_t up, int64_t down, int64_t before,
                             int64_t after) {
  const int64_t padded = in * up + before + after;
  require(padded >= taps, "upfirdn2d: along its ", name, " the padded input has ", padded, " samples, fewer than the ",
          taps, " taps");
  return {in, (padded - taps) / down + 1, taps, up, down, before};
}

Tensor upfirdn2d(const Tensor& x, const Tensor& taps, int64_t up, int64_t down, int64_t left, int64_t right,
                 int64_t top, int64_t bottom, double gain, bool flip) {
  require(x.dim() == 4, "upfirdn2d: x must be [N, C, H, W], got ", x.dim(), " dimension(s)");
  require((taps.dim() == 1 || taps.dim() == 2) && taps.numel() > 0, "upfirdn2d: taps must be [K] or [Kh, Kw]");
  require(up >= 1 && down >= 1, "upfirdn2d: up and down must be at least 1, got ", up, ", ", down);
  require(taps.device() == x.device(), "upfirdn2d: taps must be on the device of x");
  require(taps.scalar_type() == wide_type(x), "upfirdn2d: taps must be float64 beside a float64 x, else float32");
  const bool separable = taps.dim() == 1;
  const ResampledAxis rows = resampled_axis("height", x.size(2), taps.size(0), up, down, top, bottom);
  const ResampledAxis columns =
      resampled_axis("width", x.size(3), taps.size(separable ? 0 : 1), up, down, left, right);
  const MemoryFormat layout = layout_of(x);
  const int64_t n = x.size(0), c = x.size(1);
  const Tensor y = torch::stable::empty({n, c, rows.out, columns.out}, x.scalar_type(), std::nullopt, x.device(),
                                        std::nullopt, layout);
  if (y.numel() == 0) return y;
  const Tensor dense = dense_in(layout, x), dense_taps = torch::stable::contiguous(taps);
  const bool channels_last = layout == MemoryFormat::ChannelsLast;
  const Upfirdn2dArgs args{dense.const_data_ptr(), dense_taps.const_data_ptr(), y.mutable_data_ptr(),
                           channels_last ? n : n * c, channels_last ? c : 1, rows, columns, separable, flip, gain,
                           dtype_of(x, "upfirdn2d")};
  run("upfirdn2d", x, args, &upfirdn2d_cpu, PUMPGAN_CUDA_TWIN(upfirdn2d_cuda));
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pumpgan, CPU, m) { m.impl("upfirdn2d", TORCH_BOX(&upfirdn2d)); }

STABLE_TORCH_LIBRARY_IMPL(pumpgan, CUDA, m) { m.impl("upfirdn2d", TORCH_BOX(&upfirdn2d)); }

}  // namespace pumpgan
