// The arithmetic of label_stats and gaussian_kl, for both twins.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "common/host_device.h"

namespace pumpgan {

// exp(x) for x <= 0 in float32, within 2 units in the last place; below 2^-126 it is 0. NaN in, NaN out.
// exp(x) = 2^n exp(r) with |r| <= ln(2)/2, where Taylor's polynomial of degree 7 errs by under a tenth of a rounding.
PUMPGAN_HD float exp_negative(float x) {
  constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer and leaves that in the low bits
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127u) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return x < -87.0f ? 0.0f : p * power;
}

PUMPGAN_HD double exp_negative(double x) { return exp(x); }

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
