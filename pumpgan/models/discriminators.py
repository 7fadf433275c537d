"""Two judges: one of images alone, for StyleGAN2-ADA and SemanticGAN; one of images and labels together.

Image: StyleGAN2's residual discriminator, arXiv:1912.04958. Labels: three PatchGANs at three scales, Wang et al. 2018,
arXiv:1711.11585, as in Li et al. 2021, arXiv:2104.05833.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from pumpgan.models.generator import Widths, levels, nominal_resolution
from pumpgan.models.layers import EqualConv2d, EqualLinear, Mapping, MinibatchStd


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = EqualConv2d(inputs, inputs, 3)
        self.second = EqualConv2d(inputs, outputs, 3, down=2)
        self.skip = EqualConv2d(inputs, outputs, 1, down=2, bias=False, slope=1.0)

    def forward(self, x: Tensor) -> Tensor:
        half = math.sqrt(0.5)
        return self.skip(x, gain=half) + self.second(self.first(x), gain=half)


class ImageDiscriminator(nn.Module):
    """[N, channels, H, W] -> [N] logits, high for real. `dtype` is what all but the last layers compute in.

    With conditions (their number; image labels) the logit is the last features' product with an embedding of the
    sample's condition: Miyato and Koyama 2018, arXiv:1802.05637, as in Karras et al. 2020, arXiv:2006.06676.
    """

    MAPPING_DEPTH = 8

    def __init__(self, size: tuple[int, int], channels: int, *, widths: Widths, conditions: int = 0):
        super().__init__()
        self.dtype = torch.float32
        sizes = levels(size)
        at = [widths(nominal_resolution(level)) for level in range(len(sizes))]
        self.from_image = EqualConv2d(channels, at[-1], 1)
        self.blocks = nn.Sequential(
            *(ResidualBlock(at[level], at[level - 1]) for level in range(len(sizes) - 1, 0, -1))
        )
        self.deviation = MinibatchStd()
        self.conv = EqualConv2d(at[0] + 1, at[0], 3)
        self.hidden = EqualLinear(at[0] * sizes[0][0] * sizes[0][1], at[0], slope=0.2)
        self.score = EqualLinear(at[0], at[0] if conditions else 1)
        self.mapping = Mapping(0, at[0], self.MAPPING_DEPTH, conditions=conditions) if conditions else None

    def forward(self, images: Tensor, sets: int = 1, conditions: Tensor | None = None) -> Tensor:
        """images may hold `sets` batches of equal size, one after the other; no score depends on another set.

        conditions: int64 [N] where the discriminator is conditional.
        """
        return self.logits(self.deviation(self.features(images), sets), conditions)

    def features(self, images: Tensor) -> Tensor:
        """[N, channels, H, W] -> [N, features, h, w], of each image by itself."""
        x = images.to(self.dtype).contiguous(memory_format=torch.channels_last)
        return self.blocks(self.from_image(x)).to(self.score.weight.dtype)  # the last layers are wide

    def logits(self, features: Tensor, conditions: Tensor | None = None) -> Tensor:
        """[N] of features [N, features + 1, h, w], the last channel of which says how unlike each other samples are."""
        score = self.score(self.hidden(self.conv(features.contiguous()).flatten(1)))
        if self.mapping is None:
            return score.squeeze(1)
        return (score * self.mapping(None, conditions)).sum(dim=1) / math.sqrt(score.shape[1])


class Judged(NamedTuple):
    scores: list[Tensor]  # one a scale: [N, 1, h, w], high for real
    features: list[list[Tensor]]  # one list a scale: what each layer but the last put out


class PatchDiscriminator(nn.Module):
    """Convolutions of 4x4 whose outputs each see one patch; all are returned, for feature matching."""

    def __init__(self, inputs: int, base: int):
        super().__init__()
        plan = [(inputs, base, 2), (base, 2 * base, 2), (2 * base, 4 * base, 2), (4 * base, 8 * base, 1)]
        self.layers = nn.ModuleList()
        for index, (i, o, stride) in enumerate(plan):
            if index == 0:
                self.layers.append(nn.Conv2d(i, o, 4, stride, padding=2))
            else:
                conv = spectral_norm(nn.Conv2d(i, o, 4, stride, padding=2, bias=False))
                self.layers.append(nn.Sequential(conv, nn.InstanceNorm2d(o)))
        self.score = nn.Conv2d(8 * base, 1, 4, 1, padding=2)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.score(x), features


class LabelDiscriminator(nn.Module):
    """Image and labels, real or drawn, judged patch by patch at full, half and quarter size."""

    SCALES = 3

    def __init__(self, channels: int, classes: int, *, base: int):
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(channels + classes, base) for _ in range(self.SCALES))

    def forward(self, images: Tensor, labels: Tensor) -> Judged:
        """images [N, channels, R, R]; labels [N, classes, R, R]: logits, or one-hot in {-1, 1} (`signed_one_hot`)."""
        x = torch.cat([images, labels], dim=1)
        judged = []
        for index, scale in enumerate(self.scales):
            if index:
                x = F.avg_pool2d(x, 3, 2, padding=1, count_include_pad=False)
            judged.append(scale(x))
        return Judged([score for score, _ in judged], [features for _, features in judged])


def signed_one_hot(labels: Tensor, classes: int) -> Tensor:
    """[N, H, W] class ids -> [N, classes, H, W] float32, 1 at the pixel's class and -1 elsewhere."""
    hot = torch.full((len(labels), classes, *labels.shape[1:]), -1.0, device=labels.device)
    return hot.scatter_(1, labels[:, None].long(), 1.0)
