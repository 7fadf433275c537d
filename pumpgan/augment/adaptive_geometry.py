"""The geometry of an adaptive augmentation: eight transforms composed to one affine map, and one warp by it.

Karras et al. 2020, arXiv:2006.06676, appendix B.2. An affine map takes a pixel of the result to its place in the image,
both in pixels from the centre. Every distribution here holds a transform as often as its inverse, so the maps are drawn
in that direction.

The warp works on twice the pixels, where bilinear interpolation blurs little. The paper doubles and halves with the
wavelet sym6, whose taps are not symmetric: a picture doubled, turned by half and halved is 11 % off. The filters here
are symmetric, so mirror images, quarter turns and mirrored borders are exact; halving undoes doubling all the same.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pumpgan.ops import affine_sample, upfirdn2d

LARGEST_WHOLE_SHIFT = 0.125  # of width or height
FRACTIONAL_SHIFT_STD = 0.125  # of width or height
SCALE_STD = 0.2  # octaves, of both the scale and the stretch
TAPS = 12
CUTOFF, KAISER_BETA = 1.15, 2.0  # of the doubling filter; its power at half the doubled bandwidth is near one half


def draw(n: int, size: tuple[int, int], p: Tensor, *, blit: bool, geom: bool) -> Tensor:
    """[n, 2, 3] maps, float32 on the device of p, for images of size (height, width)."""
    height, width = size
    maps = []
    if blit:
        mirrored, turned, shifted = (torch.rand(3, n, device=p.device) < p).float().unbind()
        mirror, turn, across, down = torch.rand(4, n, device=p.device).unbind()
        across, down = ((2 * by - 1) * LARGEST_WHOLE_SHIFT * shifted for by in (across, down))
        shift = torch.stack([across * width, down * height], dim=1).round()
        maps.append(blit_maps(mirrored * (2 * mirror).floor(), turned * (4 * turn).floor(), shift))
    if geom:
        scaled, stretched, shifted = (torch.rand(3, n, device=p.device) < p).float().unbind()
        rotated = (torch.rand(2, n, device=p.device) < 1 - (1 - p).clamp(min=0).sqrt()).float()
        first, second = ((2 * torch.rand(2, n, device=p.device) - 1) * math.pi * rotated).unbind()
        scale, stretch, across, down = torch.randn(4, n, device=p.device).unbind()
        across, down = (by * FRACTIONAL_SHIFT_STD * shifted for by in (across, down))
        shift = torch.stack([across * width, down * height], dim=1)
        maps.append(geom_maps(scale * SCALE_STD * scaled, first, stretch * SCALE_STD * stretched, second, shift))
    return maps[0] if len(maps) == 1 else composed(*maps)


def blit_maps(mirror: Tensor, turns: Tensor, shift: Tensor) -> Tensor:
    """[n, 2, 3] of a mirror across the vertical axis (0 or 1, [n]), quarter turns ([n]), a shift ([n, 2] pixels)."""
    turn = _rotations(turns * (math.pi / 2)).round()  # the sine of pi is not quite 0
    linear = torch.stack([1 - 2 * mirror, torch.ones_like(mirror)], dim=1)[:, :, None] * turn
    return torch.cat([linear, _product(linear, shift[:, :, None])], dim=2)


def geom_maps(scale: Tensor, first: Tensor, stretch: Tensor, second: Tensor, shift: Tensor) -> Tensor:
    """[n, 2, 3] of a scale (octaves, [n]), a rotation (radians), a stretch of width against height (octaves; the area
    stays), another rotation, and a shift ([n, 2] pixels)."""
    scales = torch.stack([scale + stretch, scale - stretch], dim=1).exp2()
    before, after = _rotations(torch.stack([first, second])).unbind()
    linear = _product(before * scales[:, None, :], after)
    return torch.cat([linear, _product(linear, shift[:, :, None])], dim=2)


def composed(image: Tensor, result: Tensor) -> Tensor:
    """[n, 2, 3] of two transforms, `image` the first that the image undergoes and `result` the second."""
    both = _product(image[:, :, :2], result)
    return torch.cat([both[:, :, :2], both[:, :, 2:] + image[:, :, 2:]], dim=2)


def warp(x: Tensor, matrices: Tensor) -> Tensor:
    """x [N, C, H, W], float32 or float64, seen through the affine maps [N, 2, 3]; mirrored beyond its borders."""
    _, _, h, w = x.shape
    doubling, halving = _resampling_taps(x.dtype, x.device)
    reach = TAPS // 4  # pixels that a doubled one looks past its own
    doubled = upfirdn2d(mirrored(x, reach), doubling, up=2, padding=(0, -1, 0, -1))  # [N, C, 2 H, 2 W]
    margin = TAPS - 2  # in all, of the doubled pixels that the outermost of the halved ones look at
    matrices = matrices.to(x.dtype)
    matrices = torch.cat([matrices[:, :, :2], 2 * matrices[:, :, 2:]], dim=2)
    return upfirdn2d(affine_sample(doubled, matrices, (2 * h + margin, 2 * w + margin)), halving, down=2)


def mirrored(x: Tensor, margin: int) -> Tensor:
    """x [..., H, W] and `margin` >= 0 pixels more on each side, mirrored at the border as often as it takes."""
    for axis in (-2, -1):
        left = margin
        while left:
            step = min(left, x.shape[axis])
            first, last = x.narrow(axis, 0, step), x.narrow(axis, x.shape[axis] - step, step)
            x = torch.cat([first.flip(axis), x, last.flip(axis)], dim=axis)
            left -= step
    return x


def resampling_filters() -> tuple[np.ndarray, np.ndarray]:
    """Taps [12] to double and to halve: a windowed sinc, and of all filters that undo it the nearest to its half.

    Each doubled pixel sits a quarter of a pixel beside an old one, so both are symmetric about the middle of 12 taps.
    Undone: the halving filter's product with the doubling one is 1 in place and 0 at every other even distance.
    """
    place = np.arange(TAPS) - (TAPS - 1) / 2
    doubling = np.sinc(CUTOFF * place / 2) * np.kaiser(TAPS, KAISER_BETA)
    doubling *= 2 / doubling.sum()
    reach = TAPS // 2 - 1
    moved = np.stack([np.roll(np.pad(doubling, TAPS), 2 * k)[TAPS:-TAPS] for k in range(-reach, reach + 1)])
    wanted = np.eye(2 * reach + 1)[reach]
    halving = doubling / 2 + np.linalg.lstsq(moved, wanted - moved @ doubling / 2, rcond=None)[0]
    return doubling, halving


@lru_cache
def _resampling_taps(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    doubling, halving = (torch.from_numpy(taps).to(device, dtype) for taps in resampling_filters())
    return doubling, halving


def _rotations(angles: Tensor) -> Tensor:
    """[..., 2, 2] of angles [...] in radians."""
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b of small matrices, in full float32 even where torch is told to multiply matrices faster."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(dim=-2)
