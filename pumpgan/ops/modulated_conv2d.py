"""The convolution of StyleGAN2's generator: its input channels are scaled by a style, its output activated in one pass.

The weights are shared by the batch: scaling x by the style equals scaling each sample's weights, and normalising the
result equals normalising them. So torch's own convolution runs, and what surrounds it are two passes of one kernel.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pumpgan.ops import implementation, reference
from pumpgan.ops.blurred_epilogue import blurred_epilogue
from pumpgan.ops.choice import choose
from pumpgan.ops.contract import layout_of, require_beside, require_floating
from pumpgan.ops.reference import DEMODULATION_EPSILON


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    bias: Tensor | None = None,
    noise: Tensor | None = None,
    *,
    demodulate: bool = True,
    up: int = 1,
    taps: Tensor | None = None,
    slope: float = 0.2,
    gain: float = 2**0.5,
    clamp: float = math.inf,
) -> Tensor:
    """Returns `clip(gain * leaky_relu(d * conv(x * styles, weight) + noise + bias, slope), -clamp, clamp)`.

    x: [N, I, H, W] activations. CPU: float32, float64, bfloat16; CUDA: float16 too. The result has its dtype, and is
        channels-last if x is, which is the faster of the two.
    weight: [O, I, k, k], k odd. It, styles, bias and noise may be float32 beside a half-precision x.
    styles: [N, I], the scale of each input channel of each sample.
    bias: [O].   noise: [N, 1, up*H, up*W], or [1, 1, up*H, up*W] for the whole batch, already times its strength.
    demodulate: d[n, o] = 1 / sqrt(sum_ik (weight * styles)² + 1e-8), which gives each output channel unit variance;
        without, d = 1, as in the layers that draw colours and labels.
    up: 1, or 2: a transposed convolution of stride 2, then a low-pass filter with `taps`, [K] or [K, K], of sum 1.
    slope, gain, clamp: as in bias_act; slope = gain = 1 makes the layer linear.

    Differentiable twice in all but `taps`, as path length regularisation needs. NaN in, NaN out. ValueError names the
    argument that does not fit. Karras et al. 2020, arXiv:1912.04958, equations 1 and 3.
    """
    _check(x, weight, styles, bias, noise, up, taps, slope, gain, clamp)
    if implementation.in_use() == "reference":
        return reference.modulated_conv2d(
            x, weight, styles, bias, noise, demodulate=demodulate, up=up, taps=taps, slope=slope, gain=gain, clamp=clamp
        )
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    weight, styles = weight.to(wide), styles.to(wide)
    if x.dtype == torch.float16 and demodulate:  # which undoes these scales again, but 65,504 is soon exceeded
        largest = weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(DEMODULATION_EPSILON)
        weight = weight / (largest * math.sqrt(weight[0].numel()))
        styles = styles / styles.detach().abs().amax(dim=1, keepdim=True).clamp_min(DEMODULATION_EPSILON)
    y = torch.ops.pumpgan.modulated_epilogue(x, styles, None, None, 1.0, 1.0, math.inf)
    y = _convolved(y, weight.to(x.dtype), up)
    d = demodulation(weight, styles) if demodulate else None
    noise, bias = (None if t is None else t.to(wide) for t in (noise, bias))
    if up == 1 or taps is None:  # which up == 2 has
        return torch.ops.pumpgan.modulated_epilogue(y, d, noise, bias, slope, gain, clamp)
    padding = reference.low_pass_padding(y, x, taps, up)
    return blurred_epilogue(
        *(y, taps.to(wide), d, noise, bias), padding=padding, filter_gain=up**2, slope=slope, gain=gain, clamp=clamp
    )


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """The scale that gives each output channel unit variance, [N, O], from weight [O, I, k, k] and styles [N, I].

    d[n, o] = 1 / sqrt(sum_i styles[n, i]² (sum_k weight[o, i, k]²) + 1e-8): a small matrix product, where the
    definition multiplies every weight by every style.
    """
    energy = styles.square() @ weight.square().sum(dim=(2, 3)).T
    return (energy + DEMODULATION_EPSILON).rsqrt()


def _convolved(y: Tensor, weight: Tensor, up: int) -> Tensor:
    """torch's convolution of y; half precision on a GPU in the layout that is faster there, there and back included."""

    def as_it_lies(y, weight):
        if up == 1:
            return F.conv2d(y, weight, padding=weight.shape[-1] // 2)
        return F.conv_transpose2d(y, weight.transpose(0, 1), stride=up)

    def in_the_other_layout(y, weight):
        here = layout_of(y)
        other = torch.channels_last if here == torch.contiguous_format else torch.contiguous_format
        y, weight = (t.contiguous(memory_format=other) for t in (y, weight))
        return as_it_lies(y, weight).contiguous(memory_format=here)

    if y.dtype.itemsize > 2:
        return as_it_lies(y, weight)
    ways = {"as it lies": as_it_lies, "in the other layout": in_the_other_layout}
    return ways[choose(f"modulated_conv2d up {up}", ways, y, weight)](y, weight)


def _check(x, weight, styles, bias, noise, up, taps, slope, gain, clamp):
    def require(fits, name, must, got):
        if not fits:
            raise ValueError(f"modulated_conv2d: {name} must be {must}, got {got}")

    require(x.ndim == 4, "x", "[N, I, H, W]", list(x.shape))
    require_floating("modulated_conv2d", "x", x)
    n, i, h, w = x.shape
    square = weight.ndim == 4 and weight.shape[1] == i and weight.shape[2] == weight.shape[3] and weight.shape[2] % 2
    require(square, "weight", f"[O, {i}, k, k] with odd k", list(weight.shape))
    require(styles.shape == (n, i), "styles", f"[{n}, {i}]", list(styles.shape))
    if bias is not None:
        require(bias.shape == weight.shape[:1], "bias", f"[{weight.shape[0]}]", list(bias.shape))
    require(up in (1, 2), "up", "1 or 2", up)
    if noise is not None:
        fits = noise.shape in ((n, 1, up * h, up * w), (1, 1, up * h, up * w))
        require(fits, "noise", f"[{n} or 1, 1, {up * h}, {up * w}]", list(noise.shape))
    require(up == 1 or taps is not None, "taps", "given where up is 2", None)
    require(slope > 0, "slope", "positive", slope)
    require(gain > 0, "gain", "positive", gain)
    require(clamp > 0, "clamp", "positive", clamp)
    for name, tensor in (("weight", weight), ("styles", styles), ("bias", bias), ("noise", noise)):
        if tensor is not None:
            require_beside("modulated_conv2d", name, tensor, x)
            require(tensor.is_floating_point(), name, "floating-point", tensor.dtype)


def _fake(x, d, noise, bias, slope, gain, clamp):
    return torch.empty_like(x, memory_format=layout_of(x))


def _fake_backward(grad_y, y, x, d, with_noise, with_bias, slope, gain, clamp):
    n, c, h, w = y.shape
    wide = torch.float64 if y.dtype == torch.float64 else torch.float32
    return (
        torch.empty_like(y, memory_format=layout_of(y)),
        y.new_empty((0, 0) if d is None else (n, c), dtype=wide),
        y.new_empty((n if with_noise else 0, 1, h, w), dtype=wide),
        y.new_empty(c if with_bias else 0, dtype=wide),
    )


def _save(ctx, inputs, output):
    x, d, noise, bias, *ctx.scalars = inputs
    ctx.save_for_backward(output, None if d is None else x, d)
    ctx.noise_shape = None if noise is None else noise.shape
    ctx.with_bias = bias is not None


def _backward(ctx, grad_y):
    y, x, d = ctx.saved_tensors
    _, need_d, need_noise, need_bias, *_ = ctx.needs_input_grad
    backward = torch.ops.pumpgan.modulated_epilogue_backward
    grad_x, grad_d, grad_noise, grad_bias = backward(grad_y, y, x, d, need_noise, need_bias, *ctx.scalars)
    if need_noise and ctx.noise_shape[0] != grad_noise.shape[0]:
        grad_noise = grad_noise.sum(dim=0, keepdim=True)  # one noise for the whole batch
    return (
        grad_x,
        grad_d if need_d else None,
        grad_noise if need_noise else None,
        grad_bias if need_bias else None,
        None,
        None,
        None,
    )


def _save_backward(ctx, inputs, output):
    grad_y, y, x, d, ctx.with_noise, ctx.with_bias, *ctx.scalars = inputs
    ctx.save_for_backward(grad_y, y, x, d)


def _double_backward(ctx, v_x, v_d, v_noise, v_bias):
    """v: gradients with respect to the four results of modulated_epilogue_backward.

    With t = slope(y) * grad_y, those are t*d, sum_p t*x, sum_c t and sum_np t: linear in t and in d or x. The slope
    is constant in y wherever it is defined.
    """
    grad_y, y, x, d = ctx.saved_tensors

    def times_slope(g):
        backward = torch.ops.pumpgan.modulated_epilogue_backward
        return backward(g.to(y.dtype), y, None, None, False, False, *ctx.scalars)[0]

    grad_x = grad_d = None
    v_t = v_x if d is None else v_x * d[:, :, None, None]
    if d is not None:
        t = times_slope(grad_y)
        v_t = v_t + v_d[:, :, None, None] * x
        grad_x = (v_d[:, :, None, None] * t).to(x.dtype)
        grad_d = (v_x * t).sum(dim=(2, 3), dtype=d.dtype)
    if ctx.with_noise:
        v_t = v_t + v_noise
    if ctx.with_bias:
        v_t = v_t + v_bias[:, None, None]
    return times_slope(v_t), None, grad_x, grad_d, None, None, None, None, None


if implementation.loaded():
    torch.library.register_fake("pumpgan::modulated_epilogue", _fake)
    torch.library.register_autograd("pumpgan::modulated_epilogue", _backward, setup_context=_save)
    name = "pumpgan::modulated_epilogue_backward"
    torch.library.register_fake(name, _fake_backward)
    torch.library.register_autograd(name, _double_backward, setup_context=_save_backward)
