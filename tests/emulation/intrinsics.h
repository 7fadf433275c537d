// One kernel for each part of CUDA that the emulation imitates, so that the imitation is tested too.
#pragma once

#include <cstdint>

struct CUstream_st;

namespace pumpgan {

struct IntrinsicsArgs {
  const float* x;
  double* y;
  int64_t kernel;
};

void intrinsics_cuda(const IntrinsicsArgs& args, CUstream_st* stream);

}  // namespace pumpgan
