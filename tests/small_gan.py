"""A run's networks at 16 px, small enough to take steps with by the dozen."""

import torch

from pumpgan.losses.distribution import ShareTarget
from pumpgan.models.discriminators import signed_one_hot
from pumpgan.train.config import SemganConfig
from pumpgan.train.distribution import ShareControl
from pumpgan.train.semgan import Semgan, Step

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
)


def small_gan(**options) -> tuple[Semgan, Step]:
    """Always the same weights and batches, whatever of the configuration `options` replace."""
    config = SemganConfig(**{**SMALL_CONFIG, **options})
    labels = torch.randint(0, 3, (8, 16, 16), generator=torch.Generator().manual_seed(1))
    control = ShareControl(config, ShareTarget.of(labels, 3), CLASSES, torch.device("cpu"))
    gan = Semgan(config, 3, control, torch.device("cpu"), torch.float32)
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    return gan, Step(images, images.flip(0), signed_one_hot(labels[:4], 3))
