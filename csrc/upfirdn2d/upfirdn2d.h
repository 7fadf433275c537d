// upfirdn2d: insert zeros, pad, filter, keep every so many; each axis on its own.
#pragma once

#include <cstdint>

#include "common/dtype.h"

struct CUstream_st;  // cudaStream_t is a pointer to this; naming it keeps CUDA out of this header

namespace pumpgan {

struct ResampledAxis {
  int64_t in;      // samples of x
  int64_t out;     // samples of y
  int64_t taps;    // of the filter
  int64_t up;      // spacing of the samples of x once zeros stand between them
  int64_t down;    // of those, spacing of the samples of y
  int64_t before;  // zeros in front; negative crops
};

// Both layouts in one: NCHW is N*C planes of one value a pixel, channels-last is N planes of C values a pixel.
struct Upfirdn2dArgs {
  const void* x;     // [planes, rows.in, columns.in, pixel]
  const void* taps;  // [rows.taps, columns.taps], or [columns.taps] for both axes where separable; float32, or as x
  void* y;           // [planes, rows.out, columns.out, pixel]
  int64_t planes;
  int64_t pixel;
  ResampledAxis rows;
  ResampledAxis columns;
  bool separable;
  bool flip;         // false: convolution, true: correlation
  double gain;
  DType dtype;
};

void upfirdn2d_cpu(const Upfirdn2dArgs& args);
void upfirdn2d_cuda(const Upfirdn2dArgs& args, CUstream_st* stream);

}  // namespace pumpgan
