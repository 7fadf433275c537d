"""StyleGAN2's skip generator with a semantic head beside each image head: it draws an image and its labels at once.

Karras et al. 2020, arXiv:1912.04958; semantic heads: Li et al. 2021, arXiv:2104.05833.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from pumpgan.models.layers import EqualLinear, Heads, StyledConv, low_pass_taps
from pumpgan.ops import upfirdn2d


@dataclass(frozen=True)
class Widths:
    """Feature channels by resolution: `base / resolution`, held between `least` and `most`."""

    base: int
    most: int
    least: int = 1

    def __call__(self, resolution: int) -> int:
        return max(min(self.base // resolution, self.most), self.least)


class Drawn(NamedTuple):
    images: Tensor  # [N, channels, R, R] float32, about -1 to 1
    labels: Tensor  # [N, classes, R, R] float32 logits


class Mapping(nn.Module):
    """z, normalised to unit length times sqrt(size), through fully connected layers to w."""

    def __init__(self, latent_size: int, style_size: int, depth: int):
        super().__init__()
        sizes = [latent_size] + [style_size] * depth
        self.layers = nn.Sequential(
            *(EqualLinear(a, b, slope=0.2, rate_multiplier=0.01) for a, b in itertools.pairwise(sizes))
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt())


class Generator(nn.Module):
    """z -> w -> image and label logits.

    `dtype` is what the features are computed in; parameters, heads and results stay float32.
    """

    taps: Tensor

    def __init__(
        self,
        resolution: int,
        channels: int,
        classes: int,
        *,
        widths: Widths,
        latent_size: int,
        style_size: int,
        depth: int,
    ):
        super().__init__()
        if resolution < 8 or resolution & (resolution - 1):
            raise ValueError(f"Generator: resolution must be a power of two from 8 on, got {resolution}")
        self.resolution, self.channels, self.classes = resolution, channels, classes
        self.latent_size = latent_size
        self.dtype = torch.float32
        self.resolutions = [2**k for k in range(2, resolution.bit_length())]  # 4, 8, ... resolution
        self.mapping = Mapping(latent_size, style_size, depth)
        self.start = nn.Parameter(torch.randn(widths(4), 4, 4))
        self.convs = nn.ModuleList()
        self.heads = nn.ModuleList()
        for r in self.resolutions:
            if r > 4:
                self.convs.append(StyledConv(widths(r // 2), widths(r), style_size, up=2))
            self.convs.append(StyledConv(widths(r), widths(r), style_size))
            self.heads.append(Heads(widths(r), (channels, classes), style_size))
        self.styles = 2 * len(self.resolutions)  # the last head has an index of its own
        self.register_buffer("taps", low_pass_taps(), persistent=False)

    def noise_shapes(self, n: int) -> list[tuple[int, int, int, int]]:
        sizes = [r for r in self.resolutions for _ in range(1 if r == 4 else 2)]
        return [(n, 1, r, r) for r in sizes]

    def mixed_styles(self, z: Tensor, other: Tensor | None = None, cutoff: int | None = None) -> Tensor:
        """[N, styles, style_size]: those of z; from index `cutoff` on, those of `other` (style mixing)."""
        w = self.mapping(z)[:, None].expand(-1, self.styles, -1)
        if other is None or cutoff is None:
            return w
        return torch.cat([w[:, :cutoff], self.mapping(other)[:, None].expand(-1, self.styles - cutoff, -1)], dim=1)

    def forward(self, styles: Tensor, noise: list[Tensor] | None = None) -> Drawn:
        """styles [N, styles, style_size]; noise: one tensor a convolution (`noise_shapes`), drawn afresh if None."""
        n = len(styles)
        if noise is None:
            noise = [torch.randn(shape, device=styles.device) for shape in self.noise_shapes(n)]
        features = self.start.to(self.dtype).expand(n, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        skip: Tensor | None = None
        index = 0
        for r, head in zip(self.resolutions, self.heads, strict=True):
            for _ in range(1 if r == 4 else 2):
                features = self.convs[index](features, styles[:, index], noise[index])
                index += 1
            drawn = head(features, styles[:, index])  # shares its index with the next convolution
            skip = drawn if skip is None else drawn + upfirdn2d(skip, self.taps, up=2, padding=(2, 1, 2, 1), gain=4.0)
        return Drawn(*cast(Tensor, skip).split([self.channels, self.classes], dim=1))
