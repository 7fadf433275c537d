"""Adaptive discriminator augmentation: what the discriminators see, real and drawn alike, is changed at random.

Karras et al. 2020, arXiv:2006.06676, appendix B. A transform that is on with probability p, the same for real and
drawn images, does not leak into what the generator draws while p stays below about 0.8: who matches the changed images
has matched the unchanged ones.

A pipe names kinds of transforms, sixteen in all, composed before a pixel is touched:

    blit    mirror, quarter turns, whole-pixel shift          \\ one affine warp          adaptive_geometry
    geom    scale, rotation, stretch, rotation, shift         /
    color   brightness, contrast, luma flip, hue, saturation    one matrix               adaptive_colour
    filter  gains of four octave bands                          two matrix products      adaptive_signal
    noise   Gaussian                                            one sum
    cutout  a grey rectangle                                    one product
"""

from typing import NamedTuple, overload

import torch
from torch import Tensor

from pumpgan.augment import adaptive_colour, adaptive_geometry, adaptive_signal

KINDS = ("blit", "geom", "color", "filter", "noise", "cutout")
PIPES = {kind: (kind,) for kind in KINDS} | {
    "bg": KINDS[:2],
    "bgc": KINDS[:3],
    "bgcf": KINDS[:4],
    "bgcfn": KINDS[:5],
    "bgcfnc": KINDS,
}


class Transforms(NamedTuple):
    """What `draw` decided for each sample of a batch; None for what the pipe lacks. float32, the shapes static."""

    shape: tuple[int, int, int, int]  # of the images: N, C, H, W
    matrices: Tensor | None  # [N, 2, 3] a pixel of the result -> its place in the image, both from the centre
    colours: Tensor | None  # [N, C, C + 1] affine in the channels
    gains: Tensor | None  # [N, 4] of the octave bands, low to high
    noise: Tensor | None  # [N, C, H, W] to add
    kept: Tensor | None  # [N, 1, H, W] 0 where cut out, else 1


def draw(
    pipe: str, n: int, size: tuple[int, int], channels: int, p: Tensor, *, device: torch.device | str
) -> Transforms:
    """Draws the transforms of `n` images from torch's global generator of `device`.

    pipe: one of PIPES. size: (height, width). channels: 1 or 3.
    p: [] on `device`, probability 0 to 1 of each transform, sample by sample; above 1 it acts as 1. Of the two
        rotations each has 1 - sqrt(1 - p), so that one or both are on with p.

    Never waits for the device, and no shape depends on what is drawn. ValueError names what does not fit.
    """
    if pipe not in PIPES:
        raise ValueError(f"draw: pipe must be one of {', '.join(PIPES)}, got {pipe!r}")
    if channels not in (1, 3):
        raise ValueError(f"draw: channels must be 1 or 3, got {channels}")
    if n < 0 or min(size) < 1:
        raise ValueError(f"draw: n must be at least 0 and size at least 1 x 1, got {n} and {size}")
    if p.ndim != 0 or p.device.type != torch.device(device).type:
        raise ValueError(f"draw: p must be a scalar tensor on {device}, got {list(p.shape)} on {p.device}")
    kinds, shape, p = PIPES[pipe], (n, channels, *size), p.detach()
    blit, geom = "blit" in kinds, "geom" in kinds
    return Transforms(
        shape,
        adaptive_geometry.draw(n, size, p, blit=blit, geom=geom) if blit or geom else None,
        adaptive_colour.draw(n, channels, p) if "color" in kinds else None,
        adaptive_signal.draw_gains(n, p) if "filter" in kinds else None,
        adaptive_signal.draw_noise(shape, p) if "noise" in kinds else None,
        adaptive_signal.draw_kept(n, size, p) if "cutout" in kinds else None,
    )


@overload
def apply(transforms: Transforms, images: Tensor) -> Tensor: ...
@overload
def apply(transforms: Transforms, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]: ...
def apply(transforms: Transforms, images: Tensor, labels: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
    """Returns `images` as the transforms change them, in float32 (float64 stays); `labels` beside them if given.

    images: [N, C, H, W] in [-1, 1], as drawn for. Grey is 0.
    labels: [N, K, H, W] logits, or one-hot in {-1, 1}. What moves or hides pixels does the same to their labels: the
        warp, and the cutout, which leaves 0, no class at all. (Labels without their pixels would ask a discriminator
        to judge a match that it cannot see.) Colour, filter and noise leave labels alone.

    Linear in images and labels up to the constants of colour and noise, so differentiable in both to any order.
    ValueError where they are not what the transforms were drawn for.
    """
    _check(transforms, images, labels)
    channels = images.shape[1]
    x = _wide(images)
    y = None if labels is None else _wide(labels)
    if transforms.matrices is not None:
        if y is None:
            x = adaptive_geometry.warp(x, transforms.matrices)
        else:
            x, y = adaptive_geometry.warp(torch.cat([x, y], dim=1), transforms.matrices).split(
                [channels, y.shape[1]], dim=1
            )
    if transforms.colours is not None:
        x = adaptive_colour.recolour(x, transforms.colours)
    if transforms.gains is not None:
        x = adaptive_signal.filtered(x, transforms.gains)
    if transforms.noise is not None:
        x = x + transforms.noise
    if transforms.kept is not None:
        x, y = x * transforms.kept, None if y is None else y * transforms.kept
    return x if y is None else (x, y)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _check(transforms: Transforms, images: Tensor, labels: Tensor | None) -> None:
    if images.shape != transforms.shape:
        raise ValueError(f"apply: images must be {list(transforms.shape)} as drawn for, got {list(images.shape)}")
    if labels is None:
        return
    n, _, h, w = transforms.shape
    if labels.ndim != 4 or (labels.shape[0], *labels.shape[2:]) != (n, h, w):
        raise ValueError(f"apply: labels must be [{n}, K, {h}, {w}] beside their images, got {list(labels.shape)}")
    if labels.device != images.device or _wide(labels).dtype != _wide(images).dtype:
        raise ValueError(
            f"apply: labels must be as wide as the images and beside them, got {labels.dtype} on {labels.device} "
            f"for {images.dtype} on {images.device}"
        )
