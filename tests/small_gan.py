"""A run's networks at 16 px, small enough to take steps with by the dozen; and data as training holds them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pumpgan.data.dataset import Entry, LabelClass
from pumpgan.data.packed import Packed
from pumpgan.losses.distribution import ShareTarget
from pumpgan.models.discriminators import signed_one_hot
from pumpgan.train.config import SemganConfig
from pumpgan.train.distribution import ShareControl
from pumpgan.train.gan import Step
from pumpgan.train.learner import Task
from pumpgan.train.semgan import Semgan
from pumpgan.train.training_data import TrainingData

CLASSES = ["ground", "plate", "hole"]
SMALL_CONFIG = dict(
    resolution=16,
    batch=4,
    channel_base=128,
    channel_most=16,
    latent_size=8,
    style_size=8,
    mapping_depth=2,
    patch_base=4,
    metric_count=0,
)


def small_gan(**options) -> tuple[Semgan, Step]:
    """Always the same weights and batches, whatever of the configuration `options` replace."""
    config = SemganConfig(**{**SMALL_CONFIG, **options})
    labels = torch.randint(0, 3, (8, 16, 16), generator=torch.Generator().manual_seed(1))
    control = ShareControl(config, ShareTarget.of(labels, 3), CLASSES, torch.device("cpu"))
    gan = Semgan(config, Task((16, 16), 3, tuple(CLASSES)), control, torch.device("cpu"), torch.float32)
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    return gan, Step(images, images.flip(0), signed_one_hot(labels[:4], 3))


def training_data(images: Tensor, labels: Tensor, classes: Sequence[LabelClass]) -> TrainingData:
    """uint8 images [N, C, H, W], all labelled."""
    entries = tuple(Entry(f"{i}", "train") for i in range(len(images)))
    packed = Packed(images, labels, torch.ones(len(images)).bool(), entries, tuple(classes), (), "none", "0" * 64)
    return TrainingData(packed, packed)
