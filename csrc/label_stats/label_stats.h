// label_stats: from label logits, how much of each image each class holds: softly, with a gradient, and counted.
// gaussian_kl: how far the moments of those fractions over a batch are from given ones.
#pragma once

#include <cstdint>

#include "common/dtype.h"

struct CUstream_st;

namespace pumpgan {

// Where the logit of (sample, class, pixel) lies; any layout in which pixels are evenly spaced.
struct LogitsLayout {
  int64_t sample;
  int64_t label;
  int64_t pixel;
};

// Fractions and their gradients are float64 for float64 logits, float32 for any other.
struct LabelStatsArgs {
  const void* logits;    // [samples, classes, pixels]
  void* fractions;       // [samples, classes], mean over pixels of softmax(logits / temperature)
  int64_t* counts;       // [samples, classes], pixels at which the class is the first of the largest; a NaN is largest
  double* mass_parts;    // [samples, blocks, classes], sums of softmax over a block of pixels
  int64_t* count_parts;  // [samples, blocks, classes]
  LogitsLayout layout;
  int64_t samples;
  int64_t classes;
  int64_t pixels;
  int64_t blocks;        // label_stats_blocks(pixels)
  double temperature;
  DType dtype;
};

struct LabelStatsBackwardArgs {
  const void* grad_fractions;  // [samples, classes]
  const void* logits;          // [samples, classes, pixels]
  void* grad_logits;           // [samples, classes, pixels]
  LogitsLayout layout;         // of logits
  LogitsLayout grad_layout;    // of grad_logits
  int64_t samples;
  int64_t classes;
  int64_t pixels;
  double temperature;
  DType dtype;
};

struct GaussianKlArgs {
  const void* grad;       // [classes], or nullptr in the forward direction
  const void* fractions;  // [samples, classes]
  const void* mean;       // [classes]
  const void* std;        // [classes]
  const void* floor;      // [classes]
  void* result;           // [classes]: the divergence; or [samples, classes]: its gradient
  int64_t samples;
  int64_t classes;
  DType dtype;            // float32 or float64
};

// Pixels are summed in blocks of a fixed size, blocks in their order: the same bits on every run and thread count.
constexpr int64_t kLabelStatsBlock = 2048;
inline int64_t label_stats_blocks(int64_t pixels) { return (pixels + kLabelStatsBlock - 1) / kLabelStatsBlock; }

void label_stats_cpu(const LabelStatsArgs& args);
void label_stats_cuda(const LabelStatsArgs& args, CUstream_st* stream);

void label_stats_backward_cpu(const LabelStatsBackwardArgs& args);
void label_stats_backward_cuda(const LabelStatsBackwardArgs& args, CUstream_st* stream);

void gaussian_kl_cpu(const GaussianKlArgs& args);
void gaussian_kl_cuda(const GaussianKlArgs& args, CUstream_st* stream);

}  // namespace pumpgan
