// torch.ops.pumpgan.affine_sample and its backward: check the tensors, allocate the result, run a twin.
#include "affine_sample/affine_sample.h"
#include "torch_binding.h"

namespace pumpgan {
namespace {

constexpr int64_t kLongestSide = 1 << 24;

// `backward`: `from` is the gradient of y, and height and width are those of x.
Tensor sample(const char* op, const Tensor& from, const Tensor& matrices, int64_t height, int64_t width, bool backward,
              void (*cpu)(const AffineSampleArgs&), void (*cuda)(const AffineSampleArgs&, CUstream_st*)) {
  const auto is_side = [](int64_t side) { return side >= 1 && side <= kLongestSide; };
  require(from.dim() == 4 && is_side(from.size(2)) && is_side(from.size(3)), op,
          ": needs images [N, C, H, W] with H, W from 1 to ", kLongestSide);
  require(is_side(height) && is_side(width), op, ": the result must be from 1 to ", kLongestSide,
          " pixels high and wide, got ", height, " x ", width);
  require(matrices.dim() == 3 && matrices.size(0) == from.size(0) && matrices.size(1) == 2 && matrices.size(2) == 3, op,
          ": matrices must be [", from.size(0), ", 2, 3]");
  require(matrices.scalar_type() == wide_type(from), op,
          ": matrices must be float64 beside float64 images, else float32");
  require(matrices.device() == from.device(), op, ": matrices must be on the device of the images");
  const MemoryFormat layout = layout_of(from);
  const int64_t n = from.size(0), c = from.size(1);
  const Tensor to = torch::stable::empty({n, c, height, width}, from.scalar_type(), std::nullopt, from.device(),
                                         std::nullopt, layout);
  if (to.numel() == 0) return to;
  const Tensor dense = dense_in(layout, from), dense_matrices = torch::stable::contiguous(matrices);
  const Tensor &x = backward ? to : dense, &y = backward ? dense : to;
  const AffineSampleArgs args{dense.const_data_ptr(), dense_matrices.const_data_ptr(), to.mutable_data_ptr(), n, c,
                              x.size(2), x.size(3), y.size(2), y.size(3), layout == MemoryFormat::ChannelsLast,
                              dtype_of(from, op)};
  run(op, from, args, cpu, cuda);
  return to;
}

Tensor affine_sample(const Tensor& x, const Tensor& matrices, int64_t height, int64_t width) {
  return sample("affine_sample", x, matrices, height, width, false, &affine_sample_cpu,
                PUMPGAN_CUDA_TWIN(affine_sample_cuda));
}

Tensor affine_sample_backward(const Tensor& grad_y, const Tensor& matrices, int64_t height, int64_t width) {
  return sample("affine_sample_backward", grad_y, matrices, height, width, true, &affine_sample_backward_cpu,
                PUMPGAN_CUDA_TWIN(affine_sample_backward_cuda));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pumpgan, CPU, m) {
  m.impl("affine_sample", TORCH_BOX(&affine_sample));
  m.impl("affine_sample_backward", TORCH_BOX(&affine_sample_backward));
}

STABLE_TORCH_LIBRARY_IMPL(pumpgan, CUDA, m) {
  m.impl("affine_sample", TORCH_BOX(&affine_sample));
  m.impl("affine_sample_backward", TORCH_BOX(&affine_sample_backward));
}

}  // namespace pumpgan
