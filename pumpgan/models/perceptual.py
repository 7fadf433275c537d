"""How alike two images look: LPIPS, the distance between features of VGG-16, weighed as people judge.

Zhang et al. 2018, arXiv:1801.03924, version 0.1. Nothing is downloaded: the weights of VGG-16 come from a file, those
of the features from the package lpips.
"""

import importlib.util
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pumpgan.models.weights import read_weights

NONE = "none"
EXPECTED = "--perceptual takes torchvision's vgg16-*.pth, or the same tensors as .safetensors"
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # channels of VGG-16's convolutions
SMALLEST_SIDE = 2 ** (len(BLOCKS) - 1)  # pixels that leave one place in the last block
# Version 0.1's scaling of images in [-1, 1], close to that of the images which VGG-16 learnt from.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
SMALLEST_LENGTH = 1e-10  # of a place's features, which are divided by it


class Perceptual(nn.Module):
    """LPIPS of images in [-1, 1]. The weights are fixed; gradients reach the images."""

    shift: Tensor
    scale: Tensor

    def __init__(self, state: dict[str, Tensor], weights: list[Tensor]):
        """state: torchvision's tensors of VGG-16, of which those named `features` count. weights: of the channels of
        each block, not negative. ValueError where the state is of another network."""
        super().__init__()
        blocks: list[nn.Sequential] = []
        inputs = 3
        with torch.device("meta"):
            for number, outputs in enumerate(BLOCKS):
                layers: list[nn.Module] = [nn.MaxPool2d(2)] if number else []
                for a, b in pairwise((inputs, *outputs)):
                    layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()]
                blocks.append(nn.Sequential(*layers))
                inputs = outputs[-1]
        for number, layer in enumerate(layer for block in blocks for layer in block):  # as torchvision numbers them
            if isinstance(layer, nn.Conv2d):
                for own in ("weight", "bias"):
                    name, shape = f"features.{number}.{own}", getattr(layer, own).shape
                    if name not in state or state[name].shape != shape:
                        found = list(state[name].shape) if name in state else "not there"
                        raise ValueError(f"is not VGG-16: {name} must be {list(shape)}, is {found}")
                    setattr(layer, own, nn.Parameter(state[name].float()))
        self.blocks = nn.ModuleList(blocks)
        for number, weight in enumerate(weights):
            self.register_buffer(f"weight{number}", weight.float().reshape(1, BLOCKS[number][-1], 1, 1))
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])
        self.requires_grad_(False).eval()

    def features(self, images: Tensor) -> list[Tensor]:
        """Of each block, for images [B, 1 or 3, H, W] in [-1, 1] (grey becomes RGB): every place's of length 1."""
        if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[2:]) < SMALLEST_SIDE:
            wanted = f"[B, 1 or 3, H, W] with sides of at least {SMALLEST_SIDE}"
            raise ValueError(f"Perceptual: images must be {wanted}, got {list(images.shape)}")
        x = (images.expand(-1, 3, -1, -1) - self.shift) / self.scale
        found = []
        for block in self.blocks:
            x = block(x)
            found.append(F.normalize(x.float(), dim=1, eps=SMALLEST_LENGTH))
        return found

    def distance(self, features: list[Tensor], others: list[Tensor]) -> Tensor:
        """float32 [B]: LPIPS of two batches by their features, so that those of a fixed image are computed once."""
        total = torch.zeros([], device=self.shift.device)
        for number, (a, b) in enumerate(zip(features, others, strict=True)):
            weight = getattr(self, f"weight{number}")
            total = total + ((a - b).square() * weight).sum(dim=1).mean(dim=(1, 2))
        return total

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """float32 [B]; 0 where two images are the same."""
        return self.distance(self.features(images), self.features(others))


def load_perceptual(path: str | Path, device: torch.device | None = None) -> Perceptual | None:
    """LPIPS by a file of VGG-16's weights; None for `none`.

    Nothing but tensors is read. Raises OSError where the file cannot be read, ValueError where it is cut short or not
    VGG-16, or the package lpips is missing.
    """
    if str(path) == NONE:
        return None
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is no file; {EXPECTED}, or {NONE}")
    state, weights = read_weights(path), channel_weights()
    try:
        network = Perceptual(state, weights)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {EXPECTED}") from error
    return network.to(device or torch.device("cpu"))


def channel_weights() -> list[Tensor]:
    """LPIPS's weights of each block's channels, from the package lpips; the package itself is not imported."""
    package = importlib.util.find_spec("lpips")
    if package is None or package.origin is None:
        raise ValueError("--perceptual: needs the package lpips: pip install 'pumpgan[perceptual]'")
    file = Path(package.origin).parent / "weights" / "v0.1" / "vgg.pth"
    state = torch.load(file, map_location="cpu", weights_only=True)
    return [state[f"lin{number}.model.1.weight"] for number in range(len(BLOCKS))]
