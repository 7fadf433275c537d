"""Latent refinement: the styles and noise with which a generator draws a given image, found by descent on the image.

The labels come with the image. Li et al. 2021, arXiv:2104.05833; noise terms: Karras et al. 2020, arXiv:1912.04958,
appendix D. All terms are summed over the batch, so an image's result does not depend on its company.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pumpgan.models.encoder import Encoder, fixed_noise
from pumpgan.models.generator import Drawn, Generator
from pumpgan.models.perceptual import Perceptual

STEPS = 100
RAMP_UP, RAMP_DOWN = 0.05, 0.25  # parts of the steps in which the rate rises and falls
PIXELS = 0.1  # weight of the squared error beside LPIPS of weight 1; without LPIPS it is 1
NOISE = 100.0  # of the noise's autocorrelation
SMALLEST_NOISE = 8  # pixels: the coarsest level at which noise is kept from having structure


class Descent(NamedTuple):
    rate: float  # Adam's
    pull: float  # weight of the styles' squared distance: to what the encoder sees in the drawn image; to the mean w


# By start, as published; and where squared error stands alone, which says little of a face's small parts: there a weak
# pull lets the image come closest while its labels fall apart (docs/downstream.md).
PUBLISHED = {"encoder": Descent(0.1, 1e-3), "mean": Descent(0.1, 0.01)}
PIXELS_ALONE = {"encoder": Descent(0.02, 0.3), "mean": Descent(0.1, 0.1)}
STARTS = tuple(PUBLISHED)


class Refined(NamedTuple):
    styles: Tensor  # [B, styles, style_size]
    noise: list[Tensor]  # [B, 1, h, w], one a convolution
    drawn: Drawn  # with these
    losses: Tensor  # [steps + 1, B]: how unlike the images the drawn ones were before each step, and in the end


def refine(
    generator: Generator,
    encoder: Encoder,
    images: Tensor,
    *,
    perceptual: Perceptual | None = None,
    steps: int = STEPS,
    rate: float | None = None,
    start: str = "encoder",
    seed: int = 0,
) -> Refined:
    """Descends from the encoder's styles (start "mean": from the generator's mean w) and from noise that `seed` names,
    the same for every image.

    images: [B, channels, H, W] in [-1, 1], as the generator draws them. perceptual: None leaves LPIPS out. rate: of
    Adam; None: what suits start and loss. Both networks stay as they are; ValueError where the encoder is in training
    mode, in which its result depends on the batch.
    """
    if start not in STARTS:
        raise ValueError(f"refine: start must be one of {', '.join(STARTS)}, got {start!r}")
    suited = (PUBLISHED if perceptual else PIXELS_ALONE)[start]
    rate = suited.rate if rate is None else rate
    if steps < 0 or not 0 < rate < math.inf:
        raise ValueError(f"refine: steps must be at least 0 and rate above 0, got {steps} and {rate}")
    if encoder.training:
        raise ValueError("refine: the encoder must be in evaluation mode")
    mean = generator.mapping.average
    with torch.no_grad():
        first = encoder(images) if start == "encoder" else mean.expand(len(images), generator.styles, -1)
        wanted = perceptual.features(images) if perceptual else []
    styles = first.detach().clone().requires_grad_(True)
    noise = [normalised(n).requires_grad_(True) for n in fixed_noise(generator, len(images), seed, like=images)]
    optimizer = torch.optim.Adam([styles, *noise], lr=rate)
    losses = []

    def unlike(drawn: Tensor) -> Tensor:
        error = (drawn - images).square().mean(dim=(1, 2, 3))
        return perceptual.distance(perceptual.features(drawn), wanted) + PIXELS * error if perceptual else error

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * ramp(step / steps)
        drawn = generator(styles, noise)
        loss = unlike(drawn.images)
        losses.append(loss.detach())
        away = styles - (encoder(drawn.images) if start == "encoder" else mean)
        total = loss + suited.pull * away.square().mean(dim=(1, 2)) + NOISE * sum(map(autocorrelation, noise))
        # Gradients of these alone: the networks' weights keep theirs, if any.
        inputs = [styles, *noise]
        for tensor, grad in zip(inputs, torch.autograd.grad(total.sum(), inputs), strict=True):
            tensor.grad = grad
        optimizer.step()
        with torch.no_grad():
            for n in noise:
                n.copy_(normalised(n))
    styles, noise = styles.detach(), [n.detach() for n in noise]
    with torch.no_grad():
        drawn = generator(styles, noise)
        losses.append(unlike(drawn.images))
    return Refined(styles, noise, drawn, torch.stack(losses))


def ramp(done: float) -> float:
    """Part of the rate when this part of the steps is done: up linearly, down as half a cosine."""
    down = min(1.0, (1 - done) / RAMP_DOWN)
    return min(1.0, done / RAMP_UP) * (0.5 - 0.5 * math.cos(math.pi * down))


def normalised(noise: Tensor) -> Tensor:
    """Each map [B, 1, h, w] with mean 0 and variance 1."""
    deviation, mean = torch.std_mean(noise, dim=(1, 2, 3), correction=0, keepdim=True)
    return (noise - mean) / deviation


def autocorrelation(noise: Tensor) -> Tensor:
    """[B]: squared correlation of a map [B, 1, h, w] with itself moved by a pixel, over both axes and all halvings."""
    total = torch.zeros(len(noise), dtype=noise.dtype, device=noise.device)
    while True:
        for axis in (2, 3):
            total = total + (noise * noise.roll(1, dims=axis)).mean(dim=(1, 2, 3)).square()
        if min(noise.shape[2:]) <= SMALLEST_NOISE:
            return total
        noise = 2 * F.avg_pool2d(noise, 2)  # twice the mean of four keeps its variance
