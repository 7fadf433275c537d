"""What an adaptive augmentation does to an image as a signal: octave bands made louder or softer, noise, a hole.

Karras et al. 2020, arXiv:2006.06676, appendices B.4 (filter) and B.5 (noise, cutout).
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

BANDS = 4  # of frequencies up to 1/8, 1/4, 1/2 and all of the highest
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of an ordinary image in each band, so that gains keep the sum
NOISE_STD = 0.1  # of the noise's own standard deviation, for images in [-1, 1]
HOLE = 0.5  # of width and height
# Of the wavelet sym2 and its mirror image one after the other; half of the highest frequency stays at half.
HALF_BAND = np.array([-1, 0, 9, 16, 9, 0, -1]) / 32


def draw_gains(n: int, p: Tensor) -> Tensor:
    """[n, 4], float32 on the device of p. Each band is on by itself."""
    on = torch.rand(n, BANDS, device=p.device) < p
    return balanced_gains(on * torch.randn(n, BANDS, device=p.device))


def balanced_gains(octaves: Tensor) -> Tensor:
    """[n, 4] of bands raised by octaves [n, 4] one after the other, the power of an ordinary image restored each time.

    After gain g of one band of power share P the power is 1 + P (g^2 - 1).
    """
    gains = octaves.exp2()
    powers = [1 + power * (gain.square() - 1) for gain, power in zip(gains.unbind(dim=1), POWER, strict=True)]
    return gains * torch.stack(powers, dim=1).prod(dim=1, keepdim=True).rsqrt()


def draw_noise(shape: tuple[int, int, int, int], p: Tensor) -> Tensor:
    """[N, C, H, W] on the device of p, its standard deviation the magnitude of a Gaussian, sample by sample."""
    n = shape[0]
    std = (torch.rand(n, device=p.device) < p) * torch.randn(n, device=p.device).abs() * NOISE_STD
    return std[:, None, None, None] * torch.randn(shape, device=p.device)


def draw_kept(n: int, size: tuple[int, int], p: Tensor) -> Tensor:
    """[n, 1, H, W] on the device of p: 0 in a rectangle of half of width and height, its centre anywhere, else 1."""
    on = (torch.rand(n, 1, device=p.device) < p).float()
    far = [
        (_places(side, p.device) - torch.rand(n, 1, device=p.device)).abs() >= on * HOLE / 2 for side in size
    ]  # [n, H], [n, W]
    return (far[0][:, None, :, None] | far[1][:, None, None, :]).float()


def filtered(x: Tensor, gains: Tensor) -> Tensor:
    """x [N, C, H, W] with its octave bands scaled along rows and along columns; mirrored beyond its borders.

    A filter along an axis is a matrix, the sum of its bands' matrices: two products, any reach, no padding.
    """
    gains = gains.to(x.dtype)
    down, across = (
        (gains @ _band_matrices(side, x.dtype, x.device).flatten(1)).unflatten(1, (side, side)) for side in x.shape[2:]
    )
    return torch.einsum("nih,nchw,njw->ncij", down, x, across)


def band_taps() -> np.ndarray:
    """[4, 43], low to high: what each band keeps. Symmetric; together they keep everything.

    The half-band filter splits off the upper octave; spread out twofold, it splits the rest again, and once more.
    """
    bands, rest = [], np.ones(1)
    for octave in range(BANDS - 1):
        low = np.zeros((len(HALF_BAND) - 1) * 2**octave + 1)
        low[:: 2**octave] = HALF_BAND
        high = -low
        high[len(low) // 2] += 1
        bands.append(np.convolve(rest, high))
        rest = np.convolve(rest, low)
    bands.append(rest)
    return np.stack([np.pad(band, (len(rest) - len(band)) // 2) for band in reversed(bands)])


@lru_cache
def _band_matrices(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[4, side, side] of the bands along an axis that is mirrored at both ends without end."""
    taps = band_taps()
    reach = taps.shape[1] // 2
    turn = (np.arange(side)[:, None] + np.arange(-reach, reach + 1)) % (2 * side)
    shown = np.minimum(turn, 2 * side - 1 - turn)
    matrices = np.zeros((BANDS, side, side))
    for matrix, band in zip(matrices, taps, strict=True):
        np.add.at(matrix, (np.arange(side)[:, None], shown), band)
    return torch.from_numpy(matrices).to(device, dtype)


def _places(side: int, device: torch.device) -> Tensor:
    """Of pixel centres along an axis, 0 to 1."""
    return (torch.arange(side, device=device) + 0.5) / side
