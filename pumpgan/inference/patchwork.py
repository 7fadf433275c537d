"""From a photograph of any size to images of a run's size, and back to its own pixels what a network says of them.

Either the whole photograph becomes one image, or it is cut into overlapping squares that become one each. What is said
of its pixels comes in bands of rows, so that many megapixels times many classes need never be held at once.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pumpgan.data.importers.crops import canvas_around, letterbox, resize
from pumpgan.data.importers.photograph import Pixels

Size = tuple[int, int]  # height, width
Ask = Callable[[Tensor], Tensor]  # images uint8 [N, C, h, w] -> what is said of their pixels, float [N, K, h, w]
Band = tuple[int, Tensor]  # its first row, and float [K, rows, W]

BAND_PIXELS = 2**20
OVERLAP = 4  # a square shares at least one fourth of its side with the next


def as_images(pixels: list[Pixels]) -> Tensor:
    """uint8 [H, W] or [H, W, 3] each, of one size -> uint8 [N, C, H, W]."""
    images = torch.from_numpy(np.stack(pixels))
    return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()


def brought_to(pixels: Pixels, size: Size) -> Pixels:
    """A whole photograph as `data import` brings it to a size: mirrored beyond its edges to that aspect, resized."""
    return resize(letterbox(pixels, size), size, Image.Resampling.LANCZOS)


def brought_back(answer: Tensor, size: Size) -> Iterator[Band]:
    """What was said of `brought_to` a photograph, float [K, h, w], at the photograph's own `size`, bilinearly."""
    height, width = size
    canvas = canvas_around(size, (answer.shape[1], answer.shape[2]))
    top, left = (canvas[0] - height) // 2, (canvas[1] - width) // 2
    if canvas < tuple(answer.shape[1:]):
        answer = resized(answer[None], canvas)[0]  # so that sampling leaves nothing out
    across = (torch.arange(width) + left + 0.5) * (2 / canvas[1]) - 1
    rows = max(1, BAND_PIXELS // width)
    for first in range(0, height, rows):
        last = min(height, first + rows)
        down = (torch.arange(first, last) + top + 0.5) * (2 / canvas[0]) - 1
        grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)[None]
        band = F.grid_sample(answer[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
        yield first, band[0]


def by_tiles(pixels: Pixels, side: int, size: Size, ask: Ask) -> Iterator[Band]:
    """What `ask` says of a photograph [H, W] or [H, W, 3] cut into squares of `side` pixels, each resized to `size`.

    Squares are as small as the photograph where that is smaller, as crops are at import. Where squares overlap, what
    is said of a pixel is averaged, with a weight that falls towards their edges: there they see least around it.
    """
    height, width = pixels.shape[:2]
    side = min(side, height, width)
    tops, lefts = places(height, side), places(width, side)
    towards_edge = torch.arange(side).minimum(torch.arange(side).flip(0)) + 1
    ramp = (towards_edge / (side // OVERLAP + 1)).clamp(max=1)
    weight = ramp[:, None] * ramp
    total, weights = torch.zeros(0), torch.zeros(side, width)
    for top, below in zip(tops, [*tops[1:], height], strict=True):
        cuts = [pixels[top : top + side, left : left + side] for left in lefts]
        answers = ask(as_images([resize(cut, size, Image.Resampling.LANCZOS) for cut in cuts]))
        if not len(total):
            total = torch.zeros(answers.shape[1], side, width)
        for left, answer in zip(lefts, answers, strict=True):
            total[:, :, left : left + side] += weight * resized(answer[None], (side, side))[0]
            weights[:, left : left + side] += weight
        done = below - top
        yield top, total[:, :done] / weights[:done]
        total = torch.cat([total[:, done:], torch.zeros_like(total[:, :done])], dim=1)
        weights = torch.cat([weights[done:], torch.zeros_like(weights[:done])])


def places(length: int, side: int) -> list[int]:
    """Where squares begin along `length` pixels: the fewest that overlap by a fourth, evenly from end to end."""
    steps = -(-(length - side) // (side - side // OVERLAP))
    return [i * (length - side) // steps for i in range(steps + 1)] if steps else [0]


def resized(answers: Tensor, size: Size) -> Tensor:
    if tuple(answers.shape[2:]) == size:
        return answers
    return F.interpolate(answers, size, mode="bilinear", antialias=True, align_corners=False)
