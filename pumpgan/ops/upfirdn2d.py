"""Resampling with a low-pass filter: insert zeros, pad, filter, keep every so many."""

import torch
from torch import Tensor

from pumpgan.ops import implementation, reference
from pumpgan.ops.contract import layout_of, require_beside, require_floating


def upfirdn2d(
    x: Tensor,
    taps: Tensor,
    *,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = 1.0,
    flip: bool = False,
) -> Tensor:
    """Inserts `up - 1` zeros after each sample of x, pads, convolves with `gain * taps`, keeps every `down`-th sample.

    x: [N, C, H, W], H and W >= 1. CPU: float32, float64, bfloat16; CUDA: float16 too. Half types are summed in float32.
    taps: [K] for the separable filter `outer(taps, taps)`, or [Kh, Kw]; floating, on the device of x. Not rounded to a
        half x. A constant: ValueError where it requires a gradient.
    padding: zeros (left, right, top, bottom), counted in samples after the insertion; negative crops.
    gain: factor on the result; up**2 keeps the brightness of an enlarged image whose taps sum to 1.
    flip: False convolves, True correlates; the same for symmetric taps.

    Returns [N, C, (H * up + top + bottom - Kh) // down + 1, (W * up + left + right - Kw) // down + 1], laid out in
    memory as x. ValueError where the filter is larger than the padded image, or an argument does not fit.
    Differentiable in x to any order: the gradient is the same operation with up and down exchanged. NaN and infinities
    spread to the samples that the filter reaches from them. Karras et al. 2020, arXiv:1912.04958.
    """
    _check(x, taps, up, down, padding)
    if implementation.in_use() == "reference":
        return reference.upfirdn2d(x, taps, up=up, down=down, padding=padding, gain=gain, flip=flip)
    taps = taps.to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    return torch.ops.pumpgan.upfirdn2d(x, taps, up, down, *padding, gain, flip)


def _check(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int, int, int]) -> None:
    if x.ndim != 4 or x.shape[2] < 1 or x.shape[3] < 1:
        raise ValueError(f"upfirdn2d: x must be [N, C, H, W] with H, W >= 1, got shape {tuple(x.shape)}")
    require_floating("upfirdn2d", "x", x)
    if taps.ndim not in (1, 2) or taps.numel() == 0:
        raise ValueError(f"upfirdn2d: taps must be [K] or [Kh, Kw], got shape {tuple(taps.shape)}")
    if not taps.is_floating_point():
        raise ValueError(f"upfirdn2d: taps must be floating-point, got {taps.dtype}")
    if taps.requires_grad:
        raise ValueError("upfirdn2d: taps must not require a gradient, it has none; detach them")
    require_beside("upfirdn2d", "taps", taps, x)
    if up < 1 or down < 1:
        raise ValueError(f"upfirdn2d: up and down must be at least 1, got {up}, {down}")
    if len(padding) != 4:
        raise ValueError(f"upfirdn2d: padding must be (left, right, top, bottom), got {padding}")
    left, right, top, bottom = padding
    image, filter_size = f"{x.shape[2] * up} x {x.shape[3] * up} samples", f"{taps.shape[0]} x {taps.shape[-1]}"
    if min(left, right, left + right) < -x.shape[3] * up or min(top, bottom, top + bottom) < -x.shape[2] * up:
        raise ValueError(f"upfirdn2d: padding {tuple(padding)} crops more than an image of {image} has")
    if min(_size(x, taps, up, down, *padding)) < 1:
        raise ValueError(f"upfirdn2d: taps of {filter_size} do not fit into {image} with padding {tuple(padding)}")


def _size(x, taps, up, down, left, right, top, bottom):
    return (
        (x.shape[2] * up + top + bottom - taps.shape[0]) // down + 1,
        (x.shape[3] * up + left + right - taps.shape[-1]) // down + 1,
    )


def _fake(x, taps, up, down, left, right, top, bottom, gain, flip):
    size = (*x.shape[:2], *_size(x, taps, up, down, left, right, top, bottom))
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=layout_of(x))


def _save(ctx, inputs, output):
    x, taps, ctx.up, ctx.down, ctx.left, _, ctx.top, _, ctx.gain, ctx.flip = inputs
    ctx.size, ctx.layout = x.shape[2:], layout_of(x)
    ctx.save_for_backward(taps)


def _backward(ctx, grad_y):
    # y[j] holds x[i] times tap i*up + before - j*down. Read the other way it is the same operation on grad_y.
    (taps,) = ctx.saved_tensors
    left = taps.shape[-1] - 1 - ctx.left
    top = taps.shape[0] - 1 - ctx.top
    right = (ctx.size[1] - 1) * ctx.up + taps.shape[-1] - grad_y.shape[3] * ctx.down - left
    bottom = (ctx.size[0] - 1) * ctx.up + taps.shape[0] - grad_y.shape[2] * ctx.down - top
    grad_x = torch.ops.pumpgan.upfirdn2d(
        grad_y, taps, ctx.down, ctx.up, left, right, top, bottom, ctx.gain, not ctx.flip
    )
    return grad_x.contiguous(memory_format=ctx.layout), *[None] * 9  # grad_y may lie otherwise


if implementation.loaded():
    torch.library.register_fake("pumpgan::upfirdn2d", _fake)
    torch.library.register_autograd("pumpgan::upfirdn2d", _backward, setup_context=_save)
