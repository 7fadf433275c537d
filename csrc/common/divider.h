// Division by a number that a launch fixes, by one multiplication: kernels turn indices into places with it.
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace pumpgan {

// Exact for every n >= 0. With l = ceil(log2(divisor)), the multiplier m = ceil(2^(31 + l) / divisor) is at most
// (1 + 2^-31) 2^(31 + l) / divisor, so m n / 2^(31 + l) reaches no further than the quotient as long as n < 2^31
// (Granlund and Montgomery 1994, theorem 4.2). Beyond that the hardware's own, slow division runs.
class Divider {
 public:
  explicit Divider(int64_t divisor) : divisor_(divisor) {
    if (divisor >= int64_t(1) << 31) return;  // a multiplier of 0: no n < 2^31 reaches it
    int log2 = 0;
    while ((int64_t(1) << log2) < divisor) ++log2;
    shift_ = 31 + log2;
    multiplier_ = static_cast<uint32_t>(((uint64_t(1) << shift_) + uint64_t(divisor) - 1) / uint64_t(divisor));
  }

  PUMPGAN_HD int64_t quotient(int64_t n) const {
    if (n >> 31) return n / divisor_;
    return static_cast<int64_t>(uint64_t(static_cast<uint32_t>(n)) * multiplier_ >> shift_);
  }

  // The same without the question whether n is below 2^31.
  PUMPGAN_HD int32_t quotient(int32_t n) const {
    return static_cast<int32_t>(uint64_t(static_cast<uint32_t>(n)) * multiplier_ >> shift_);
  }

  // Returns n % divisor and leaves the quotient in n.
  PUMPGAN_HD int64_t take(int64_t& n) const {
    const int64_t whole = quotient(n), rest = n - whole * divisor_;
    n = whole;
    return rest;
  }

  PUMPGAN_HD int64_t divisor() const { return divisor_; }

 private:
  int64_t divisor_;
  uint32_t multiplier_ = 0;
  int shift_ = 0;
};

}  // namespace pumpgan
