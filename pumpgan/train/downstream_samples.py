"""What a downstream model shows of itself: validation images with what it says of them, and what they are."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pumpgan.data.picture import sample_sheet, save_png
from pumpgan.data.prediction_sheet import Predictions, by_outcome, prediction_sheet
from pumpgan.models.segmenter import decide
from pumpgan.train.downstream import Validated, as_float
from pumpgan.train.journal import Journal
from pumpgan.train.samples import spread

SHOWN = 16  # images of a group


class DownstreamSampler(ABC):
    """Draws samples/STEP.png of the network as it is."""

    def __init__(self, run: Path, journal: Journal):
        self.run, self.journal = run, journal

    def __call__(self, learner: Validated) -> list[str]:
        learner.network.eval()
        with torch.no_grad(), learner.autocast():
            sheet = self.sheet(learner)
        save_png(sheet, self.run / "samples" / f"{learner.step:08d}.png")
        self.journal.picture(learner.step, "samples", np.asarray(sheet.convert("RGB")))
        return []

    def tell_best(self, learner: Validated) -> None:
        """Says how well the best network so far scored on validation photographs."""
        if best := int(learner.best.step):
            score = f"best {learner.SCORE} {float(learner.best.score):.3f}"
            self.journal.say(f"step {learner.step}: {score} of validation, at step {best}")

    @abstractmethod
    def sheet(self, learner: Validated) -> Image.Image: ...


class ClassifierSampler(DownstreamSampler):
    """By outcome, the validation images it is surest of."""

    def sheet(self, learner: Validated) -> Image.Image:
        validation, targets = learner.validation, learner.validation.targets()
        found = [learner.network(images).float().softmax(dim=1)[:, 1].cpu() for images, _ in learner.batches()]
        sheet = by_outcome(validation.images, torch.cat(found), targets, learner.config.threshold, SHOWN)
        return sample_sheet(sheet, validation.classes)


class SegmenterSampler(DownstreamSampler):
    """Validation images from all over, with target and prediction."""

    def sheet(self, learner: Validated) -> Image.Image:
        validation = learner.validation
        chosen = spread((validation.labels.flatten(1) > 0).any(dim=1).nonzero().flatten(), SHOWN)
        images, targets = validation.images[chosen], validation.labels[chosen]
        predicted = decide(learner.network(as_float(images.to(learner.device))), learner.config.threshold)
        return prediction_sheet([Predictions("validation", images, targets, predicted)], validation.classes)


class EncoderSampler(DownstreamSampler):
    """The same, and beside them what the generator makes of the images."""

    def sheet(self, learner: Validated) -> Image.Image:
        validation = learner.validation
        chosen = spread(torch.arange(len(validation)), SHOWN)
        images, targets = validation.images[chosen], validation.labels[chosen]
        drawn = learner.network.redraw(as_float(images.to(learner.device)))
        predicted = decide(drawn.labels / learner.network.temperature, learner.config.threshold)
        groups = [
            Predictions("validation", images, targets, predicted),
            Predictions("as the generator draws them", drawn.images, targets, predicted),
        ]
        return prediction_sheet(groups, validation.classes)
