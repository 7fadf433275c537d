"""Generated images with labels from a trained run: an endless, reproducible sequence of samples, and sets of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pumpgan.data.dataset import Dataset, Entry, LabelClass, class_id
from pumpgan.data.writer import DatasetWriter, check_new
from pumpgan.models.generator import Generator, to_uint8
from pumpgan.train.checkpoint import averaged_tensors
from pumpgan.train.gan import build_generator
from pumpgan.train.precision import DTYPES
from pumpgan.train.quality import step_named
from pumpgan.train.record import RunRecord
from pumpgan.train.seeds import derived_seed

BATCH = 32  # samples computed together
MOST_TRIES = 200  # samples drawn for every one kept before a rare class is given up


@dataclass(frozen=True)
class Sample:
    """images: uint8 [N, H, W, C]; labels: uint8 [N, H, W] class ids, None of a run that draws none; numbers: each one's
    place in the sequence; conditions: which of the run's image labels each was drawn under, None without any."""

    images: np.ndarray
    labels: np.ndarray | None
    numbers: list[int]
    conditions: list[int] | None = None


class TrainedGenerator:
    """The averaged generator of a run. Sample k of a seed is always the same, whichever others are asked for."""

    def __init__(self, run: Path, *, checkpoint: int | str | None = None, device: torch.device | None = None):
        """checkpoint: a step, `best`, or None for the newest. Raises ValueError or OSError where it cannot be read."""
        self.run, self.record = run, RunRecord.read(run)
        self.device = device or torch.device("cpu")
        config = self.record.config
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
        """As config.json keeps them: the data set itself may be gone."""
        return tuple(LabelClass(c["id"], c["name"], tuple(c["colour"])) for c in self.record.class_table)

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
        self, seed: int, *, start: int = 0, truncation: float = 1.0, condition: int | None = None
    ) -> Iterator[Sample]:
        """Samples `start`, `start` + 1, ... of the sequence that `seed` names, in batches, without end.

        They are always computed `BATCH` at a time from a multiple of it on, since rounding may depend on the company.
        truncation: psi; 1 leaves styles alone, 0 gives the mean image. Karras et al. 2019, arXiv:1812.04948.
        condition: under which all are drawn, of a conditional run; None: as often as among the training images.
        """
        skip = start % BATCH
        start -= skip
        while True:
            numbers = range(start, start + BATCH)
            under = self._conditions(seed, numbers, condition)
            drawn = self.network(*self._inputs(seed, numbers, truncation, under))
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
        self, seed: int, numbers: range, truncation: float, conditions: list[int] | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Styles and noise of the samples with these numbers."""
        zs, noises = [], []
        for number in numbers:
            source = torch.Generator().manual_seed(derived_seed(seed, "sample", number))
            zs.append(torch.randn(1, self.network.latent_size, generator=source))
            noises.append([torch.randn(shape, generator=source) for shape in self.network.noise_shapes(1)])
        named = None if conditions is None else torch.tensor(conditions, device=self.device)
        styles = self.network.mixed_styles(torch.cat(zs).to(self.device), conditions=named)
        if truncation != 1:
            styles = self.network.mapping.average.lerp(styles, truncation)
        return styles, [torch.cat(maps).to(self.device) for maps in zip(*noises, strict=True)]


def generate(
    run: Path,
    out: Path,
    count: int,
    *,
    seed: int = 0,
    truncation: float = 1.0,
    with_class: str | None = None,
    min_fraction: float = 0.0,
    image_label: str | None = None,
    checkpoint: int | str | None = None,
    device: torch.device | None = None,
    advance: Callable[[int], None] = lambda kept: None,
) -> int:
    """Writes `count` generated images, with labels where the run draws them, as a dataset in `out`, absent or empty;
    returns how many were drawn.

    with_class: keep only images whose labels hold this class, in more than `min_fraction` of the pixels.
    image_label: what every entry's image_label says, and what a conditional run is asked to draw; None leaves it to the
    pixels, or to how often a conditional run saw each.
    advance: called with how many more images were kept. All images are of the train split.
    Raises ValueError for an unknown class, or one that `MOST_TRIES` times `count` samples do not show often enough.
    """
    check_new(out)
    trained = TrainedGenerator(run, checkpoint=checkpoint, device=device)
    classes, record = trained.classes, trained.record
    wanted = class_id(classes, with_class) if with_class else None
    if with_class and not record.draws_labels:
        raise ValueError(f"--with-class {with_class}: {run} draws images without labels")
    channels, names = record.channels, record.conditions
    condition = trained.condition(image_label) if names else None
    image_labels = names or ("good", "defect")
    if image_label and image_label not in image_labels:
        image_labels = (image_label,)
    kept = drawn = 0
    with DatasetWriter(
        out,
        name=f"{run.name} step {trained.step}",
        classes=classes,
        size=record.size,
        channels=channels,
        flips=record.flips,
        source={"importer": "generate", "options": {"with_class": with_class, "min_fraction": min_fraction}},
        generator={"run": str(run.resolve()), "checkpoint": trained.step, "seed": seed, "truncation": truncation},
        image_labels=image_labels if names or image_label else (),
    ) as writer:
        for sample in trained.samples(seed, truncation=truncation, condition=condition):
            before = kept
            for k, (image, number) in enumerate(zip(sample.images, sample.numbers, strict=True)):
                if kept == count:
                    break
                drawn += 1
                label = None if sample.labels is None else sample.labels[k]
                if wanted is not None and np.mean(label == wanted) <= min_fraction:
                    continue
                named = names[sample.conditions[k]] if sample.conditions else image_label
                entry = Entry(f"seed{seed}_{number:08d}", "train", image_label=named)
                writer.add(entry, image if channels == 3 else image[..., 0], label)
                kept += 1
            advance(kept - before)
            if kept == count:
                return drawn
            if drawn >= MOST_TRIES * count and drawn >= 10_000:
                size = f" in more than {min_fraction:g} of the pixels" if min_fraction else ""
                raise ValueError(
                    f"--with-class {with_class}: {kept} of {drawn} generated labels hold it{size}; ask for "
                    f"fewer images or a smaller --min-fraction, or steer the training by --dist-loss"
                )
    return drawn


def matching_dataset(record: RunRecord, path: Path) -> Dataset:
    """The dataset at `path`; ValueError unless its classes are those of the run."""
    dataset = Dataset.open(path)
    names = tuple(c.name for c in dataset.classes)
    if names != record.classes:
        raise ValueError(f"{path}: its classes are {', '.join(names)}; the run's are {', '.join(record.classes)}")
    return dataset
