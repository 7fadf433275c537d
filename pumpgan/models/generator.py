"""StyleGAN2's skip generator; with a semantic head beside each image head it draws an image and its labels at once.

Karras et al. 2020, arXiv:1912.04958; semantic heads: Li et al. 2021, arXiv:2104.05833.
"""

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from pumpgan.models.layers import Heads, Mapping, StyledConv, low_pass_taps
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
    images: Tensor  # [N, channels, H, W] float32, about -1 to 1
    labels: Tensor  # [N, classes, H, W] float32 logits; no channels where no labels are drawn


def to_uint8(images: Tensor) -> Tensor:
    """Drawn images as they are written: -1 to 1 becomes 0 to 255, rounded, what lies beyond is cut off."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


SMALLEST_SIDE, MOST_START_SIDE = 4, 16


def levels(size: tuple[int, int]) -> list[tuple[int, int]]:
    """(height, width) of every level of a network for images of this size, ascending; each doubles the one before.

    The first has no side under 4. ValueError where its longer side is over 16, or there is only one: such a size cannot
    be halved often enough.
    """
    found = [size]
    while all(side % 2 == 0 and side // 2 >= SMALLEST_SIDE for side in found[0]):
        found.insert(0, (found[0][0] // 2, found[0][1] // 2))
    if len(found) < 2 or max(found[0]) > MOST_START_SIDE:
        height, width = size
        raise ValueError(
            f"size: must be a small number (at most {MOST_START_SIDE}) times a power of two on both sides, such as 64, "
            f"96 or 128, got {width}x{height}, which can be halved only to {found[0][1]}x{found[0][0]}"
        )
    return found


def nominal_resolution(level: int) -> int:
    """The side of this level where images are square and of a power of two; other shapes have the same widths."""
    return SMALLEST_SIDE * 2**level


class Generator(nn.Module):
    """z -> w -> image and label logits.

    `dtype` is what the features are computed in; parameters, heads and results stay float32.
    """

    taps: Tensor

    def __init__(
        self,
        size: tuple[int, int],
        channels: int,
        classes: int,
        *,
        widths: Widths,
        latent_size: int,
        style_size: int,
        depth: int,
        conditions: int = 0,
    ):
        """size: (height, width), see `levels`. classes: of the labels, 0 draws none. conditions: of image labels."""
        super().__init__()
        self.sizes = levels(size)
        self.channels, self.classes = channels, classes
        self.latent_size = latent_size
        self.dtype = torch.float32
        self.mapping = Mapping(latent_size, style_size, depth, conditions=conditions)
        self.start = nn.Parameter(torch.randn(widths(SMALLEST_SIDE), *self.sizes[0]))
        self.convs = nn.ModuleList()
        self.heads = nn.ModuleList()
        outputs = (channels, classes) if classes else (channels,)
        for level in range(len(self.sizes)):
            width = widths(nominal_resolution(level))
            if level:
                self.convs.append(StyledConv(widths(nominal_resolution(level - 1)), width, style_size, up=2))
            self.convs.append(StyledConv(width, width, style_size))
            self.heads.append(Heads(width, outputs, style_size))
        self.styles = 2 * len(self.sizes)  # the last head has an index of its own
        self.register_buffer("taps", low_pass_taps(), persistent=False)

    def noise_shapes(self, n: int) -> list[tuple[int, int, int, int]]:
        sizes = [self.sizes[0], *(size for size in self.sizes[1:] for _ in range(2))]
        return [(n, 1, height, width) for height, width in sizes]

    def mixed_styles(
        self, z: Tensor, other: Tensor | None = None, cutoff: int | None = None, conditions: Tensor | None = None
    ) -> Tensor:
        """[N, styles, style_size]: those of z; from index `cutoff` on, those of `other` (style mixing).

        conditions: int64 [N] where the generator is conditional.
        """
        w = self.mapping(z, conditions)[:, None].expand(-1, self.styles, -1)
        if other is None or cutoff is None:
            return w
        mixed = self.mapping(other, conditions)[:, None]
        return torch.cat([w[:, :cutoff], mixed.expand(-1, self.styles - cutoff, -1)], dim=1)

    def forward(self, styles: Tensor, noise: list[Tensor] | None = None) -> Drawn:
        """styles [N, styles, style_size]; noise: one tensor a convolution (`noise_shapes`), drawn afresh if None."""
        n = len(styles)
        if noise is None:
            noise = [torch.randn(shape, device=styles.device) for shape in self.noise_shapes(n)]
        features = self.start.to(self.dtype).expand(n, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        skip: Tensor | None = None
        index = 0
        for level, head in enumerate(self.heads):
            for _ in range(2 if level else 1):
                features = self.convs[index](features, styles[:, index], noise[index])
                index += 1
            drawn = head(features, styles[:, index])  # shares its index with the next convolution
            skip = drawn if skip is None else drawn + upfirdn2d(skip, self.taps, up=2, padding=(2, 1, 2, 1), gain=4.0)
        return Drawn(*cast(Tensor, skip).split([self.channels, self.classes], dim=1))
