// torch.ops.pumpgan.blurred_epilogue and its backward: check the tensors, allocate the results, run a twin.
#include <tuple>
#include <vector>

#include "blurred_epilogue/blurred_epilogue.h"
#include "torch_binding.h"

namespace pumpgan {
namespace {

constexpr MemoryFormat kLast = MemoryFormat::ChannelsLast;

// Channels-last and on a multiple of 16 bytes: itself, or a copy.
Tensor image(const Tensor& t) {
  const Tensor dense = dense_in(kLast, t);
  return reinterpret_cast<uintptr_t>(dense.const_data_ptr()) % 16 == 0 ? dense : torch::stable::clone(dense);
}

std::optional<Tensor> vector_of(const char* op, const char* name, const std::optional<Tensor>& t, const Tensor& x,
                                const std::vector<int64_t>& size) {
  const auto dense = beside(op, name, t, x, size);
  if (!dense || reinterpret_cast<uintptr_t>(dense->const_data_ptr()) % 16 == 0) return dense;
  return torch::stable::clone(*dense);
}

Tensor empty_image(const Tensor& like, int64_t rows, int64_t columns) {
  return torch::stable::empty({like.size(0), like.size(1), rows, columns}, like.scalar_type(), std::nullopt,
                              like.device(), std::nullopt, kLast);
}

BlurShape shape_of(const char* op, const Tensor& on, const Tensor& taps, int64_t rows, int64_t columns) {
  require(taps.dim() == 1 && taps.numel() == 4 && taps.device() == on.device() && taps.scalar_type() == wide_type(on),
          op, ": taps must be [4], on the device of x, and float64 beside a float64 x, else float32");
  require(on.size(1) * on.element_size() % 64 == 0, op, ": channels must fill blocks of 64 bytes, got ", on.size(1));
  BlurShape shape{on.size(0), on.size(1), rows, columns, 1, 1, 1};
  if (on.is_cpu()) blur_tiles_for_cpu(shape);
#ifdef PUMPGAN_CUDA
  else blur_tiles_for_cuda(shape);
#endif
  return shape;
}

Tensor blurred_epilogue(const Tensor& x, const Tensor& taps, const std::optional<Tensor>& d,
                        const std::optional<Tensor>& noise, const std::optional<Tensor>& bias, double filter_gain,
                        double slope, double gain, double clamp) {
  const char* op = "blurred_epilogue";
  require(x.dim() == 4 && x.size(2) > 1 && x.size(3) > 1, op, ": x must be [N, C, H + 1, W + 1] with H, W >= 1");
  require(slope > 0 && gain > 0, op, ": slope and gain must be positive, got ", slope, ", ", gain);
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2) - 1, w = x.size(3) - 1;
  const BlurShape shape = shape_of(op, x, taps, h, w);
  const bool shared = noise && noise->dim() > 0 && noise->size(0) == 1;
  const auto scales = vector_of(op, "d", d, x, {n, c});
  const auto noises = vector_of(op, "noise", noise, x, {shared ? 1 : n, 1, h, w});
  const auto biases = vector_of(op, "bias", bias, x, {c});
  const Tensor y = empty_image(x, h, w);
  if (y.numel() == 0) return y;
  const Tensor dense = image(x), dense_taps = torch::stable::contiguous(taps);
  const BlurredEpilogueArgs args{dense.const_data_ptr(), dense_taps.const_data_ptr(), data_of(scales), data_of(noises),
                                 data_of(biases), y.mutable_data_ptr(), shared ? 0 : h * w, shape, filter_gain, slope,
                                 gain, clamp, dtype_of(x, op)};
  run(op, x, args, &blurred_epilogue_cpu, PUMPGAN_CUDA_TWIN(blurred_epilogue_cuda));
  return y;
}

// A gradient that is not wanted comes back empty.
std::tuple<Tensor, Tensor, Tensor, Tensor> blurred_epilogue_backward(
    const Tensor& grad_y, const Tensor& y, const std::optional<Tensor>& x, const Tensor& taps,
    const std::optional<Tensor>& d, bool with_noise, bool with_bias, double filter_gain, double slope, double gain,
    double clamp) {
  const char* op = "blurred_epilogue_backward";
  require(y.dim() == 4 && same_shape(grad_y, y), op, ": grad_y must have the shape of y, [N, C, H, W]");
  require(grad_y.scalar_type() == y.scalar_type() && grad_y.device() == y.device(), op,
          ": grad_y must have the dtype and device of y");
  const int64_t n = y.size(0), c = y.size(1), h = y.size(2), w = y.size(3);
  require(x.has_value() == d.has_value(), op, ": x and d must be given together");
  require(!x || (x->dim() == 4 && x->size(0) == n && x->size(1) == c && x->size(2) == h + 1 && x->size(3) == w + 1 &&
                 x->scalar_type() == y.scalar_type() && x->device() == y.device()),
          op, ": x must have the dtype and device of y, and be [N, C, H + 1, W + 1]");
  const bool with_d = d.has_value();
  const BlurShape shape = shape_of(op, y, taps, h, w);
  const auto scales = vector_of(op, "d", d, y, {n, c});
  const Tensor grad_x = empty_image(y, h + 1, w + 1);
  Tensor grad_d = empty_wide(y, {with_d ? n : 0, with_d ? c : 0});
  Tensor grad_noise = empty_wide(y, {with_noise ? n : 0, 1, h, w});
  Tensor grad_bias = empty_wide(y, {with_bias ? c : 0});
  if (y.numel() == 0)
    return {grad_x, torch::stable::zero_(grad_d), torch::stable::zero_(grad_noise), torch::stable::zero_(grad_bias)};
  const Tensor dense_grad = image(grad_y), dense_y = image(y), dense_x = with_d ? image(*x) : dense_y;
  const Tensor dense_taps = torch::stable::contiguous(taps);
  const Tensor sums = empty_wide(y, {with_bias ? n * shape.channel_parts() * c : 0});
  const Tensor products = empty_wide(y, {with_d ? n * shape.channel_parts() * c : 0});
  const Tensor pixels = empty_wide(y, {with_noise ? n * shape.pixel_parts() * h * w : 0});
  const BlurredEpilogueBackwardArgs args{
      dense_grad.const_data_ptr(), dense_y.const_data_ptr(), with_d ? dense_x.const_data_ptr() : nullptr,
      dense_taps.const_data_ptr(), data_of(scales), grad_x.mutable_data_ptr(), data_of(with_d, grad_d),
      data_of(with_noise, grad_noise), data_of(with_bias, grad_bias), data_of(with_bias, sums),
      data_of(with_d, products), data_of(with_noise, pixels), shape, filter_gain, slope, gain, clamp,
      dtype_of(y, op)};
  run(op, y, args, &blurred_epilogue_backward_cpu, PUMPGAN_CUDA_TWIN(blurred_epilogue_backward_cuda));
  return {grad_x, grad_d, grad_noise, grad_bias};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pumpgan, CPU, m) {
  m.impl("blurred_epilogue", TORCH_BOX(&blurred_epilogue));
  m.impl("blurred_epilogue_backward", TORCH_BOX(&blurred_epilogue_backward));
}

STABLE_TORCH_LIBRARY_IMPL(pumpgan, CUDA, m) {
  m.impl("blurred_epilogue", TORCH_BOX(&blurred_epilogue));
  m.impl("blurred_epilogue_backward", TORCH_BOX(&blurred_epilogue_backward));
}

}  // namespace pumpgan
