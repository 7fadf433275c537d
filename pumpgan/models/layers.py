"""Layers of StyleGAN2 with equalised learning rate: weights are stored with unit variance and scaled where they act.

Karras et al. 2018, arXiv:1710.10196 (equalised learning rate); Karras et al. 2020, arXiv:1912.04958 (the rest).
Parameters are float32; a layer computes in the dtype of its input.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pumpgan.ops import bias_act, modulated_conv2d, upfirdn2d

LOW_PASS = (1.0, 3.0, 3.0, 1.0)  # binomial; StyleGAN2's filter for every change of resolution
ACTIVATION_CLAMP = 256.0  # keeps half precision from overflow; Karras et al. 2020, arXiv:2006.06676


def low_pass_taps() -> Tensor:
    taps = torch.tensor(LOW_PASS)
    return taps / taps.sum()


class EqualLinear(nn.Module):
    """Fully connected; `slope` 1 leaves out the activation, whose gain is then 1 as well."""

    def __init__(self, inputs: int, outputs: int, *, slope=1.0, rate_multiplier=1.0, bias_start=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias_start / rate_multiplier))
        self.scale = rate_multiplier / math.sqrt(inputs)
        self.rate_multiplier = rate_multiplier
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight * self.scale, self.bias * self.rate_multiplier)
        return y if self.slope == 1 else F.leaky_relu(y, self.slope) * math.sqrt(2)


class Mapping(nn.Module):
    """z and a condition, each normalised to unit length times sqrt(size), through fully connected layers to w.

    `average` is a running mean of w, where truncation pulls to. latent_size 0: the condition alone decides, as in a
    conditional discriminator. Karras et al. 2019, arXiv:1812.04948; conditions: Karras et al. 2020, arXiv:2006.06676.
    """

    average: Tensor

    def __init__(self, latent_size: int, style_size: int, depth: int, *, conditions: int = 0):
        super().__init__()
        self.conditions = conditions
        self.embed = EqualLinear(conditions, style_size) if conditions else None
        sizes = [latent_size + (style_size if conditions else 0)] + [style_size] * depth
        self.layers = nn.Sequential(
            *(EqualLinear(a, b, slope=0.2, rate_multiplier=0.01) for a, b in itertools.pairwise(sizes))
        )
        self.register_buffer("average", torch.zeros(style_size))

    def forward(self, z: Tensor | None, conditions: Tensor | None = None) -> Tensor:
        """z [N, latent_size]; conditions int64 [N], each below `self.conditions`, None where that is 0."""
        parts = [] if z is None else [normalised(z)]
        if self.embed is not None:
            if conditions is None:
                raise ValueError(f"Mapping: conditions must be given, one of {self.conditions} a sample")
            parts.append(normalised(self.embed(F.one_hot(conditions, self.conditions).to(self.average.dtype))))
        return self.layers(torch.cat(parts, dim=1))


def normalised(x: Tensor) -> Tensor:
    """x [N, K] scaled to a mean square of 1 a sample."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class EqualConv2d(nn.Module):
    """Convolution that keeps the size, or halves it after a low-pass filter; bias and activation are fused."""

    taps: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, *, down=1, bias=True, slope=0.2):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.down, self.slope = down, slope
        if down > 1:
            self.register_buffer("taps", low_pass_taps(), persistent=False)

    def forward(self, x: Tensor, *, gain=1.0) -> Tensor:
        """gain multiplies the result; a residual block needs 1/sqrt(2) of it."""
        weight = (self.weight * self.scale).to(x.dtype)
        kernel = weight.shape[-1]
        if self.down == 1:
            y = F.conv2d(x, weight, padding=kernel // 2)
        elif kernel == 1:  # filter and drop in one go: a 1x1 convolution does not mind
            before, after = filter_padding(self.down)
            y = F.conv2d(upfirdn2d(x, self.taps, down=self.down, padding=(before, after) * 2), weight)
        else:
            before, after = filter_padding(self.down)
            padding = (before + kernel // 2, after + kernel // 2) * 2
            y = F.conv2d(upfirdn2d(x, self.taps, padding=padding), weight, stride=self.down)
        if self.bias is None:
            return y * gain if self.slope == 1 else bias_act(y, slope=self.slope, gain=math.sqrt(2) * gain)
        activation_gain = 1.0 if self.slope == 1 else math.sqrt(2)
        return bias_act(
            y,
            self.bias.to(y.dtype),
            slope=self.slope,
            gain=activation_gain * gain,
            clamp=ACTIVATION_CLAMP * gain if self.slope != 1 else math.inf,
        )


def filter_padding(factor: int) -> tuple[int, int]:
    """Zeros before and after that keep the filter centred when a size is divided by `factor`."""
    surplus = len(LOW_PASS) - factor
    return (surplus + 1) // 2, surplus // 2


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias and activation; doubles the size if `up` is 2."""

    taps: Tensor | None

    def __init__(self, inputs: int, outputs: int, style_size: int, *, up=1, kernel=3):
        super().__init__()
        self.style = EqualLinear(style_size, inputs, bias_start=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.up = up
        self.register_buffer("taps", low_pass_taps() if up > 1 else None, persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """x [N, I, H, W], w [N, style_size], noise [N, 1, up*H, up*W] of unit variance -> [N, O, up*H, up*W]."""
        return modulated_conv2d(
            x,
            self.weight * self.scale,
            self.style(w),
            self.bias,
            noise * self.noise_strength,
            up=self.up,
            taps=self.taps,
            clamp=ACTIVATION_CLAMP,
        )


class Heads(nn.Module):
    """1x1 modulated convolutions without demodulation or activation, one a target, computed as one product.

    Each head has its own style and weights (the image's, the labels'); a shared product reads the features once.
    """

    def __init__(self, inputs: int, outputs: tuple[int, ...], style_size: int):
        super().__init__()
        self.styles = nn.ModuleList(EqualLinear(style_size, inputs, bias_start=1.0) for _ in outputs)
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(o, inputs)) for o in outputs)
        self.bias = nn.Parameter(torch.zeros(sum(outputs)))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, I, H, W], w [N, style_size] -> [N, sum(outputs), H, W] in the dtype of the parameters."""
        n, _, height, width = x.shape
        modulated = [
            weight * (style(w) * self.scale)[:, None, :]
            for style, weight in zip(self.styles, self.weights, strict=True)
        ]
        weight = torch.cat(modulated, dim=1).to(x.dtype)  # [N, sum(outputs), I]
        if x.is_contiguous():
            y = torch.bmm(weight, x.flatten(2)).unflatten(2, (height, width))
        else:  # channels-last: a pixel's features lie together
            pixels = x.permute(0, 2, 3, 1).reshape(n, height * width, -1)
            y = torch.bmm(pixels, weight.transpose(1, 2)).unflatten(1, (height, width)).permute(0, 3, 1, 2)
        return y.to(self.bias.dtype) + self.bias[:, None, None]


class MinibatchStd(nn.Module):
    """Appends the standard deviation over groups of samples as one feature. Karras et al. 2018, arXiv:1710.10196.

    A group takes samples that follow each other; where `group` does not divide a set, the largest divisor below it.
    """

    def __init__(self, group: int = 4):
        super().__init__()
        self.group = group

    def forward(self, x: Tensor, sets: int = 1) -> Tensor:
        """x [N, C, H, W] holds `sets` batches one after the other, whose statistics stay apart -> [N, C + 1, H, W]."""
        n, c, h, w = x.shape
        size = n // sets
        group = next(g for g in range(min(self.group, size), 0, -1) if size % g == 0)
        grouped = x.reshape(n // group, group, c, h, w)
        deviation = (grouped.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [n / group]
        feature = deviation.repeat_interleave(group).reshape(n, 1, 1, 1).expand(n, 1, h, w)
        return torch.cat([x, feature], dim=1)
