"""What a run trains on: train splits of its datasets, packed, refused where they do not fit together or the model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pumpgan.data.dataset import Dataset, size_text
from pumpgan.data.packed import Packed, merge, pack
from pumpgan.data.splits import refuse_shared
from pumpgan.data.stream import Stream
from pumpgan.models.generator import levels
from pumpgan.train.config import GanConfig, SemganConfig, Stylegan2AdaConfig

GOOD_OR_DEFECT = ("good", "defect")  # what pixels tell where a dataset names no image labels


@dataclass(frozen=True)
class TrainingData:
    """images: all that the image discriminator sees. labelled: those with labels, None where the model learns none.
    conditions: their names and, int64 [N], that of each of `images`; empty and None for an unconditional model."""

    images: Packed
    labelled: Packed | None
    condition_names: tuple[str, ...] = ()
    conditions: Tensor | None = None

    @property
    def digest(self) -> str:
        parts = [self.images.digest[:32], self.labelled.digest[:32] if self.labelled else ""]
        if self.conditions is not None:
            told = repr((self.condition_names, self.conditions.tolist()))
            parts.append(hashlib.sha256(told.encode()).hexdigest()[:32])
        return "".join(parts)

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.images.images.shape[2:]
        return height, width

    @property
    def condition_counts(self) -> tuple[int, ...]:
        if self.conditions is None:
            return ()
        return tuple(torch.bincount(self.conditions, minlength=len(self.condition_names)).tolist())

    def streams(self, config: GanConfig, device: torch.device) -> list[Stream]:
        """One for each batch that the model's `step_of` takes."""

        def stream(name: str, packed: Packed, labels: Tensor | None, conditions: Tensor | None) -> Stream:
            return Stream(
                packed.images,
                labels,
                batch=config.batch,
                conditions=conditions,
                flips=self.images.flips,
                seed=config.seed,
                name=name,
                device=device,
            )

        found = [stream("images", self.images, None, self.conditions)]
        if self.labelled:
            found.append(stream("labelled", self.labelled, self.labelled.labels, None))
        return found


def load_data(data: Sequence[str], unlabelled: Sequence[str], config: GanConfig) -> TrainingData:
    """Train splits at the configuration's resolution; ValueError where sets do not fit together, the size suits no
    network, labels are lacking that the model learns, or a photograph is trained on that is in the first's test."""
    opened = [Dataset.open(path) for path in (*data, *unlabelled)]
    refuse_shared(opened)
    refuse_unlike(opened, config.resolution)

    def packed(datasets: Sequence[Dataset]) -> list[Packed]:
        return [pack(dataset, "train", config.resolution or None) for dataset in datasets]

    first = merge(packed(opened[: len(data)]))
    height, width = first.images.shape[2:]
    try:
        levels((height, width))
    except ValueError as error:
        where = "--resolution" if config.resolution else f"--data: {', '.join(data)}"
        advice = "" if config.resolution else "; import with --resolution, or train with it"
        raise ValueError(f"{where}: {error}{advice}") from error
    if isinstance(config, SemganConfig):
        if not bool(first.labelled.any()):
            raise ValueError(f"--data: {', '.join(data)} holds no labelled training image; SemanticGAN learns labels")
        if config.labelled:
            first = first.keep_labels(config.labelled, config.seed)
    if unlabelled and isinstance(config, Stylegan2AdaConfig) and config.conditional:
        raise ValueError("--unlabelled: of such sets only the images count, but --conditional wants labels of all")
    images = merge([first, *packed(opened[len(data) :])]) if unlabelled else first
    if isinstance(config, SemganConfig):
        every = bool(first.labelled.all())
        return TrainingData(images, first if every else first.take(first.labelled.nonzero().flatten()))
    if isinstance(config, Stylegan2AdaConfig) and config.conditional:
        return TrainingData(images, None, *conditions_of(images, data))
    return TrainingData(images, None)


def refuse_unlike(datasets: Sequence[Dataset], resolution: int) -> None:
    """Raises ValueError, naming them, where sets to train on together have other classes, channels, sizes or flips."""
    first = datasets[0]
    for other in datasets[1:]:
        for what, ours, theirs in (
            ("classes", ", ".join(first.class_names), ", ".join(other.class_names)),
            ("channels", first.channels, other.channels),
            ("size", size_text(first.size), size_text(other.size)),
            ("flips", first.flips, other.flips),
        ):
            resized = what == "size" and resolution  # all are brought to it
            if ours != theirs and not resized:
                advice = "; --resolution brings all to one size" if what == "size" else ""
                raise ValueError(f"{other.path}: {what} must be those of {first.path}: {ours}; got {theirs}{advice}")


def conditions_of(packed: Packed, data: Sequence[str]) -> tuple[tuple[str, ...], Tensor]:
    """Names, and int64 [N]: each image's own label, else whether a pixel of its label map is over 0."""
    names = packed.image_labels or GOOD_OR_DEFECT
    by_pixels = packed.targets()
    numbers, without = [], []
    for entry, target in zip(packed.entries, by_pixels.tolist(), strict=True):
        stated = names.index(entry.image_label) if entry.image_label is not None else target
        numbers.append(stated)
        if stated < 0 or (entry.image_label is None and len(names) != len(GOOD_OR_DEFECT)):
            without.append(entry.name)
    if without:
        raise ValueError(
            f"--conditional: {', '.join(data)}: {len(without)} training images have no image label "
            f"({', '.join(without[:5])}{', ...' if len(without) > 5 else ''})"
        )
    conditions = torch.tensor(numbers)
    if len(conditions.unique()) < 2:
        raise ValueError(f"--conditional: {', '.join(data)}: all training images are {names[numbers[0]]}")
    return names, conditions
