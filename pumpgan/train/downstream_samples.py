"""What a classifier or a segmenter shows of itself: validation images with what it says of them, and what they are."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch

from pumpgan.data.picture import Group, sample_sheet, save_png
from pumpgan.models.segmenter import decide
from pumpgan.train.downstream import Trained
from pumpgan.train.journal import Journal
from pumpgan.train.samples import spread

SHOWN = 16  # images of a group


class DownstreamSampler(ABC):
    """Draws samples/STEP.png of the network as it is."""

    def __init__(self, run: Path, journal: Journal):
        self.run, self.journal = run, journal

    def __call__(self, learner: Trained) -> list[str]:
        learner.network.eval()
        with torch.no_grad(), learner.autocast():
            sheet = sample_sheet(self.groups(learner), learner.validation.classes)
        save_png(sheet, self.run / "samples" / f"{learner.step:08d}.png")
        self.journal.picture(learner.step, "samples", np.asarray(sheet.convert("RGB")))
        return []

    @abstractmethod
    def groups(self, learner: Trained) -> list[Group]: ...


class ClassifierSampler(DownstreamSampler):
    """By outcome, the validation images it is surest of."""

    def groups(self, learner: Trained) -> list[Group]:
        validation, targets = learner.validation, learner.validation.targets()
        found = [learner.network(images).float().softmax(dim=1)[:, 1].cpu() for images, _ in learner.batches()]
        probabilities = torch.cat(found)
        predicted = probabilities > learner.config.threshold
        groups: list[Group] = []
        for title, of, sign in (
            ("defects found", predicted & (targets == 1), -1),
            ("defects missed", ~predicted & (targets == 1), 1),
            ("false alarms", predicted & (targets == 0), -1),
            ("good ones passed", ~predicted & (targets == 0), 1),
        ):
            chosen = of.nonzero().flatten()
            surest = chosen[(sign * probabilities[chosen]).argsort(stable=True)][:SHOWN]
            if len(surest):
                groups.append((f"{title}: {len(chosen)}, surest first", validation.images[surest], None))
        return groups


class SegmenterSampler(DownstreamSampler):
    """Validation images from all over, with target and prediction."""

    def groups(self, learner: Trained) -> list[Group]:
        validation = learner.validation
        chosen = spread((validation.labels.flatten(1) > 0).any(dim=1).nonzero().flatten(), SHOWN)
        images = validation.images[chosen]
        predicted = decide(learner.network(images.to(learner.device).float() / 127.5 - 1), learner.config.threshold)
        return [("target", images, validation.labels[chosen]), ("prediction", images, predicted)]
