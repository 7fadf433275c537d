"""The images that networks expect which were made for ImageNet."""

import torch
from torch import Tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of its red, green and blue, in [0, 1]


def as_imagenet(images: Tensor) -> Tensor:
    """Images [B, 1 or 3, H, W] in [-1, 1] as [B, 3, H, W] of about mean 0 and deviation 1; grey becomes RGB.

    Channels are last in memory, as convolutions prefer. ValueError for anything else than such images.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.is_floating_point():
        raise ValueError(f"images: must be float [B, 1 or 3, H, W], got {images.dtype} {list(images.shape)}")
    mean, std = (images.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return (((images + 1) / 2 - mean) / std).contiguous(memory_format=torch.channels_last)
