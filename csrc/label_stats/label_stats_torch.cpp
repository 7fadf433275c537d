// torch.ops.pumpgan.label_stats, gaussian_kl and their backwards: check the tensors, allocate the results, run a twin.
#include "label_stats/label_stats.h"

#include <tuple>

#include "torch_binding.h"

namespace pumpgan {
namespace {

using torch::headeronly::ScalarType;

constexpr int64_t kMostClasses = 256;  // a label image has 8 bits

void require_logits(const char* op, const Tensor& logits, double temperature) {
  require(logits.dim() == 4, op, ": logits must be [B, C, H, W], got ", logits.dim(), " dimension(s)");
  require(logits.size(1) > 0 && logits.size(1) <= kMostClasses, op, ": logits must have 1 to ", kMostClasses,
          " classes, got ", logits.size(1));
  require(logits.size(2) * logits.size(3) > 0, op, ": logits must have a pixel at least");
  require(temperature > 0, op, ": temperature must be positive, got ", temperature);
}

// As they lie, if pixels are evenly spaced: channels-last, or some channels of a wider tensor. Else a copy.
Tensor evenly_spaced(const Tensor& logits) {
  const bool even = logits.size(2) == 1 || logits.size(3) == 1 || logits.stride(2) == logits.size(3) * logits.stride(3);
  return even ? logits : torch::stable::contiguous(logits);
}

LogitsLayout layout_in_memory(const Tensor& logits) {
  return {logits.stride(0), logits.stride(1), logits.stride(logits.size(3) > 1 ? 3 : 2)};
}

std::tuple<Tensor, Tensor> label_stats(const Tensor& logits, double temperature) {
  require_logits("label_stats", logits, temperature);
  const Tensor even = evenly_spaced(logits);
  const int64_t samples = logits.size(0), classes = logits.size(1), pixels = logits.size(2) * logits.size(3);
  const int64_t blocks = label_stats_blocks(pixels);
  const Tensor fractions = torch::stable::new_empty(logits, {samples, classes}, wide_type(logits));
  const Tensor counts = torch::stable::new_empty(logits, {samples, classes}, ScalarType::Long);
  if (samples == 0) return {fractions, counts};
  const Tensor mass_parts = torch::stable::new_empty(logits, {samples, blocks, classes}, ScalarType::Double);
  const Tensor count_parts = torch::stable::new_empty(logits, {samples, blocks, classes}, ScalarType::Long);
  const LabelStatsArgs args{even.const_data_ptr(), fractions.mutable_data_ptr(),
                            static_cast<int64_t*>(counts.mutable_data_ptr()),
                            static_cast<double*>(mass_parts.mutable_data_ptr()),
                            static_cast<int64_t*>(count_parts.mutable_data_ptr()), layout_in_memory(even),
                            samples, classes, pixels, blocks, temperature, dtype_of(logits, "label_stats")};
  run("label_stats", logits, args, &label_stats_cpu, PUMPGAN_CUDA_TWIN(label_stats_cuda));
  return {fractions, counts};
}

Tensor label_stats_backward(const Tensor& grad_fractions, const Tensor& logits, double temperature) {
  const char* op = "label_stats_backward";
  require_logits(op, logits, temperature);
  const int64_t samples = logits.size(0), classes = logits.size(1), pixels = logits.size(2) * logits.size(3);
  require(grad_fractions.dim() == 2 && grad_fractions.size(0) == samples && grad_fractions.size(1) == classes, op,
          ": grad_fractions must be [", samples, ", ", classes, "]");
  require(grad_fractions.scalar_type() == wide_type(logits) && grad_fractions.device() == logits.device(), op,
          ": grad_fractions must have the dtype and device of label_stats' fractions");
  const Tensor even = evenly_spaced(logits), grad = torch::stable::contiguous(grad_fractions);
  const bool last = logits.stride(1) == 1 && !logits.is_contiguous();
  const Tensor grad_logits =
      torch::stable::empty({samples, classes, logits.size(2), logits.size(3)}, logits.scalar_type(), std::nullopt,
                           logits.device(), std::nullopt, last ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous);
  if (samples == 0) return grad_logits;
  const LabelStatsBackwardArgs args{grad.const_data_ptr(), even.const_data_ptr(), grad_logits.mutable_data_ptr(),
                                    layout_in_memory(even), layout_in_memory(grad_logits), samples, classes, pixels,
                                    temperature, dtype_of(logits, op)};
  run(op, logits, args, &label_stats_backward_cpu, PUMPGAN_CUDA_TWIN(label_stats_backward_cuda));
  return grad_logits;
}

Tensor run_gaussian_kl(const char* op, const Tensor* grad, const Tensor& fractions, const Tensor& mean,
                       const Tensor& std, const Tensor& floor) {
  require(fractions.dim() == 2 && fractions.size(0) > 0, op, ": fractions must be [N, C] with N > 0");
  const int64_t samples = fractions.size(0), classes = fractions.size(1);
  const auto beside = [&](const Tensor& t) {
    require(t.dim() == 1 && t.size(0) == classes && t.scalar_type() == fractions.scalar_type() &&
                t.device() == fractions.device(),
            op, ": mean, std, floor and grad must be [", classes, "] and have the dtype and device of fractions");
    return torch::stable::contiguous(t);
  };
  const Tensor dense = torch::stable::contiguous(fractions);
  const Tensor means = beside(mean), stds = beside(std), floors = beside(floor), grads = beside(grad ? *grad : mean);
  const Tensor result = grad ? torch::stable::new_empty(dense, {samples, classes})
                             : torch::stable::new_empty(dense, {classes});
  if (result.numel() == 0) return result;
  const GaussianKlArgs args{grad ? grads.const_data_ptr() : nullptr, dense.const_data_ptr(), means.const_data_ptr(),
                            stds.const_data_ptr(), floors.const_data_ptr(), result.mutable_data_ptr(), samples,
                            classes, dtype_of(fractions, op)};
  run(op, fractions, args, &gaussian_kl_cpu, PUMPGAN_CUDA_TWIN(gaussian_kl_cuda));
  return result;
}

Tensor gaussian_kl(const Tensor& fractions, const Tensor& mean, const Tensor& std, const Tensor& floor) {
  return run_gaussian_kl("gaussian_kl", nullptr, fractions, mean, std, floor);
}

Tensor gaussian_kl_backward(const Tensor& grad, const Tensor& fractions, const Tensor& mean, const Tensor& std,
                            const Tensor& floor) {
  return run_gaussian_kl("gaussian_kl_backward", &grad, fractions, mean, std, floor);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pumpgan, CPU, m) {
  m.impl("label_stats", TORCH_BOX(&label_stats));
  m.impl("label_stats_backward", TORCH_BOX(&label_stats_backward));
  m.impl("gaussian_kl", TORCH_BOX(&gaussian_kl));
  m.impl("gaussian_kl_backward", TORCH_BOX(&gaussian_kl_backward));
}

STABLE_TORCH_LIBRARY_IMPL(pumpgan, CUDA, m) {
  m.impl("label_stats", TORCH_BOX(&label_stats));
  m.impl("label_stats_backward", TORCH_BOX(&label_stats_backward));
  m.impl("gaussian_kl", TORCH_BOX(&gaussian_kl));
  m.impl("gaussian_kl_backward", TORCH_BOX(&gaussian_kl_backward));
}

}  // namespace pumpgan
