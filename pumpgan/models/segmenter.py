"""Which pixels are a defect? A feature pyramid network on a squeeze-and-excitation ResNeXt-50.

Lin et al. 2016, arXiv:1612.03144; Hu et al. 2017, arXiv:1709.01507; Xie et al. 2016, arXiv:1611.05431.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from pumpgan.models.imagenet import as_imagenet
from pumpgan.models.weights import load_encoder

STRIDE = 32  # pixels of the image a pixel of the coarsest features stands for; sides must be multiples of it
THRESHOLD = 0.9  # probability from which on a pixel is a defect, as in the source thesis


class Segmenter(nn.Module):
    """Images [B, 1 or 3, H, W] in [-1, 1] -> logits [B, classes, H, W], of any size; class 0 is the ground.

    segmentation_models_pytorch's FPN with the encoder se_resnext50_32x4d and random weights, drawn from torch's global
    generator, as are the features that its decoder drops in training (a fifth). Sides that are no multiples of 32 are
    continued by reflection and cut off again. ValueError where segmentation_models_pytorch is not installed.
    """

    def __init__(self, classes: int):
        super().__init__()
        if classes < 2:
            raise ValueError(f"classes: must be at least 2, ground and defect, got {classes}")
        try:
            from segmentation_models_pytorch import FPN
        except ModuleNotFoundError as error:
            raise ValueError(f"segmenter: needs {error.name}: pip install 'pumpgan[downstream]'") from error
        self.network = FPN("se_resnext50_32x4d", encoder_weights=None, in_channels=3, classes=classes)
        # Undecided at first. As it is drawn, the head is sure of one class everywhere, and from there Dice, whose
        # gradient vanishes with p (1 - p), may never come back.
        for parameter in self.network.segmentation_head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> Tensor:
        x, top, left = pad_by_reflection(as_imagenet(images), STRIDE)
        height, width = images.shape[2:]
        return self.network(x)[:, :, top : top + height, left : left + width]

    def load_encoder_weights(self, path: Path) -> None:
        """All of the encoder from a file of se_resnext50_32x4d, the rest stays; errors as `load_encoder`'s."""
        load_encoder(self.network.encoder, path)


def pad_by_reflection(images: Tensor, multiple: int) -> tuple[Tensor, int, int]:
    """[B, C, H, W] with sides made multiples, and the rows above and columns left of the image.

    What is missing is added half on each side, mirrored about the outermost pixels: to and fro where an image is
    smaller than what it lacks.
    """
    tops = []
    for axis in (2, 3):
        side = images.shape[axis]
        lacking = -side % multiple
        tops.append(lacking // 2)
        if lacking:
            images = images.index_select(axis, reflected(side, lacking, images.device))
    return images, tops[0], tops[1]


def reflected(side: int, lacking: int, device: torch.device) -> Tensor:
    """int64 [side + lacking]: the pixels of a side that continue it by reflection."""
    there_and_back = max(2 * (side - 1), 1)
    places = torch.arange(-(lacking // 2), side + lacking - lacking // 2, device=device) % there_and_back
    return torch.minimum(places, there_and_back - places) if side > 1 else places


def decide(logits: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Class ids int64 [B, H, W] of logits [B, C, H, W].

    Two classes: 1 where its probability is over `threshold`. More: the likeliest, whatever the threshold.
    """
    if logits.ndim != 4 or logits.shape[1] < 2:
        raise ValueError(f"decide: logits must be [B, C, H, W], C at least 2, got {list(logits.shape)}")
    return decide_by_probability(logits if logits.shape[1] > 2 else logits.float().softmax(dim=1), threshold)


def decide_by_probability(probabilities: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """`decide` of what softmax made of the logits, [B, C, H, W], or of averages of that."""
    if not 0 < threshold < 1:
        raise ValueError(f"threshold: must be between 0 and 1, got {threshold}")
    if probabilities.shape[1] > 2:
        return probabilities.argmax(dim=1)
    return (probabilities[:, 1] > threshold).long()
