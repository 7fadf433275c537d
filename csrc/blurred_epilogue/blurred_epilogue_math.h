// Which rows and columns meet, for both twins. The arithmetic is that of upfirdn2d and of modulated_conv2d.
#pragma once

#include "blurred_epilogue/blurred_epilogue.h"
#include "modulated_conv2d/modulated_conv2d_math.h"
#include "upfirdn2d/upfirdn2d_math.h"

namespace pumpgan {

// Along each axis y[j] is the sum over k < 4 of taps[3-k] x[j + kFirst + k], and back, g[i] that of
// taps[k] t[i + kFirstBack + k]; so tap_at() with `flip` false and true.
constexpr int kBlurTaps = 4, kFirst = -1, kFirstBack = -2;
// The last t that meets g[i] is t[i + kLastBack].
constexpr int kLastBack = kFirstBack + kBlurTaps - 1;

}  // namespace pumpgan
