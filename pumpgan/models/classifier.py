"""Is there a defect in this image? ResNet-18, He et al. 2015, arXiv:1512.03385."""

from pathlib import Path

import torch
from torch import Tensor, nn

from pumpgan.models.imagenet import as_imagenet
from pumpgan.models.weights import load_encoder


class Classifier(nn.Module):
    """Images [B, 1 or 3, H, W] in [-1, 1], of any size -> logits [B, classes]; grey and RGB share the weights.

    torchvision's resnet18 with random weights, drawn from torch's global generator: `encoder` up to the 512 features
    of an image, then a linear `head`. ValueError where torchvision is not installed.
    """

    def __init__(self, classes: int = 2):
        super().__init__()
        if classes < 2:
            raise ValueError(f"classes: must be at least 2, got {classes}")
        try:
            from torchvision.models import resnet18
        except ModuleNotFoundError as error:
            raise ValueError(f"classifier: needs {error.name}: pip install 'pumpgan[downstream]'") from error
        self.encoder = resnet18(weights=None)
        self.head = nn.Linear(self.encoder.fc.in_features, classes)
        self.encoder.fc = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        features = self.encoder(as_imagenet(images))
        with torch.autocast(images.device.type, enabled=False):  # bf16 logits would leave many images level
            return self.head(features.to(self.head.weight.dtype))

    def load_encoder_weights(self, path: Path) -> None:
        """All of the encoder from a file of resnet18, the head stays; errors as `load_encoder`'s."""
        load_encoder(self.encoder, path)
