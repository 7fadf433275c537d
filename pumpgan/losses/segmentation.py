"""Losses of networks that tell classes, of whole images or of pixels, where one of them is rare."""

import torch
import torch.nn.functional as F
from torch import Tensor


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - the mean over classes 1..C-1 of 2 sum(p y) / (sum p + sum y), p = softmax(logits): Milletari et al. 2016,
    arXiv:1606.04797, without squares. Sums are over batch and pixels.

    logits: [B, C, H, W], any precision. labels: int64 [B, H, W], 0..C-1. Returns a float32 scalar, 0 to 1.
    A class without a pixel in the batch counts as 0 and is not pushed: its own Dice would be 0 whatever is drawn.
    ValueError for other shapes.
    """
    from segmentation_models_pytorch.losses import DiceLoss

    classes = check_shapes("dice_loss", logits, labels)
    return DiceLoss("multiclass", classes=list(range(1, classes)))(logits.float(), labels)


def sigmoid_dice(logits: Tensor, labels: Tensor, temperature: float = 0.3) -> Tensor:
    """1 - the mean over classes 1..C-1 of 2 sum(p y) / max(sum p^2 + sum y^2, 1e-6), p = sigmoid(logits / temperature).

    What SemanticGAN (Li et al. 2021, arXiv:2104.05833) trains its encoder with: the logits are a generator's, trained
    towards -1 and 1, which the temperature sharpens. Sums are over batch and pixels.

    logits: [B, C, H, W], any precision. labels: int64 [B, H, W], 0..C-1. Returns a float32 scalar, 0 to 1. A class
    without a pixel in the batch counts as 1. ValueError for other shapes, or a temperature that is not positive.
    """
    classes = check_shapes("sigmoid_dice", logits, labels)
    if not temperature > 0:
        raise ValueError(f"sigmoid_dice: temperature must be positive, got {temperature}")
    p = (logits[:, 1:].float() / temperature).sigmoid()
    y = labels[:, None] == torch.arange(1, classes, device=labels.device)[:, None, None]
    over = (0, 2, 3)
    overlap, total = (p * y).sum(over), p.square().sum(over) + y.sum(over)
    return 1 - (2 * overlap / total.clamp_min(1e-6)).mean()


def class_weights(counts: Tensor) -> Tensor:
    """float32 [K]: what a sample of each class counts, so that all classes count alike and the mean over samples is 1.

    counts: samples of each class in the training set, [K], not negative: images for a classifier, pixels for a
        segmenter. A class without any has weight 0 and no part in the mean.

    The inverse frequency, n / (K n_k). The effective number of samples (Cui et al. 2019, arXiv:1901.05555) saturates at
    a count that has to be chosen, and with counts of pixels, all far above it, it weighs nothing. ValueError where
    nothing is counted.
    """
    counts = counts.double()
    if counts.ndim != 1 or not bool((counts >= 0).all()) or not bool(counts.sum() > 0):
        raise ValueError(f"class_weights: counts must be [K], not negative, some above 0, got {counts.tolist()}")
    present = counts > 0
    weights = counts.sum() / (present.sum() * counts)
    return torch.where(present, weights, torch.zeros_like(weights)).float()


def weighted_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The mean over samples of weight times cross-entropy, a float32 scalar.

    logits: [B, K] for images or [B, K, H, W] for pixels, any precision. targets: int64 [B] or [B, H, W].
    weights: [K], as of `class_weights`. torch's own mean divides by the weights that a batch happens to hold, which
    takes back part of them: a batch of nothing but a common class would pull as much as any other.
    """
    return F.cross_entropy(logits.float(), targets, weight=weights.to(logits.device), reduction="sum") / targets.numel()


def check_shapes(where: str, logits: Tensor, labels: Tensor) -> int:
    """The number of classes; ValueError unless these are logits [B, C, H, W], C at least 2, and their labels."""
    if logits.ndim != 4 or logits.shape[1] < 2 or labels.shape != logits[:, 0].shape or labels.dtype != torch.int64:
        raise ValueError(
            f"{where}: wants logits [B, C, H, W], C at least 2, and labels int64 [B, H, W], got {list(logits.shape)} "
            f"and {labels.dtype} {list(labels.shape)}"
        )
    return logits.shape[1]
