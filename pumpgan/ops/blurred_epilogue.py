"""What follows an up-convolution, low-pass filter and epilogue, in one pass over memory each way."""

import torch
from torch import Tensor

from pumpgan.ops import implementation
from pumpgan.ops.contract import layout_of

BLOCK_BYTES = 64  # of neighbouring channels, that the kernels take at a time


def blurred_epilogue(
    x: Tensor,
    taps: Tensor,
    d: Tensor | None,
    noise: Tensor | None,
    bias: Tensor | None,
    *,
    padding: tuple[int, int],
    filter_gain: float,
    slope: float,
    gain: float,
    clamp: float,
) -> Tensor:
    """Returns `clip(gain * leaky_relu(d * blur(x) + noise + bias, slope), -clamp, clamp)`, laid out in memory as x.

    blur: upfirdn2d with `taps`, [K] or [K, K], padding (before, after) on both axes, and `filter_gain`.
    x: [N, C, H, W].   d: [N, C].   noise: [N or 1, 1, H', W'], H' = H + before + after - K + 1.   bias: [C].
    taps, d, noise and bias are float64 beside a float64 x, else float32.

    One pass over memory where it `fuses`; else two operators, upfirdn2d and modulated_epilogue. Differentiable twice in
    all but taps. Backward, that pass reads the gradient of y, y and x, and writes the gradient of x: that of d is
    sum_p x * blur'(t), and blur' of the activation's gradient t is made anyway.
    """
    if fuses(x, taps, padding):
        return torch.ops.pumpgan.blurred_epilogue(x, taps, d, noise, bias, filter_gain, slope, gain, clamp)
    y = torch.ops.pumpgan.upfirdn2d(x, taps, 1, 1, *padding, *padding, filter_gain, False)
    return torch.ops.pumpgan.modulated_epilogue(y, d, noise, bias, slope, gain, clamp)


def fuses(x: Tensor, taps: Tensor, padding: tuple[int, int]) -> bool:
    """Whether one pass does it: for four taps and 3 x 3 weights, channels-last, whole blocks of channels.

    All the networks' layers are such; elsewhere two passes were as fast or faster (docs/decisions.md).
    """
    blocks = x.shape[1] * x.element_size() % BLOCK_BYTES == 0
    return blocks and taps.shape == (4,) and padding == (1, 1) and layout_of(x) == torch.channels_last


def _fake(x, taps, d, noise, bias, filter_gain, slope, gain, clamp):
    size = (*x.shape[:2], x.shape[2] - 1, x.shape[3] - 1)
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _fake_backward(grad_y, y, x, taps, d, with_noise, with_bias, filter_gain, slope, gain, clamp):
    n, c, h, w = y.shape
    wide = torch.float64 if y.dtype == torch.float64 else torch.float32
    return (
        torch.empty((n, c, h + 1, w + 1), dtype=y.dtype, device=y.device, memory_format=torch.channels_last),
        y.new_empty((0, 0) if d is None else (n, c), dtype=wide),
        y.new_empty((n if with_noise else 0, 1, h, w), dtype=wide),
        y.new_empty(c if with_bias else 0, dtype=wide),
    )


def _save(ctx, inputs, output):
    x, taps, d, noise, _, *ctx.scalars = inputs
    ctx.save_for_backward(output, None if d is None else x, taps, d)
    ctx.noise_shape = None if noise is None else noise.shape


def _backward(ctx, grad_y):
    y, x, taps, d = ctx.saved_tensors
    _, _, need_d, need_noise, need_bias, *_ = ctx.needs_input_grad
    backward = torch.ops.pumpgan.blurred_epilogue_backward
    grad_x, grad_d, grad_noise, grad_bias = backward(grad_y, y, x, taps, d, need_noise, need_bias, *ctx.scalars)
    if need_noise and ctx.noise_shape[0] != grad_noise.shape[0]:
        grad_noise = grad_noise.sum(dim=0, keepdim=True)  # one noise for the whole batch
    return (
        grad_x,
        None,
        grad_d if need_d else None,
        grad_noise if need_noise else None,
        grad_bias if need_bias else None,
        *[None] * 4,
    )


def _save_backward(ctx, inputs, output):
    grad_y, y, x, taps, d, ctx.with_noise, ctx.with_bias, ctx.filter_gain, *ctx.scalars = inputs
    ctx.save_for_backward(grad_y, y, x, taps, d)


def _double_backward(ctx, v_x, v_d, v_noise, v_bias):
    """v: gradients with respect to the four results of blurred_epilogue_backward.

    With t = slope(y) * grad_y and B the blur, those are B'(t*d), sum_p B'(t) * x, sum_c t and sum_np t: linear in t and
    in d or x. The slope is constant in y wherever it is defined.
    """
    grad_y, y, x, taps, d = ctx.saved_tensors

    def times_slope(g):
        backward = torch.ops.pumpgan.modulated_epilogue_backward
        return backward(g.to(y.dtype), y, None, None, False, False, *ctx.scalars)[0]

    def blurred(image):
        return torch.ops.pumpgan.upfirdn2d(image, taps, 1, 1, 1, 1, 1, 1, ctx.filter_gain, False)

    def blurred_back(image):
        return torch.ops.pumpgan.upfirdn2d(image, taps, 1, 1, 2, 2, 2, 2, ctx.filter_gain, True)

    grad_x = grad_d = None
    blurred_v = blurred(v_x)
    v_t = blurred_v if d is None else blurred_v * d[:, :, None, None]
    if d is not None:
        t = times_slope(grad_y)
        v_t = v_t + v_d[:, :, None, None] * blurred(x)
        grad_x = blurred_back((v_d[:, :, None, None] * t).to(x.dtype))
        grad_d = (blurred_v * t).sum(dim=(2, 3), dtype=d.dtype)
    if ctx.with_noise:
        v_t = v_t + v_noise
    if ctx.with_bias:
        v_t = v_t + v_bias[:, None, None]
    return times_slope(v_t), None, grad_x, None, grad_d, *[None] * 6


if implementation.loaded():
    torch.library.register_fake("pumpgan::blurred_epilogue", _fake)
    torch.library.register_autograd("pumpgan::blurred_epilogue", _backward, setup_context=_save)
    name = "pumpgan::blurred_epilogue_backward"
    torch.library.register_fake(name, _fake_backward)
    torch.library.register_autograd(name, _double_backward, setup_context=_save_backward)
