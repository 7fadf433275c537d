// The arithmetic of label_stats and gaussian_kl, for both twins.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "common/host_device.h"

namespace pumpgan {

// 2^x for x <= 0 in float32, within 1.3 units in the last place, and 1 at 0; below 2^-127 it is 0. NaN in, NaN out.
// 2^x = 2^n 2^r with |r| <= 1/2, where the polynomial, minimax with 1 at 0, errs by a thirtieth of a rounding.
PUMPGAN_HD float exp2_negative(float x) {
  constexpr float kRound = 12583039.0f;  // 1.5 * 2^23 + 127: adding it leaves n, biased as an exponent, in the low bits
  x = x < -127.0f ? -127.0f : x;  // of which the power comes out as 0
  const float shifted = x + kRound;
  const float r = x - (shifted - kRound);
  float p = 1.5353362e-4f;
  p = p * r + 1.3398874e-3f;
  p = p * r + 9.618437e-3f;
  p = p * r + 5.5503324e-2f;
  p = p * r + 2.4022648e-1f;
  p = p * r + 6.931472e-1f;
  p = p * r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits <<= 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

PUMPGAN_HD double exp2_negative(double x) { return exp2(x); }

constexpr double kLog2E = 1.4426950408889634;  // exp(x) = 2^(kLog2E x)

// Whether `value` takes the place of `best` as the largest so far. As in torch.argmax a NaN is largest, the first wins.
template <typename A>
PUMPGAN_HD bool exceeds(A value, A best) {
  return (value > best) | ((value != value) & (best == best));
}

// N(mu_r, V) against N(mu, v), per class: ln(v / V) / 2 + (V + (mu_r - mu)^2) / (2 v) - 1/2, in float64 throughout.
struct GaussianKl {
  double mu;          // mean of the fractions
  double v;           // their variance with N - 1 below, plus floor^2
  double mu_r, V;     // of the target; V with floor^2
  double freedom;     // max(N - 1, 1)

  PUMPGAN_HD double value() const {
    const double off = mu_r - mu;
    return 0.5 * log(v / V) + (V + off * off) / (2 * v) - 0.5;
  }
  // d value / d fractions[n], whose value is f.
  PUMPGAN_HD double slope_at(double f, int64_t samples) const {
    const double off = mu_r - mu;
    const double by_mean = -off / v, by_variance = 1 / (2 * v) - (V + off * off) / (2 * v * v);
    return by_mean / double(samples) + by_variance * 2 * (f - mu) / freedom;
  }
};

PUMPGAN_HD GaussianKl gaussian_kl_of(double mu, double squares, double mean, double std, double floor,
                                     int64_t samples) {
  const double freedom = samples > 1 ? double(samples - 1) : 1.0;
  return {mu, squares / freedom + floor * floor, mean, std * std + floor * floor, freedom};
}

}  // namespace pumpgan
