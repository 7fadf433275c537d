"""What each operator must compute, in plain torch. The tests hold the kernels to these definitions."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pumpgan.ops.contract import layout_of

DEMODULATION_EPSILON = 1e-8
FARTHEST_PLACE = 2**28  # pixels along an axis from the first one


def bias_act(x: Tensor, bias: Tensor | None = None, *, slope=0.2, gain=2**0.5, clamp=math.inf) -> Tensor:
    if bias is not None:
        x = x + bias.reshape(-1, *[1] * (x.ndim - 2))
    return (F.leaky_relu(x, slope) * gain).clamp(-clamp, clamp)


def upfirdn2d(x: Tensor, taps: Tensor, *, up=1, down=1, padding=(0, 0, 0, 0), gain=1.0, flip=False) -> Tensor:
    """Zero-insertion by `up`, padding (left, right, top, bottom; negative crops), convolution, every `down`-th kept."""
    n, c, h, w = x.shape
    kernel = (torch.outer(taps, taps) if taps.ndim == 1 else taps).to(x.dtype) * gain
    kernel = kernel if flip else kernel.flip(0, 1)  # conv2d correlates; a convolution flips
    x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    x = F.conv2d(F.pad(x, padding), kernel.expand(c, 1, *kernel.shape).contiguous(), groups=c)
    return x[:, :, ::down, ::down]


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    bias: Tensor | None = None,
    noise: Tensor | None = None,
    *,
    demodulate=True,
    up=1,
    taps: Tensor | None = None,
    slope=0.2,
    gain=2**0.5,
    clamp=math.inf,
) -> Tensor:
    """Karras et al. 2020, arXiv:1912.04958, equations 1 and 3: weights are scaled and normalised for each sample."""
    modulated = weight[None] * styles[:, None, :, None, None]  # [N, O, I, k, k]
    y = (x * styles[:, :, None, None]).to(x.dtype)  # parameters may be wider than x
    if up == 1:
        y = F.conv2d(y, weight.to(x.dtype), padding=weight.shape[-1] // 2)
    else:
        y = upsampling_convolution(y, weight.to(x.dtype), taps, up)
    if demodulate:
        scale = (modulated.square().sum(dim=(2, 3, 4)) + DEMODULATION_EPSILON).rsqrt()
        y = y * scale[:, :, None, None]
    if noise is not None:
        y = y + noise
    return bias_act(y, bias, slope=slope, gain=gain, clamp=clamp).to(x.dtype)


def upsampling_convolution(x: Tensor, weight: Tensor, taps, up: int) -> Tensor:
    """Transposed convolution and low-pass filter; the result is `up` times as large as x."""
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=up)
    return upfirdn2d(y, taps, padding=low_pass_padding(y, x, taps, up) * 2, gain=up**2)


def low_pass_padding(y: Tensor, x: Tensor, taps, up: int) -> tuple[int, int]:
    """Zeros before and after rows and columns of y, the transposed convolution of x, that make its size come out."""
    surplus = up * x.shape[-1] - y.shape[-1] + taps.shape[-1] - 1
    return (surplus + 1) // 2, surplus - (surplus + 1) // 2


def blurred_epilogue(
    x: Tensor,
    taps: Tensor,
    d=None,
    noise=None,
    bias=None,
    *,
    padding,
    filter_gain=1.0,
    slope=0.2,
    gain=2**0.5,
    clamp=math.inf,
) -> Tensor:
    y = upfirdn2d(x, taps, padding=padding * 2, gain=filter_gain)
    if d is not None:
        y = y * d[:, :, None, None]
    if noise is not None:
        y = y + noise
    return bias_act(y, bias, slope=slope, gain=gain, clamp=clamp).to(x.dtype)


def label_stats(logits: Tensor, *, temperature=1.0) -> tuple[Tensor, Tensor]:
    wide = logits if logits.dtype == torch.float64 else logits.float()
    fractions = (wide / temperature).softmax(dim=1).mean(dim=(2, 3))
    winners = logits.argmax(dim=1).flatten(1)
    counts = torch.zeros(logits.shape[:2], dtype=torch.int64, device=logits.device)
    return fractions, counts.scatter_add_(1, winners, torch.ones_like(winners))


def gaussian_kl(fractions: Tensor, mean: Tensor, std: Tensor, floor: Tensor) -> Tensor:
    """KL(N(mean, std²) || N(mu, s²)) per class, mu and s² those of `fractions` over its rows."""
    mu = fractions.mean(dim=0)
    variance = (fractions - mu).square().sum(dim=0) / max(len(fractions) - 1, 1) + floor.square()
    target = std.square() + floor.square()
    return (variance / target).log() / 2 + (target + (mean - mu).square()) / (2 * variance) - 0.5


def affine_sample(x: Tensor, matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixel (u, v) of the result shows x at matrices @ (u, v, 1), from the centres; borders are mirrors."""
    n, c, h, w = x.shape
    v, u = (torch.arange(side, dtype=matrices.dtype, device=x.device) - (side - 1) / 2 for side in size)
    by_u, by_v, shift = matrices[..., None, None].unbind(2)
    column, row = (by_u * u + by_v * v[:, None] + shift).unbind(1)  # [N, Ho, Wo] each
    column, row = column + (w - 1) / 2, row + (h - 1) / 2
    there = (column.abs() < FARTHEST_PLACE) & (row.abs() < FARTHEST_PLACE)
    y = torch.zeros((), dtype=matrices.dtype, device=x.device)
    for row_weight, row_index in _corners(row.where(there, 0), h):
        for weight, index in _corners(column.where(there, 0), w):
            places = (row_index * w + index).flatten(1)[:, None].expand(n, c, -1)
            y = y + (row_weight * weight)[:, None] * x.flatten(2).gather(2, places).unflatten(2, size)
    return y.where(there[:, None], torch.nan).to(x.dtype).contiguous(memory_format=layout_of(x))


def _corners(place: Tensor, side: int) -> list[tuple[Tensor, Tensor]]:
    """The two pixels of a mirrored axis that a place lies between, with their weights."""
    first = place.floor()
    turns = [index.long() % (2 * side) for index in (first, first + 1)]
    weights = (1 - (place - first), place - first)
    return [(weight, torch.minimum(turn, 2 * side - 1 - turn)) for weight, turn in zip(weights, turns, strict=True)]
