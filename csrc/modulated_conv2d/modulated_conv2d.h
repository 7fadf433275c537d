// What a modulated convolution does around torch's own convolution, in one pass over memory each way:
// y = clip(gain * leaky_relu(x * d[n, c] + noise[n, p] + bias[c], slope), -clamp, clamp).
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/host_device.h"

struct CUstream_st;

namespace pumpgan {

// A dense [N, C, P] tensor as samples of rows of adjacent lanes. NCHW: rows are channels, lanes are pixels;
// channels-last: the other way round. A tile is row_tile x lane_tile of one sample.
struct EpilogueShape {
  int64_t samples;
  int64_t rows;
  int64_t lanes;
  int64_t row_tile;
  int64_t lane_tile;
  bool channels_are_lanes;

  PUMPGAN_HD int64_t row_tiles() const { return (rows + row_tile - 1) / row_tile; }
  PUMPGAN_HD int64_t lane_tiles() const { return (lanes + lane_tile - 1) / lane_tile; }
  PUMPGAN_HD int64_t tiles() const { return samples * row_tiles() * lane_tiles(); }
  PUMPGAN_HD int64_t channels() const { return channels_are_lanes ? lanes : rows; }
  PUMPGAN_HD int64_t pixels() const { return channels_are_lanes ? rows : lanes; }
  // How many partial sums a channel (a pixel) of one sample has: one for each tile that it crosses.
  PUMPGAN_HD int64_t channel_parts() const { return channels_are_lanes ? row_tiles() : lane_tiles(); }
  PUMPGAN_HD int64_t pixel_parts() const { return channels_are_lanes ? lane_tiles() : row_tiles(); }
};

// d, noise, bias and every sum are float64 beside a float64 x, float32 beside any other.
struct EpilogueArgs {
  const void* x;          // [N, C, P]
  const void* d;          // [N, C], or nullptr for 1
  const void* noise;      // [N, P], or nullptr for 0
  const void* bias;       // [C], or nullptr for 0
  void* y;                // [N, C, P], laid out as x
  int64_t noise_stride;   // elements between two samples' noise; 0 where they share it
  EpilogueShape shape;
  double slope;           // > 0; 1 leaves negatives alone
  double gain;            // > 0
  double clamp;           // +infinity switches clamping off
  DType dtype;
};

// With t = grad_y * dy/d(x * d + ..): grad_x = t * d, grad_d = sum_p t * x, grad_noise = sum_c t, grad_bias = sum_np t.
// Tiles write partial sums, which are then added in a fixed order: the same bits on every run and thread count.
struct EpilogueBackwardArgs {
  const void* grad_y;     // [N, C, P]
  const void* y;          // [N, C, P], the forward output
  const void* x;          // [N, C, P], or nullptr where d is
  const void* d;          // [N, C], or nullptr
  void* grad_x;           // [N, C, P]
  void* grad_d;           // [N, C], or nullptr where d is
  void* grad_noise;       // [N, P], or nullptr: not wanted
  void* grad_bias;        // [C], or nullptr: not wanted
  void* channel_sums;     // [N, channel_parts, C], of t; nullptr with grad_bias
  void* channel_products; // [N, channel_parts, C], of t * x; nullptr with grad_d
  void* pixel_sums;       // [N, pixel_parts, P], of t; nullptr with grad_noise
  EpilogueShape shape;
  double slope;
  double gain;
  double clamp;
  DType dtype;
};

// Tile sizes that suit the processor: a tile and its sums stay in a core's cache; a warp takes one tile.
void tile_for_cpu(EpilogueShape& shape);
void tile_for_cuda(EpilogueShape& shape);

void modulated_epilogue_cpu(const EpilogueArgs& args);
void modulated_epilogue_cuda(const EpilogueArgs& args, CUstream_st* stream);

void modulated_epilogue_backward_cpu(const EpilogueBackwardArgs& args);
void modulated_epilogue_backward_cuda(const EpilogueBackwardArgs& args, CUstream_st* stream);

}  // namespace pumpgan
