"""Random light and colour for networks that look at photographs: each image its own, labels as they were."""

import math

import torch
from torch import Tensor

from pumpgan.augment.adaptive_colour import colour_maps, recolour

# Most of each at strength 1; drawn evenly between its negative and itself.
BRIGHTNESS = 0.2  # added to images in [-1, 1]
CONTRAST = 0.3  # octaves, about middle grey
HUE = 0.05  # turns
SATURATION = 0.3  # octaves


def jitter(images: Tensor, strength: float = 1.0, *, generator: torch.Generator | None = None) -> Tensor:
    """Images with brightness, contrast and, of RGB, hue and saturation moved at random, image by image.

    images: float [N, 1 or 3, H, W] in [-1, 1]; so is what is returned, clipped, in the same dtype.
    strength: multiplies all four ranges; at 0 `images` themselves are returned, and nothing is drawn.
    generator: of the images' device; None: torch's global one, which a training loop seeds for each step.

    ValueError for other shapes, or a strength that is negative or not finite.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.is_floating_point():
        raise ValueError(f"jitter: images must be float [N, 1 or 3, H, W], got {images.dtype} {list(images.shape)}")
    if not 0 <= strength < math.inf:
        raise ValueError(f"jitter: strength must be at least 0, got {strength}")
    if strength == 0:
        return images
    drawn = torch.rand(4, len(images), generator=generator, device=images.device)
    brightness, contrast, hue, saturation = strength * (2 * drawn - 1)
    colours = colour_maps(
        BRIGHTNESS * brightness,
        CONTRAST * contrast,
        torch.zeros_like(hue),
        2 * math.pi * HUE * hue,
        SATURATION * saturation,
        images.shape[1],
    )
    return recolour(images, colours).clamp_(-1, 1)
