"""Training of classifiers and segmenters: one phase learns, one validates and keeps the best network so far."""

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pumpgan.augment.colour import jitter
from pumpgan.data.stream import Batch
from pumpgan.losses.segmentation import class_weights, dice_loss, weighted_cross_entropy
from pumpgan.metrics.classification import ClassificationScores
from pumpgan.metrics.segmentation import SegmentationScores
from pumpgan.models.classifier import Classifier
from pumpgan.models.segmenter import Segmenter, decide
from pumpgan.train.downstream_config import ClassifierConfig, SegmenterConfig, ValidatedConfig
from pumpgan.train.downstream_data import ValidatedData
from pumpgan.train.learner import Learner, Phase, Scalars, Task, update
from pumpgan.train.seeds import derived_seed


class Best(nn.Module):
    """A network as it was when it scored best; `step` 0 before the first validation."""

    score: Tensor
    step: Tensor

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network: Any = copy.deepcopy(network).requires_grad_(False).eval()
        self.register_buffer("score", torch.tensor(-1.0, dtype=torch.float64))
        self.register_buffer("step", torch.tensor(0))

    def offer(self, network: nn.Module, score: float, step: int) -> None:
        """Keeps the network where none scored as well."""
        if score > float(self.score):
            self.network.load_state_dict(network.state_dict())
            self.score.fill_(score)
            self.step.fill_(step)


class Validated(Learner):
    """What all models change that are validated: their network, and its best so far.

    That is part of every checkpoint, as a GAN's average is, so a resumed run ends with what the unbroken one would.
    """

    NETWORKS: tuple[str, ...] = ("network", "best")
    OPTIMIZERS: tuple[str, ...] = ("optimizer",)
    MAIN = "loss/training"
    network: Any
    SCORE: str  # which of `validate`'s figures decides

    def __init__(
        self, config: ValidatedConfig, task: Task, data: ValidatedData, device: torch.device, dtype: torch.dtype
    ):
        super().__init__(config, task, device)
        self.dtype, self.validation = dtype, data.validation
        torch.manual_seed(derived_seed(config.seed, "weights"))
        self.network = self.make_network().to(device)
        self.best = Best(self.network)
        self.said: NDArray[np.float64] | None = None  # at the last validation: the share of pixels given to each class

    @abstractmethod
    def make_network(self) -> nn.Module: ...

    @abstractmethod
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Figures of the network, in evaluation mode, on the validation photographs."""

    def phases(self) -> list[tuple[Phase, Callable[[Any], int]]]:
        return [(learn_phase, lambda config: 1), (validate_phase, lambda config: 1)]

    def begin_anew(self) -> None:
        self.best = Best(self.network)  # a score on other photographs would outlast all of this run's

    @property
    def converged(self) -> bool:
        patience = self.config.patience * self.config.validate_every
        return bool(patience) and self.step - int(self.best.step) >= patience

    def alarms(self) -> list[str]:
        """Where the last validation found one class in every pixel."""
        if self.said is None or self.said.max() < 1:
            return []
        name = self.validation.classes[int(self.said.argmax())].name
        return [f"{name} is predicted for every pixel of all validation images"]

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def batches(self) -> Iterator[tuple[Tensor, slice]]:
        """The validation images in order, float [B, C, H, W] in [-1, 1], and which ones they are."""
        for start in range(0, len(self.validation), self.config.batch):
            part = slice(start, start + self.config.batch)
            yield as_float(self.validation.images[part].to(self.device)), part


class Trained(Validated):
    """A classifier or a segmenter: learns from labels by one loss."""

    def __init__(self, config: Any, task: Task, data: ValidatedData, device: torch.device, dtype: torch.dtype):
        super().__init__(config, task, data, device, dtype)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.rate, fused=True)

    def step_of(self, *batches: Batch) -> Batch:
        return batches[0]

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Of the network on a batch, under autocast."""


class ClassifierLearner(Trained):
    SCORE = "f1"

    def __init__(self, config: ClassifierConfig, task: Task, data: ValidatedData, device, dtype):
        super().__init__(config, task, data, device, dtype)
        counts = torch.bincount(data.training.targets(), minlength=2)
        counts[1] += config.oversample  # as they are drawn, of which the loss is a mean
        self.weights = class_weights(counts).to(device) if config.class_balanced else None

    def make_network(self) -> nn.Module:
        return Classifier()

    def loss(self, batch: Batch) -> Tensor:
        if batch.conditions is None:
            raise ValueError("classifier: its batches must hold targets as conditions")
        logits = self.network(batch.images).float()
        if self.weights is None:
            return F.cross_entropy(logits, batch.conditions)
        return weighted_cross_entropy(logits, batch.conditions, self.weights)

    def validate(self, network: nn.Module) -> dict[str, float]:
        scores, targets = ClassificationScores(self.config.threshold), self.validation.targets()
        for images, part in self.batches():
            scores.update(network(images).float().softmax(dim=1)[:, 1], targets[part])
        result = scores.result()
        names = ("accuracy", "precision", "recall", "f1", "average_precision")
        return {name: result[name] for name in names}


class SegmenterLearner(Trained):
    SCORE = "iou"

    def __init__(self, config: SegmenterConfig, task: Task, data: ValidatedData, device, dtype):
        super().__init__(config, task, data, device, dtype)
        counts = torch.bincount(data.training.labels.flatten().long(), minlength=len(task.classes))
        self.weights = class_weights(counts).to(device) if config.class_balanced else None

    def make_network(self) -> nn.Module:
        return Segmenter(len(self.task.classes))

    def loss(self, batch: Batch) -> Tensor:
        if batch.labels is None:
            raise ValueError("segmenter: its batches must hold labels")
        logits = self.network(batch.images).float()
        loss = dice_loss(logits, batch.labels)
        return loss if self.weights is None else loss + weighted_cross_entropy(logits, batch.labels, self.weights)

    def validate(self, network: nn.Module) -> dict[str, float]:
        return label_figures(self, network)


def label_figures(learner: Validated, network: nn.Module) -> dict[str, float]:
    """Of what a network that gives logits says of the validation photographs' pixels."""
    scores = SegmentationScores(learner.validation.classes)
    for images, part in learner.batches():
        scores.update(decide(network(images).float(), learner.config.threshold), learner.validation.labels[part])
    result = scores.result()
    learner.said = scores.areas.predicted.sum(axis=0) / scores.areas.predicted.sum()
    return {"iou": result["mean_foreground_iou"], "mean_iou": result["mean_iou"]}


def learn_phase(learner: Trained, batch: Batch) -> Scalars:
    learner.network.train()
    if learner.config.colour:
        batch = Batch(jitter(batch.images, learner.config.colour), batch.labels, batch.conditions)
    with learner.autocast():
        loss = learner.loss(batch)
    update(learner, learn_phase, learner.optimizer, loss)
    return {"loss/training": loss}


def validate_phase(learner: Validated, batch: Any) -> Scalars:
    """After every `validate_every` updates: scores, and the network is kept if none scored better."""
    step = learner.step + 1
    if step % learner.config.validate_every:
        return {}
    learner.network.eval()
    with torch.no_grad(), learner.autocast():
        figures = learner.validate(learner.network)
    learner.best.offer(learner.network, figures[learner.SCORE], step)
    figures |= {"step": step, "best": float(learner.best.score), "best_step": int(learner.best.step)}
    return {f"validation/{name}": torch.tensor(float(value)) for name, value in figures.items()}


def as_float(images: Tensor) -> Tensor:
    """uint8 -> float in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)
