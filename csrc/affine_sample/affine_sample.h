// affine_sample: each pixel of y shows the place in x that an affine map sends it to; and the adjoint of that.
#pragma once

#include <cstdint>

#include "common/dtype.h"

struct CUstream_st;  // cudaStream_t is a pointer to this; naming it keeps CUDA out of this header

namespace pumpgan {

// Sides are at most 2^24. Images lie as [samples, channels, rows, columns], or with their channels last.
struct AffineSampleArgs {
  const void* from;      // x; backward, the gradient of y
  const void* matrices;  // [samples, 2, 3]; float64 beside float64 images, else float32
  void* to;              // y; backward, the gradient of x
  int64_t samples;
  int64_t channels;
  int64_t rows;          // of x
  int64_t columns;
  int64_t shown_rows;    // of y
  int64_t shown_columns;
  bool channels_last;
  DType dtype;
};

void affine_sample_cpu(const AffineSampleArgs& args);
void affine_sample_cuda(const AffineSampleArgs& args, CUstream_st* stream);

void affine_sample_backward_cpu(const AffineSampleArgs& args);
void affine_sample_backward_cuda(const AffineSampleArgs& args, CUstream_st* stream);

}  // namespace pumpgan
