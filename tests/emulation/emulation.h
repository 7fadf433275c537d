// How CUDA's threads run on the processor. Every CUDA thread is a fiber; a block's fibers take turns on one thread of
// the operating system, so that `thread_local` is what a block shares. Barriers and warp intrinsics switch fibers.
//
// What comes of it: AddressSanitizer sees every access out of bounds. ThreadSanitizer takes each fiber for a thread and
// knows no order between two of them but what barriers and atomics give, so a missing barrier is a race whatever the
// turns were. A barrier that some threads never reach is reported, not waited for. Blocks start with NaN in all shared
// memory. Under ThreadSanitizer two blocks run at a time, so races between blocks show too.
//
// What it cannot do: tensor cores, inline PTX, asynchronous copies, clusters, textures, speed; fused multiply-adds where
// only nvcc's optimiser would make them; and bounds of a static __shared__ array are checked where the array is named,
// not through a pointer into it.
#pragma once

#include <cstdint>
#include <functional>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

extern dim3 gridDim, blockDim;  // of the launch under way

namespace emulation {

constexpr unsigned kWarpSize = 32;

// Of the CUDA thread that asks.
struct Position {
  dim3 thread, block;
  unsigned lane;
};
const Position& self();

// Runs `body` once for every CUDA thread of the grid and returns when all have ended. The sizes have been checked.
void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);

constexpr size_t kSharedBytes = 227 * 1024;  // the most that a block may ask for, as on an H100

// Waits for all threads of the block that have not ended; memory is seen in order across it.
void sync_threads();
// Waits for all lanes of `mask` that have not ended; memory is seen in order across it.
void sync_warp(unsigned mask);
// The values that the lanes of `mask` bring, without any order between their memory accesses.
struct Gathered {
  uint64_t value[kWarpSize];
  unsigned present;  // lanes that took part; the values of others are undefined, and asking for one is a fault
};
const Gathered& gather(unsigned mask, uint64_t value);
uint64_t value_of(const Gathered& gathered, unsigned lane);
// Orders this thread's accesses before those of every thread that calls it later.
void fence();

// Ends the process with a line on stderr that says who did what.
[[noreturn]] void fault(const char* what);

}  // namespace emulation
