"""The colours of an adaptive augmentation: five transforms composed to one affine map of a pixel's channels.

Karras et al. 2020, arXiv:2006.06676, appendix B.3. All five act apart on a pixel's luma, its part along (1, 1, 1), and
on its chroma, the plane across: brightness b moves the luma, contrast k scales both, the luma flip f = +-1 mirrors the
luma, hue t turns the chroma and saturation s scales it. So their product is known without multiplying:

    y = k (f (L x + b 1) + s (cos t (I - L) + sin t A) x),    L = 1 1^T / 3,    A = the turn by a quarter about 1
"""

import math

import torch
from torch import Tensor

BRIGHTNESS_STD = 0.2  # of images in [-1, 1]
CONTRAST_STD = 0.5  # octaves
SATURATION_STD = 1.0  # octaves


def draw(n: int, channels: int, p: Tensor) -> Tensor:
    """[n, channels, channels + 1], float32 on the device of p: a matrix and a constant."""
    brightened, contrasted, flipped, turned, saturated = (torch.rand(5, n, device=p.device) < p).float().unbind()
    flip, hue = torch.rand(2, n, device=p.device).unbind()
    brightness, contrast, saturation = torch.randn(3, n, device=p.device).unbind()
    return colour_maps(
        BRIGHTNESS_STD * brightened * brightness,
        CONTRAST_STD * contrasted * contrast,
        flipped * (2 * flip).floor(),
        math.pi * turned * (2 * hue - 1),
        SATURATION_STD * saturated * saturation,
        channels,
    )


def colour_maps(
    brightness: Tensor, contrast: Tensor, flip: Tensor, hue: Tensor, saturation: Tensor, channels: int
) -> Tensor:
    """[n, channels, channels + 1] of five transforms, [n] each: added, octaves, 0 or 1, radians, octaves.

    One channel is luma alone: hue and saturation leave it.
    """
    luma = contrast.exp2() * (1 - 2 * flip)
    constant = luma * brightness
    if channels == 1:
        return torch.stack([luma, constant], dim=1)[:, None]
    chroma = (contrast + saturation).exp2()
    cos, sin = chroma * hue.cos(), chroma * hue.sin() / math.sqrt(3)
    # The axis (1, 1, 1) favours no channel: each row of the matrix is the one above, moved on by one.
    own, ahead, behind = (luma + 2 * cos) / 3, (luma - cos) / 3 - sin, (luma - cos) / 3 + sin
    rows = [own, ahead, behind, constant, behind, own, ahead, constant, ahead, behind, own, constant]
    return torch.stack(rows, dim=1).unflatten(1, (3, 4))


def recolour(x: Tensor, colours: Tensor) -> Tensor:
    """x [N, C, H, W] with each pixel's channels sent through colours [N, C, C + 1]."""
    colours = colours.to(x.dtype)
    if x.shape[1] == 1:
        return x * colours[:, :, :1, None] + colours[:, :, 1:, None]
    return torch.baddbmm(colours[:, :, 3:], colours[:, :, :3], x.flatten(2)).unflatten(2, x.shape[2:])
