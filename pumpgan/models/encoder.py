"""Encoder of a trained generator: from an image to the styles, one for each layer, with which it draws that image.

ResNet with a feature pyramid; a head for each style reads the level of its own scale. Richardson et al. 2021,
arXiv:2008.00951, as Li et al. 2021, arXiv:2104.05833, use it: trained from scratch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pumpgan.models.generator import Drawn, Generator
from pumpgan.models.layers import EqualLinear

BACKBONES = ("resnet50", "resnet18")
STRIDES = (4, 8, 16, 32)  # of the four stages of a ResNet: pixels between two neighbours of its map
COARSE, MEDIUM = 3, 4  # styles read from the maps of stride 16 and 8; all further ones from that of stride 4
SLOPE = 0.01  # of the heads' LeakyReLU


class Encoder(nn.Module):
    """Images -> styles, `mean` plus what the heads say.

    `mean` is the generator's mean w, so that an untrained encoder begins at the mean image; it stays as it is.
    """

    mean: Tensor

    def __init__(
        self,
        size: tuple[int, int],
        channels: int,
        styles: int,
        style_size: int,
        *,
        backbone: str = "resnet50",
        width: int = 512,
    ):
        """size: (height, width) of the images. width: channels of the pyramid and of the heads.

        ValueError where one of these makes no network; ModuleNotFoundError without torchvision.
        """
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"Encoder: backbone must be one of {', '.join(BACKBONES)}, got {backbone!r}")
        if min(size) < STRIDES[0] or channels not in (1, 3) or min(styles, style_size, width) < 1:
            raise ValueError(
                f"Encoder: sides must be at least {STRIDES[0]}, channels 1 or 3, the rest at least 1, got "
                f"size {size}, channels {channels}, styles {styles}, style_size {style_size}, width {width}"
            )
        import torchvision

        network = getattr(torchvision.models, backbone)(weights=None)
        self.size, self.channels = size, channels
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        self.stages = nn.ModuleList([network.layer1, network.layer2, network.layer3, network.layer4])
        widths = [network.fc.in_features // 2**k for k in (3, 2, 1, 0)]
        self.lateral = nn.ModuleList(nn.Conv2d(w, width, 1) for w in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.levels = levels_of_styles(styles)
        self.heads = nn.ModuleList(head(map_size(size, STRIDES[level]), width, style_size) for level in self.levels)
        self.register_buffer("mean", torch.zeros(style_size))

    @classmethod
    def of(cls, generator: Generator, *, backbone: str = "resnet50", width: int = 512) -> "Encoder":
        """An untrained one that fits this generator."""
        mean = generator.mapping.average
        encoder = cls(
            generator.sizes[-1], generator.channels, generator.styles, len(mean), backbone=backbone, width=width
        )
        encoder.mean.copy_(mean)
        return encoder

    def forward(self, images: Tensor) -> Tensor:
        """images [B, channels, H, W] in [-1, 1] of the encoder's size -> [B, styles, style_size]."""
        if images.ndim != 4 or images.shape[1:] != (self.channels, *self.size):
            wanted = f"[B, {self.channels}, {self.size[0]}, {self.size[1]}]"
            raise ValueError(f"Encoder: images must be {wanted}, got {list(images.shape)}")
        x = self.stem(images.expand(-1, 3, -1, -1))
        stages = []
        for stage in self.stages:
            x = stage(x)
            stages.append(x)
        pyramid = self.pyramid(stages)
        found = [head(pyramid[level]) for head, level in zip(self.heads, self.levels, strict=True)]
        return self.mean + torch.stack(found, dim=1).float()

    def pyramid(self, stages: list[Tensor]) -> list[Tensor]:
        """Maps of stride 4, 8 and 16: each stage's, with what the coarser ones know. Lin et al. 2017,
        arXiv:1612.03144."""
        upper = self.lateral[3](stages[3])
        maps: list[Tensor] = []
        for level in (2, 1, 0):
            lateral = self.lateral[level](stages[level])
            upper = lateral + F.interpolate(upper, size=lateral.shape[2:], mode="nearest")
            maps.insert(0, self.smooth[level](upper))
        return maps


def levels_of_styles(styles: int) -> list[int]:
    """Which map each style is read from, 2 the coarsest: at 64 px and above 3 coarse, 4 medium, the rest fine; below,
    those after the coarse ones are shared out."""
    coarse = min(COARSE, styles)
    medium = min(MEDIUM, (styles - coarse + 1) // 2)
    return [2] * coarse + [1] * medium + [0] * (styles - coarse - medium)


def map_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Of the map that convolutions of this stride in all leave of an image."""
    height, width = size
    return -(-height // stride), -(-width // stride)


def head(size: tuple[int, int], width: int, style_size: int) -> nn.Sequential:
    """Halves a map [B, width, *size] until one place is left, then -> [B, style_size]."""
    layers: list[nn.Module] = []
    while max(size) > 1:
        layers += [nn.Conv2d(width, width, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        size = map_size(size, 2)
    return nn.Sequential(*layers, nn.Flatten(), EqualLinear(width, style_size))


def fixed_noise(generator: Generator, count: int, seed: int, *, like: Tensor) -> list[Tensor]:
    """Noise for `count` images, the same for each, of the dtype and on the device of `like`."""
    source = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(shape, generator=source) for shape in generator.noise_shapes(1)]
    return [n.to(like).expand(count, -1, -1, -1) for n in drawn]


class Redrawer(nn.Module):
    """What a generator makes of images by way of its encoder: a segmenter of the classes that it draws."""

    def __init__(self, generator: Generator, encoder: Encoder, temperature: float):
        """temperature: what label logits are divided by; a SemanticGAN's are trained towards -1 and 1."""
        super().__init__()
        self.generator, self.encoder, self.temperature = generator, encoder, temperature

    def load_generator(self, tensors: dict[str, Tensor]) -> None:
        """A trained generator's weights, and the mean w that the encoder begins at. RuntimeError where they are of
        another configuration."""
        self.generator.load_state_dict(tensors)
        self.encoder.mean.copy_(self.generator.mapping.average)

    def redraw(self, images: Tensor) -> Drawn:
        """images [B, channels, H, W] in [-1, 1]; the generator computes in its own precision, whatever the encoder's.

        Noise is always the same, so that an image's result is.
        """
        styles = self.encoder(images)
        with torch.autocast(images.device.type, enabled=False):
            return self.generator(styles, fixed_noise(self.generator, len(images), 0, like=styles))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, classes, H, W], of which softmax makes probabilities."""
        return self.redraw(images).labels / self.temperature
