// Which samples meet which taps. The CPU and CUDA loops both follow these few lines.
#pragma once

#include "common/host_device.h"
#include "upfirdn2d/upfirdn2d.h"

namespace pumpgan {

// A sample of y is the sum over m in [0, count) of x[first + m] * taps[tap + m * up], of those x that exist.
// (Zeros stand between the samples of x, so of every `up` taps one meets a sample: the polyphase form of the filter.)
template <typename I>
struct Reach {
  I first, tap, count;
};

// Rounds towards +infinity; divisor > 0.
template <typename I>
PUMPGAN_HD I divide_up(I value, I divisor) {
  return value > 0 ? (value + divisor - 1) / divisor : -(-value / divisor);
}

// Sample j of y, every sample of x taken to exist.
template <typename I>
PUMPGAN_HD Reach<I> reach_of(I j, I taps, I up, I down, I before) {
  const I start = j * down - before;  // where the filter begins, counted in samples and inserted zeros
  const I first = divide_up(start, up);
  const I tap = first * up - start;
  return {first, tap, tap < taps ? divide_up(taps - tap, up) : I(0)};
}

// The part of a reach that lies in x.
template <typename I>
PUMPGAN_HD Reach<I> clipped(Reach<I> reach, I up, I in) {
  const I skipped = reach.first < 0 ? -reach.first : I(0);
  const I last = reach.first + reach.count < in ? reach.first + reach.count : in;
  const I first = reach.first + skipped;
  return {first, reach.tap + skipped * up, last > first ? last - first : I(0)};
}

// Samples of y in groups of `up`, where up or down is 1: group g begins on sample first_in + g * down of x, and the
// m-th sample of x from there meets the k-th of the group through tap m * up - k * down, if there is such a tap. The group
// is samples first_out + g * up + k of y; first_out is 0 or, where y begins amid a group, negative.
struct Groups {
  int64_t first_in, first_out, count;
};

inline Groups groups_of(const ResampledAxis& axis) {
  const int64_t missing = ((-axis.before) % axis.up + axis.up) % axis.up;
  const int64_t count = (axis.out + missing + axis.up - 1) / axis.up;
  return {(-missing * axis.down - axis.before) / axis.up, -missing, count};
}

// Where tap k lies: a convolution runs through its filter backwards.
template <typename I>
PUMPGAN_HD I tap_at(I k, I taps, bool flip) {
  return flip ? k : taps - 1 - k;
}

}  // namespace pumpgan
