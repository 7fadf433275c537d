"""What a model learns from, and the photographs of the train split that it is validated on and never learns from."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from pumpgan.data.dataset import Dataset
from pumpgan.data.packed import Packed, merge, pack_told
from pumpgan.data.splits import origin_of, refuse_shared, shown_by, validation_split
from pumpgan.train.downstream_config import ValidatedConfig
from pumpgan.train.training_data import refuse_unlike


@dataclass(frozen=True)
class ValidatedData:
    """training, validation: images that no photograph shares; both only of images with what is learnt.

    left_out: images of the train splits that show something of a validation photograph and are learnt from by nobody.
    untold: images without what is learnt. synthetic: of `training`, how many were drawn by a model, or got a defect
    pasted in.
    """

    training: Packed
    validation: Packed
    left_out: int
    untold: int

    @property
    def synthetic(self) -> int:
        return sum(not entry.photographs or entry.donor is not None for entry in self.training.entries)

    @property
    def digest(self) -> str:
        told = repr([packed.targets().tolist() for packed in (self.training, self.validation)])
        parts = (self.training.digest, self.validation.digest, hashlib.sha256(told.encode()).hexdigest())
        return "".join(part[:32] for part in parts)

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.training.images.shape[2:]
        return height, width


def load_validated(
    data: Sequence[str],
    config: ValidatedConfig,
    told: Callable[[Packed], Tensor],
    what: str,
    unlabelled: Sequence[str] = (),
) -> ValidatedData:
    """The train splits of all sets together; validation photographs are drawn from the first set's alone.

    told: which images of a set hold what is learnt, bool [N]; `what` names it. unlabelled: sets whose labels are left
    out. Raises ValueError where sets do not fit
    together, a photograph is learnt from that is in the first's test, or nothing is left to learn or validate on.
    """
    opened = [Dataset.open(path) for path in (*data, *unlabelled)]
    refuse_shared(opened)
    refuse_unlike(opened, config.resolution)
    parts = [pack_told(dataset, "train", config.resolution or None) for dataset in opened]
    parts[len(data) :] = [part.keep_labels(0, config.seed) for part in parts[len(data) :]]
    every = merge(parts)
    learnt = told(every)
    try:
        training, validation = validation_split(parts[0].entries, config.seed, config.validation_share)
    except ValueError as error:
        raise ValueError(f"--data: {data[0]}: {error}") from error
    origins = [origin_of(dataset) for dataset, part in zip(opened, parts, strict=True) for _ in part.entries]
    shows = [shown_by(entry, origin) for entry, origin in zip(every.entries, origins, strict=True)]
    held_out = {what for i in validation for what in shows[i]}
    training += [i for i in range(len(parts[0]), len(every)) if not held_out & shows[i]]
    split = [[i for i in part if learnt[i]] for part in (training, validation)]
    for part, indices in zip(("learn from", "validate on"), split, strict=True):
        if not indices:
            raise ValueError(f"--data: {', '.join(data)}: holds no train image with {what} to {part}")
    return ValidatedData(
        every.take(split[0]),
        every.take(split[1]),
        left_out=len(every) - len(training) - len(validation),
        untold=len(training) + len(validation) - len(split[0]) - len(split[1]),
    )


def with_targets(packed: Packed) -> Tensor:
    return packed.targets() >= 0


def with_labels(packed: Packed) -> Tensor:
    return packed.pixels_tell()


def both_targets(data: Sequence[str], found: ValidatedData) -> None:
    """Raises ValueError unless good images and defects are learnt from, and validated on."""
    for part, packed in (("learnt from", found.training), ("validated on", found.validation)):
        targets = packed.targets().unique().tolist()
        if len(targets) < 2:
            only = ("good", "defects")[targets[0]]
            raise ValueError(
                f"--data: {', '.join(data)}: all {len(packed)} images to be {part} are {only}; a classifier needs good "
                "images and defects"
            )


def defects_present(data: Sequence[str], found: ValidatedData) -> None:
    """Raises ValueError unless some pixel is learnt to be, and validated as, of another class than 0."""
    for part, packed in (("learnt from", found.training), ("validated on", found.validation)):
        if not bool((packed.labels > 0).any()):
            raise ValueError(
                f"--data: {', '.join(data)}: no pixel to be {part} is of another class than "
                f"{packed.classes[0].name}; there is nothing to segment"
            )
