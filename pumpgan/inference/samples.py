"""What a trained run draws: for each seed an endless sequence of samples, of which any can be drawn again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pumpgan.data.dataset import LabelClass
from pumpgan.models.generator import Generator, to_uint8
from pumpgan.train.checkpoint import averaged_tensors
from pumpgan.train.gan import build_generator
from pumpgan.train.precision import DTYPES
from pumpgan.train.presets import MODELS
from pumpgan.train.quality import step_named
from pumpgan.train.record import RunRecord
from pumpgan.train.seeds import derived_seed

BATCH = 32  # samples computed together


@dataclass(frozen=True)
class Sample:
    """images: uint8 [N, H, W, C]; labels: uint8 [N, H, W] class ids, None of a run that draws none; numbers: each one's
    place in the sequence; conditions: which of the run's image labels each was drawn under, None without any."""

    images: np.ndarray
    labels: np.ndarray | None
    numbers: list[int]
    conditions: list[int] | None = None

    @property
    def pixels(self) -> Tensor:
        """The images as networks take them: uint8 [N, C, H, W]."""
        return torch.from_numpy(self.images).permute(0, 3, 1, 2)


class TrainedGenerator:
    """The averaged generator of a run. Sample k of a seed is always the same, whichever others are asked for."""

    def __init__(self, run: Path, *, checkpoint: int | str | None = None, device: torch.device | None = None):
        """checkpoint: a step, `best`, or None for the newest. Raises ValueError or OSError where it cannot be read."""
        self.run, self.record = run, RunRecord.read(run)
        self.device = device or torch.device("cpu")
        config = self.record.config
        if not MODELS[self.record.model].draws:
            raise ValueError(f"{run}: is a run of {self.record.model}, which draws nothing")
        tensors, self.step = averaged_tensors(run, step_named(run, checkpoint))
        self.network: Generator = build_generator(config, self.record.task)
        try:
            self.network.load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(f"{run}: its checkpoint does not fit its config.json ({error})") from error
        self.network = self.network.to(self.device).requires_grad_(False)
        self.network.dtype = DTYPES[config.precision]

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        return self.record.label_classes

    def condition(self, image_label: str | None) -> int | None:
        """The number of an image label; None for None. ValueError where the run did not learn it as a condition."""
        if image_label is None:
            return None
        names = self.record.conditions
        if image_label not in names:
            known = ", ".join(names)
            raise ValueError(f"{self.run}: its image labels are {known}; got {image_label!r}")
        return names.index(image_label)

    @torch.no_grad()
    def samples(
        self,
        seed: int,
        *,
        start: int = 0,
        truncation: float = 1.0,
        condition: int | None = None,
        purpose: str = "sample",
    ) -> Iterator[Sample]:
        """Samples `start`, `start` + 1, ... of the sequence that `seed` names, in batches, without end.

        They are always computed `BATCH` at a time from a multiple of it on, since rounding may depend on the company.
        truncation: psi; 1 leaves styles alone, 0 gives the mean image. Karras et al. 2019, arXiv:1812.04948.
        condition: under which all are drawn, of a conditional run; None: as often as among the training images.
        purpose: another one has sequences of its own, which no seed of this one names.
        """
        skip = start % BATCH
        start -= skip
        while True:
            numbers = range(start, start + BATCH)
            under = self._conditions(seed, numbers, condition)
            drawn = self.network(*self._inputs(seed, numbers, truncation, under, purpose))
            images = to_uint8(drawn.images).permute(0, 2, 3, 1).cpu().numpy()
            labels = (
                drawn.labels.argmax(dim=1).to(torch.uint8).cpu().numpy()[skip:] if self.record.draws_labels else None
            )
            yield Sample(images[skip:], labels, list(numbers)[skip:], under[skip:] if under else None)
            start, skip = start + BATCH, 0

    def _conditions(self, seed: int, numbers: range, condition: int | None) -> list[int] | None:
        counts = self.record.condition_counts
        if not counts:
            return None
        if condition is not None:
            return [condition] * len(numbers)
        drawn = []
        for number in numbers:
            source = torch.Generator().manual_seed(derived_seed(seed, "condition", number))
            drawn.append(int(torch.multinomial(torch.tensor(counts, dtype=torch.float64), 1, generator=source)))
        return drawn

    def _inputs(
        self, seed: int, numbers: range, truncation: float, conditions: list[int] | None, purpose: str = "sample"
    ) -> tuple[Tensor, list[Tensor]]:
        """Styles and noise of the samples with these numbers."""
        zs, noises = [], []
        for number in numbers:
            source = torch.Generator().manual_seed(derived_seed(seed, purpose, number))
            zs.append(torch.randn(1, self.network.latent_size, generator=source))
            noises.append([torch.randn(shape, generator=source) for shape in self.network.noise_shapes(1)])
        named = None if conditions is None else torch.tensor(conditions, device=self.device)
        styles = self.network.mixed_styles(torch.cat(zs).to(self.device), conditions=named)
        if truncation != 1:
            styles = self.network.mapping.average.lerp(styles, truncation)
        return styles, [torch.cat(maps).to(self.device) for maps in zip(*noises, strict=True)]
