// torch.ops.pumpgan.modulated_epilogue and its backward: check the tensors, allocate the results, run a twin.
#include <cmath>
#include <tuple>
#include <vector>

#include "modulated_conv2d/modulated_conv2d.h"
#include "torch_binding.h"

namespace pumpgan {
namespace {

EpilogueShape shape_of(const Tensor& x, MemoryFormat layout) {
  const int64_t channels = x.size(1), pixels = x.size(2) * x.size(3);
  const bool last = layout == MemoryFormat::ChannelsLast;
  EpilogueShape shape{x.size(0), last ? pixels : channels, last ? channels : pixels, 1, 1, last};
  if (x.is_cpu()) tile_for_cpu(shape);
#ifdef PUMPGAN_CUDA
  else tile_for_cuda(shape);
#endif
  return shape;
}

Tensor modulated_epilogue(const Tensor& x, const std::optional<Tensor>& d, const std::optional<Tensor>& noise,
                          const std::optional<Tensor>& bias, double slope, double gain, double clamp) {
  require(x.dim() == 4, "modulated_epilogue: x must be [N, C, H, W], got ", x.dim(), " dimension(s)");
  require(slope > 0 && gain > 0, "modulated_epilogue: slope and gain must be positive, got ", slope, ", ", gain);
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  const bool shared = noise && noise->dim() > 0 && noise->size(0) == 1;
  const auto scales = beside("modulated_epilogue", "d", d, x, {n, c});
  const auto noises = beside("modulated_epilogue", "noise", noise, x, {shared ? 1 : n, 1, h, w});
  const auto biases = beside("modulated_epilogue", "bias", bias, x, {c});
  const auto layout = layout_of(x);
  const Tensor dense = dense_in(layout, x);
  const Tensor y = torch::stable::empty_like(dense);
  if (y.numel() == 0) return y;
  const EpilogueArgs args{dense.const_data_ptr(), data_of(scales), data_of(noises), data_of(biases),
                          y.mutable_data_ptr(), shared ? 0 : h * w, shape_of(x, layout), slope, gain, clamp,
                          dtype_of(x, "modulated_epilogue")};
  run("modulated_epilogue", x, args, &modulated_epilogue_cpu, PUMPGAN_CUDA_TWIN(modulated_epilogue_cuda));
  return y;
}

// A gradient that is not wanted comes back empty.
std::tuple<Tensor, Tensor, Tensor, Tensor> modulated_epilogue_backward(
    const Tensor& grad_y, const Tensor& y, const std::optional<Tensor>& x, const std::optional<Tensor>& d,
    bool with_noise, bool with_bias, double slope, double gain, double clamp) {
  const char* op = "modulated_epilogue_backward";
  require(y.dim() == 4 && same_shape(grad_y, y), op, ": grad_y must have the shape of y, [N, C, H, W]");
  require(grad_y.scalar_type() == y.scalar_type(), op, ": grad_y must have the dtype of y");
  require(grad_y.device() == y.device(), op, ": grad_y must be on the device of y");
  require(x.has_value() == d.has_value(), op, ": x and d must be given together");
  require(!x || (same_shape(*x, y) && x->scalar_type() == y.scalar_type() && x->device() == y.device()), op,
          ": x must have the shape, dtype and device of y");
  const int64_t n = y.size(0), c = y.size(1), h = y.size(2), w = y.size(3);
  const bool with_d = d.has_value();
  const auto scales = beside(op, "d", d, y, {n, c});
  const auto layout = layout_of(y);
  const EpilogueShape shape = shape_of(y, layout);
  const Tensor dense_grad = dense_in(layout, grad_y);
  // Where nothing bends, the slope is the same everywhere: reading grad_y in y's place spares a pass over y.
  const bool linear = slope == 1 && clamp == INFINITY;
  const Tensor dense_y = linear ? dense_grad : dense_in(layout, y);
  const Tensor dense_x = with_d ? dense_in(layout, *x) : dense_grad;
  const Tensor grad_x = torch::stable::empty_like(dense_grad);
  Tensor grad_d = empty_wide(y, {with_d ? n : 0, with_d ? c : 0});
  Tensor grad_noise = empty_wide(y, {with_noise ? n : 0, 1, h, w});
  Tensor grad_bias = empty_wide(y, {with_bias ? c : 0});
  if (y.numel() == 0)
    return {grad_x, torch::stable::zero_(grad_d), torch::stable::zero_(grad_noise), torch::stable::zero_(grad_bias)};
  const Tensor sums = empty_wide(y, {with_bias ? n * shape.channel_parts() * c : 0});
  const Tensor products = empty_wide(y, {with_d ? n * shape.channel_parts() * c : 0});
  const Tensor pixels = empty_wide(y, {with_noise ? n * shape.pixel_parts() * h * w : 0});
  const EpilogueBackwardArgs args{
      dense_grad.const_data_ptr(), dense_y.const_data_ptr(), with_d ? dense_x.const_data_ptr() : nullptr,
      data_of(scales), grad_x.mutable_data_ptr(), data_of(with_d, grad_d), data_of(with_noise, grad_noise),
      data_of(with_bias, grad_bias), data_of(with_bias, sums), data_of(with_d, products),
      data_of(with_noise, pixels), shape, slope, gain, clamp, dtype_of(y, op)};
  run(op, y, args, &modulated_epilogue_backward_cpu, PUMPGAN_CUDA_TWIN(modulated_epilogue_backward_cuda));
  return {grad_x, grad_d, grad_noise, grad_bias};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pumpgan, CPU, m) {
  m.impl("modulated_epilogue", TORCH_BOX(&modulated_epilogue));
  m.impl("modulated_epilogue_backward", TORCH_BOX(&modulated_epilogue_backward));
}

STABLE_TORCH_LIBRARY_IMPL(pumpgan, CUDA, m) {
  m.impl("modulated_epilogue", TORCH_BOX(&modulated_epilogue));
  m.impl("modulated_epilogue_backward", TORCH_BOX(&modulated_epilogue_backward));
}

}  // namespace pumpgan
