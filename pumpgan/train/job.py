"""What a kind of model makes of a run's data: the part of beginning and resuming in which GANs and others differ."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pumpgan.data.dataset import Dataset, LabelClass
from pumpgan.data.stream import Stream
from pumpgan.train.journal import Journal
from pumpgan.train.learner import Learner, Looks
from pumpgan.train.precision import resolve
from pumpgan.train.record import RunRecord


class Job(ABC):
    """A run's data, loaded and found to suit its model, and what is made of them."""

    size: tuple[int, int]
    """(height, width) of the images as they are trained on."""
    channels: int
    classes: tuple[LabelClass, ...]
    flips: str
    digest: str
    """Of all that is learnt from; a resumed run compares it."""
    condition_names: tuple[str, ...] = ()
    condition_counts: tuple[int, ...] = ()

    @abstractmethod
    def __init__(self, data: Sequence[str], unlabelled: Sequence[str], config: Any):
        """Loads the train splits. Raises ValueError, OSError where they do not fit together, or the model."""

    def settle(self, config: Any, device: torch.device) -> Any:
        """The configuration with all that it left to data and device filled in; settling twice changes nothing."""
        return replace(config, precision=resolve(config.precision, device))

    def check_goal(self, config: Any, steps: int | None) -> None:
        """Raises ValueError where nothing would come of a run of so many steps."""
        return

    def generator(self, config: Any) -> dict[str, Any] | None:
        """What the record of a new run keeps of the GAN that its model is built upon (`RunRecord.generator`), None
        without one. Raises ValueError, OSError where that cannot be read or does not suit the data."""
        return None

    @abstractmethod
    def build(self, record: RunRecord, device: torch.device) -> Learner: ...

    def begin(self, record: RunRecord, learner: Any) -> None:
        """What precedes a run's first step, and not its resumption."""
        return

    @abstractmethod
    def streams(self, config: Any, device: torch.device) -> list[Stream]:
        """One for each batch that the learner's `step_of` takes."""

    @abstractmethod
    def looks(self, run: Path, journal: Journal, config: Any) -> Looks: ...

    @abstractmethod
    def introduction(self, record: RunRecord, learner: Any) -> list[str]:
        """What is about to be trained, on what: lines that follow `of_networks`."""


def of_networks(record: RunRecord, learner: Learner, images: str) -> list[str]:
    """The lines that every run begins with; nothing is chosen in silence. images: how many, of what."""
    height, width = Dataset.open(record.data[0]).size
    resized = "" if (height, width) == record.size else f" (the data: {width}x{height}; --resolution changes it)"
    networks = {n: getattr(learner, n) for n in learner.NETWORKS if n not in ("averaged", "best")}
    counted = {n: sum(p.numel() for p in network.parameters()) for n, network in networks.items()}
    return [
        f"{record.model}, preset {record.preset}: {record.size[1]}x{record.size[0]}{resized}, {images}",
        ", ".join(f"{n.replace('_', ' ')} {number / 1e6:.2f} M" for n, number in counted.items()) + " parameters",
    ]
