"""Image features that need no file: what FID is where no Inception network is at hand, and never called by its name.

A fixed bank of filters over four octaves. It knows edges, textures, colours and where in the image they are, which is
enough to tell blur, noise, a colour cast or a missing kind of image from real ones; it knows nothing of objects.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SEED = 0
OCTAVES, FILTERS = 4, 8
GRID, THUMBNAIL = 2, 4  # cells a side in which detail is averaged, and colour
COLOUR = 2.0  # weight of colours beside logarithms of detail
FLOOR = 0.02  # of detail, where 2 is black to white: about two and a half grey levels
OPPONENT = ((1 / 3, 1 / 3, 1 / 3), (0.5, 0.0, -0.5), (-0.25, 0.5, -0.25))  # luma, red to blue, green to both
FEATURES = OCTAVES * FILTERS * (GRID**2 + 2) + 3 * THUMBNAIL**2


class StandIn(nn.Module):
    """240 features of RGB images: of each octave the logarithm of local detail (mean in 2x2 cells, standard deviation)
    and of the detail of that detail; and 4x4 mean colours. The same numbers on every machine, to rounding."""

    detail: Tensor
    detail_of_detail: Tensor
    opponent: Tensor

    def __init__(self) -> None:
        super().__init__()
        random = np.random.Generator(np.random.PCG64([SEED]))
        self.register_buffer("detail", orthogonal_filters(random, FILTERS, 3))
        self.register_buffer("detail_of_detail", orthogonal_filters(random, FILTERS, FILTERS))
        self.register_buffer("opponent", torch.tensor(OPPONENT)[:, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """float32 [N, 240] of images uint8 [N, 3, H, W], any size."""
        x = F.conv2d(images.float() / 127.5 - 1, self.opponent)
        parts = [COLOUR * F.adaptive_avg_pool2d(x, THUMBNAIL)]
        for _ in range(OCTAVES):
            first = filtered(x, self.detail)
            second = filtered(halved(first), self.detail_of_detail)
            spread = first.flatten(2).std(dim=2, correction=0)
            for energy in (F.adaptive_avg_pool2d(first, GRID), spread, second.mean(dim=(2, 3))):
                parts.append((energy + FLOOR).log())
            x = halved(x)
        return torch.cat([part.flatten(1) for part in parts], dim=1)


def orthogonal_filters(random: np.random.Generator, count: int, channels: int) -> Tensor:
    """[count, channels, 3, 3]: orthonormal, and blind to a constant in any channel."""
    weights = random.standard_normal((count, channels, 9))
    weights -= weights.mean(axis=2, keepdims=True)
    basis, _ = np.linalg.qr(weights.reshape(count, -1).T)
    return torch.from_numpy(basis.T.reshape(count, channels, 3, 3)).float()


def filtered(x: Tensor, weights: Tensor) -> Tensor:
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weights).abs()


def halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True)
