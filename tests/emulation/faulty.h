// Kernels with one mistake each, to see that the emulation finds it. All mean to write y[i] = 2 * x[i].
#pragma once

#include <cstdint>

struct CUstream_st;

namespace pumpgan {

struct FaultyArgs {
  const float* x;  // [size]
  float* y;        // [size]
  int64_t size;
  int64_t fault;   // which kernel
};

void faulty_cuda(const FaultyArgs& args, CUstream_st* stream);

}  // namespace pumpgan
