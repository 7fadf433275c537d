"""Training of the encoder of a SemanticGAN, whose generator stays as it is: steps towards images, and labels too.

Recipe: Li et al. 2021, arXiv:2104.05833.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pumpgan.augment.colour import jitter
from pumpgan.data.stream import Batch
from pumpgan.losses.segmentation import sigmoid_dice
from pumpgan.models.encoder import Encoder, Redrawer
from pumpgan.models.generator import Drawn
from pumpgan.models.perceptual import Perceptual
from pumpgan.train.config import SemganConfig
from pumpgan.train.downstream import Validated, label_figures, validate_phase
from pumpgan.train.downstream_config import EncoderConfig
from pumpgan.train.downstream_data import ValidatedData
from pumpgan.train.gan import build_generator
from pumpgan.train.learner import Phase, Scalars, Task, update


def build_redrawer(config: EncoderConfig, generator: SemganConfig, task: Task, dtype: torch.dtype) -> Redrawer:
    """Untrained, around an untrained generator of this configuration."""
    network = build_generator(generator, task).requires_grad_(False)
    network.dtype = dtype
    encoder = Encoder.of(network, backbone=config.backbone, width=config.width)
    return Redrawer(network, encoder, config.entropy_temperature)


@dataclass(frozen=True)
class EncoderStep:
    """images: [B, C, H, W], of all kinds. labelled: others, with their labels."""

    images: Tensor
    labelled: Batch


class EncoderLearner(Validated):
    """Holds the generator within its network, so that a run needs that of the GAN no more once it has begun."""

    OPTIMIZERS = ("unlabelled_optimizer", "labelled_optimizer")
    MAIN = "loss/labelled"
    SCORE = "iou"
    network: Redrawer

    def __init__(
        self,
        config: EncoderConfig,
        generator: SemganConfig,
        task: Task,
        data: ValidatedData,
        perceptual: Perceptual | None,
        device: torch.device,
        dtype: torch.dtype,
    ):
        self.generator_config, self.perceptual = generator, perceptual
        super().__init__(config, task, data, device, dtype)
        # Two over the same weights, each with moments of its own kind of gradient.
        self.unlabelled_optimizer, self.labelled_optimizer = (
            torch.optim.Adam(self.network.encoder.parameters(), lr=config.rate, fused=True) for _ in range(2)
        )

    def make_network(self) -> Redrawer:
        return build_redrawer(self.config, self.generator_config, self.task, self.dtype)

    def phases(self) -> list[tuple[Phase, Callable[[Any], int]]]:
        return [(phase, lambda config: 1) for phase in (unlabelled_phase, labelled_phase, validate_phase)]

    def step_of(self, *batches: Batch) -> EncoderStep:
        """Batches: of all images, and of images with labels."""
        images, labelled = (jitter(batch.images, self.config.colour) for batch in batches)
        return EncoderStep(images, Batch(labelled, batches[1].labels))

    def validate(self, network: torch.nn.Module) -> dict[str, float]:
        return label_figures(self, network)


def rate_at(config: EncoderConfig, step: int) -> float:
    """Adam's rate: even, then down as half a cosine, then even."""
    done = (step - config.rate_from) / (config.rate_until - config.rate_from)
    height = 0.5 + 0.5 * math.cos(math.pi * min(max(done, 0.0), 1.0))
    return config.rate_least + (config.rate - config.rate_least) * height


def redrawn(learner: EncoderLearner, images: Tensor) -> tuple[Drawn, Tensor, Scalars]:
    """What becomes of images; how unlike them it is, weighed; and the terms of that."""
    config = learner.config
    learner.network.train()  # validation left it otherwise
    with learner.autocast():
        drawn = learner.network.redraw(images)
        terms = {"loss/pixels": F.mse_loss(drawn.images, images)}
        loss = config.pixel_weight * terms["loss/pixels"]
        if learner.perceptual:
            terms["loss/perceptual"] = learner.perceptual(drawn.images, images).mean()
            loss = loss + config.perceptual_weight * terms["loss/perceptual"]
    return drawn, loss, terms


def step_down(learner: EncoderLearner, phase: Phase, optimizer: torch.optim.Adam, loss: Tensor, clip: float) -> None:
    optimizer.param_groups[0]["lr"] = rate_at(learner.config, learner.step)
    update(learner, phase, optimizer, loss, clip=clip)


def unlabelled_phase(learner: EncoderLearner, step: EncoderStep) -> Scalars:
    _, loss, _ = redrawn(learner, step.images)
    step_down(learner, unlabelled_phase, learner.unlabelled_optimizer, loss, learner.config.clip_unlabelled)
    return {"loss/unlabelled": loss}


def labelled_phase(learner: EncoderLearner, step: EncoderStep) -> Scalars:
    config, labels = learner.config, step.labelled.labels
    if labels is None:
        raise ValueError("encoder: its second batch must hold labels")
    drawn, loss, terms = redrawn(learner, step.labelled.images)
    terms["loss/entropy"] = F.cross_entropy(drawn.labels / config.entropy_temperature, labels)
    terms["loss/dice"] = sigmoid_dice(drawn.labels, labels, config.dice_temperature)
    loss = loss + config.entropy_weight * terms["loss/entropy"] + config.dice_weight * terms["loss/dice"]
    step_down(learner, labelled_phase, learner.labelled_optimizer, loss, config.clip_labelled)
    return {"loss/labelled": loss, **terms}
