// What follows an up-convolution of 3 x 3 weights, in one pass over memory each way: a low-pass filter of four taps along
// each axis, then the epilogue. x has one row and one column more than y; all images are channels-last.
// y = clip(gain * leaky_relu(d[n, c] * blur(x) + noise[n, p] + bias[c], slope), -clamp, clamp), where blur(x)[i, j] =
// filter_gain * sum over k, l < 4 of taps[3-k] taps[3-l] x[i-1+k, j-1+l], with zeros around x.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/host_device.h"

struct CUstream_st;

namespace pumpgan {

// The backward pass is cut into tiles: `band` rows, `bundle` columns and `channel_tile` channels of one sample. The last
// ones also take x's last row and column. A sample's channels fill whole blocks of 64 bytes.
struct BlurShape {
  int64_t samples, channels;
  int64_t rows, columns;  // of y
  int64_t band, bundle, channel_tile;

  PUMPGAN_HD int64_t bands() const { return rows / band + 1; }
  PUMPGAN_HD int64_t bundles() const { return columns / bundle + 1; }
  // How many partial sums a channel (a pixel) of one sample has: one for each tile that it crosses.
  PUMPGAN_HD int64_t channel_parts() const { return bands() * bundles(); }
  PUMPGAN_HD int64_t pixel_parts() const { return (channels + channel_tile - 1) / channel_tile; }
};

// taps, d, noise, bias and every sum are float64 beside a float64 x, float32 beside any other. On CUDA what has channels
// begins on a multiple of 16 bytes.
struct BlurredEpilogueArgs {
  const void* x;         // [N, rows + 1, columns + 1, C]
  const void* taps;      // [4]
  const void* d;         // [N, C], or nullptr for 1
  const void* noise;     // [N, rows, columns], or nullptr for 0
  const void* bias;      // [C], or nullptr for 0
  void* y;               // [N, rows, columns, C]
  int64_t noise_stride;  // elements between two samples' noise; 0 where they share it
  BlurShape shape;
  double filter_gain;
  double slope;          // > 0; 1 leaves negatives alone
  double gain;           // > 0
  double clamp;          // +infinity switches clamping off
  DType dtype;
};

// With t = grad_y * dy/d(d * blur(x) + ..) and its blur backwards g: grad_x = d * g, grad_d = sum_p x * g, which is
// sum_p blur(x) * t, grad_noise = sum_c t, grad_bias = sum_np t. So blur(x) is neither kept nor made again. Tiles write
// partial sums, which are then added in a fixed order: the same bits on every run and thread count.
struct BlurredEpilogueBackwardArgs {
  const void* grad_y;      // [N, rows, columns, C]
  const void* y;           // [N, rows, columns, C], the forward output
  const void* x;           // [N, rows + 1, columns + 1, C], or nullptr where d is
  const void* taps;        // [4]
  const void* d;           // [N, C], or nullptr
  void* grad_x;            // [N, rows + 1, columns + 1, C]
  void* grad_d;            // [N, C], or nullptr where d is
  void* grad_noise;        // [N, rows, columns], or nullptr: not wanted
  void* grad_bias;         // [C], or nullptr: not wanted
  void* channel_sums;      // [N, channel_parts, C], of t; nullptr with grad_bias
  void* channel_products;  // [N, channel_parts, C], of x * g; nullptr with grad_d
  void* pixel_sums;        // [N, pixel_parts, rows, columns], of t; nullptr with grad_noise
  BlurShape shape;
  double filter_gain;
  double slope;
  double gain;
  double clamp;
  DType dtype;
};

// Sizes of tiles that suit the processor: what a tile keeps between rows stays in a core's cache, or in registers.
void blur_tiles_for_cpu(BlurShape& shape);
void blur_tiles_for_cuda(BlurShape& shape);

void blurred_epilogue_cpu(const BlurredEpilogueArgs& args);
void blurred_epilogue_cuda(const BlurredEpilogueArgs& args, CUstream_st* stream);

void blurred_epilogue_backward_cpu(const BlurredEpilogueBackwardArgs& args);
void blurred_epilogue_backward_cuda(const BlurredEpilogueBackwardArgs& args, CUstream_st* stream);

}  // namespace pumpgan
