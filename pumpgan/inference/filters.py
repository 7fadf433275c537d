"""Which generated samples are good enough for a training set: one class a criterion, all of which must be met.

A score belongs to a sample, whatever it was drawn together with: the same number of the same seed is always judged
alike. docs/generating.md says when to use which.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumpgan.data.dataset import Dataset, LabelClass, class_id, size_text
from pumpgan.data.packed import Packed, merge, pack
from pumpgan.data.splits import origin_of, shown_by
from pumpgan.inference.predictor import Predictor
from pumpgan.inference.samples import BATCH, Sample, TrainedGenerator
from pumpgan.inference.wanted import Wanted
from pumpgan.metrics.extractors import load_extractor
from pumpgan.metrics.novelty import MIRRORINGS, TrainingImages, features_of
from pumpgan.metrics.segmentation import Areas, SegmentationScores
from pumpgan.models.discriminators import ImageDiscriminator
from pumpgan.train.checkpoint import latest, steps
from pumpgan.train.gan import build_image_discriminator
from pumpgan.train.training_data import load_data

REFERENCE = 1024  # samples, whole batches, of whose logits the threshold of realism is a quantile

Scores = dict[str, Any]  # numbers by name, and the name of the nearest training image
Advance = Callable[[str, int, int], object]  # what is looked at, how many more of them were, and of how many
Segment = Callable[[Tensor], Tensor]  # images uint8 [N, C, H, W] -> class ids [N, H, W]


class Criterion(ABC):
    name: ClassVar[str]  # as the option, and as the reason that the log gives

    @abstractmethod
    def __call__(self, sample: Sample) -> list[Scores]:
        """Of each sample of a whole batch."""

    @abstractmethod
    def keeps(self, scores: Scores) -> bool: ...

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What dataset.json says of it."""


def verdicts(criteria: Sequence[Criterion], sample: Sample) -> list[tuple[Scores, list[str]]]:
    """Of each sample its scores, and the names of the criteria that it fails. What lacks the wanted class is not
    looked at any further."""
    judged: list[tuple[Scores, list[str]]] = [({}, []) for _ in sample.numbers]
    for criterion in criteria:
        wanted = [k for k, (_, failed) in enumerate(judged) if Presence.name not in failed]
        if not wanted:
            break
        found = criterion(sample)  # of the whole batch: rounding may depend on the company
        for k in wanted:
            scores, failed = judged[k]
            scores.update(found[k])
            if not criterion.keeps(found[k]):
                failed.append(criterion.name)
    return judged


class Presence(Criterion):
    """The labels hold a class in more than `least` of the pixels. Score: fraction, of the pixels."""

    name = "with_class"

    def __init__(self, trained: TrainedGenerator, wanted: str, least: float = 0.0):
        """ValueError for an unknown class, or a run that draws no labels."""
        if not trained.record.draws_labels:
            raise ValueError(f"with_class: {trained.run} draws images without labels")
        self.id, self.wanted, self.least = class_id(trained.classes, wanted), wanted, least

    def __call__(self, sample: Sample) -> list[Scores]:
        held = (cast(np.ndarray, sample.labels) == self.id).mean(axis=(1, 2))
        return [{"fraction": float(fraction)} for fraction in held]

    def keeps(self, scores: Scores) -> bool:
        return scores["fraction"] > self.least

    def settings(self) -> dict[str, Any]:
        return {"with_class": self.wanted, "min_fraction": self.least}


class Realism(Criterion):
    """The run's own image discriminator finds the sample among the `share` most real ones. Score: margin, the logit
    over the quantile of `REFERENCE` samples that no seed draws; conditional runs have one for each condition, so that
    none is thinned out more than another.

    In training a logit also depends on how unlike each other the samples of a group are (minibatch standard deviation).
    Here that feature always has the value that it has on average among the reference samples: the question is how real
    this sample is in usual company.
    """

    name = "realism"

    def __init__(
        self,
        trained: TrainedGenerator,
        share: float,
        *,
        truncation: float = 1.0,
        condition: int | None = None,
        advance: Advance = lambda what, images, total: None,
    ):
        self.discriminator, self.share = image_discriminator(trained), share
        self.names, self.device = trained.record.conditions, trained.device
        asked: list[int | None] = [condition]
        if condition is None and self.names:
            asked = [under for under, count in enumerate(trained.record.condition_counts) if count]
        features: dict[int | None, Tensor] = {}
        for under in asked:
            drawn = trained.samples(0, truncation=truncation, condition=under, purpose="reference")
            parts = []
            for sample in itertools.islice(drawn, REFERENCE // BATCH):
                parts.append(self._features(sample))
                advance("reference samples", BATCH, REFERENCE * len(asked))
            features[under] = torch.cat(parts)
        with torch.no_grad():
            unlike = torch.cat([self.discriminator.deviation(part)[:, -1:] for part in features.values()])
        self.deviation = unlike.mean()
        self.thresholds = {
            under: float(self._logits(part, [under] * len(part)).quantile(1 - share))
            for under, part in features.items()
        }

    @torch.no_grad()
    def _features(self, sample: Sample) -> Tensor:
        return self.discriminator.features(sample.pixels.to(self.device) / 127.5 - 1)

    @torch.no_grad()
    def _logits(self, features: Tensor, conditions: Sequence[int | None]) -> Tensor:
        """float64 [N]"""
        deviation = self.deviation.expand(len(features), 1, *features.shape[2:])
        named = torch.tensor(conditions, device=self.device) if self.names else None
        return self.discriminator.logits(torch.cat([features, deviation], dim=1), named).double()

    def __call__(self, sample: Sample) -> list[Scores]:
        conditions: Sequence[int | None] = sample.conditions or [None] * len(sample.numbers)
        logits = self._logits(self._features(sample), conditions).tolist()
        return [{"margin": logit - self.thresholds[under]} for logit, under in zip(logits, conditions, strict=True)]

    def keeps(self, scores: Scores) -> bool:
        return self.share == 1 or scores["margin"] >= 0

    def settings(self) -> dict[str, Any]:
        logits = {self.names[under] if under is not None else "all": at for under, at in self.thresholds.items()}
        return {
            "realism": {
                "share": self.share,
                "reference_samples": REFERENCE,
                "threshold": logits,
                "deviation": float(self.deviation),
            }
        }


def image_discriminator(trained: TrainedGenerator) -> ImageDiscriminator:
    """Of the generator's own step. ValueError where only a snapshot of the generator is left of that."""
    run, record = trained.run, trained.record
    whole = steps(run / "checkpoints")
    checkpoint = latest(run, trained.step) if trained.step in whole else None
    if checkpoint is None:
        raise ValueError(
            f"realism: {run} has a discriminator at step {' and '.join(map(str, whole)) or 'none'} alone; of step "
            f"{trained.step} only the generator is left (choose another --checkpoint, or leave --realism out)"
        )
    prefix = "image_discriminator."
    tensors = checkpoint.tensors("model.safetensors")
    discriminator = build_image_discriminator(record.config, record.task)
    discriminator.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    return discriminator.to(trained.device).requires_grad_(False)


class Agreement(Criterion):
    """A segmenter trained on real data sees in the image what its labels say. Score: agreement, as `overlap`."""

    name = "agreement"

    def __init__(self, classes: Sequence[LabelClass], segment: Segment, least: float, *, segmenter: dict[str, Any]):
        """segmenter: what dataset.json says of it."""
        self.classes, self.segment, self.least, self.segmenter = classes, segment, least, segmenter

    def __call__(self, sample: Sample) -> list[Scores]:
        found = SegmentationScores(self.classes)
        found.update(self.segment(sample.pixels), cast(np.ndarray, sample.labels))
        return [{"agreement": value} for value in overlap(found.areas).tolist()]

    def keeps(self, scores: Scores) -> bool:
        return scores["agreement"] >= self.least

    def settings(self) -> dict[str, Any]:
        return {"agreement": {"least": self.least, **self.segmenter}}

    @classmethod
    def of_run(cls, trained: TrainedGenerator, segmenter: Path, least: float) -> "Agreement":
        """By the best network of a segmenter's run; ValueError unless it knows the same classes in such images."""
        record, predictor = trained.record, Predictor(segmenter, device=trained.device)
        other = predictor.record
        if not record.draws_labels:
            raise ValueError(f"agreement: {trained.run} draws images without labels")
        if not other.learns_labels:
            raise ValueError(f"segmenter: {segmenter} is a run of {other.model}, which sees no pixel labels")
        for what, ours, theirs in (
            ("classes", ", ".join(record.classes), ", ".join(other.classes)),
            ("channels", record.channels, other.channels),
            ("size", size_text(record.size), size_text(other.size)),
        ):
            if ours != theirs:
                raise ValueError(
                    f"segmenter: {what} of {segmenter} must be those of {trained.run}: {ours}; got {theirs}"
                )
        about = {"segmenter": str(segmenter.resolve()), "checkpoint": predictor.step}
        return cls(trained.classes, lambda images: predictor.label_maps(images)[0], least, segmenter=about)


def overlap(areas: Areas) -> NDArray[np.float64]:
    """[N]: of two classes the intersection over union of the second, of more its mean over those that either map holds;
    1 where neither holds any."""
    both, either = (pixels[:, 1:] if pixels.shape[1] == 2 else pixels for pixels in (areas.intersection, areas.union))
    count = (either > 0).sum(axis=1)
    return np.where(count, (both / np.maximum(either, 1)).sum(axis=1) / np.maximum(count, 1), 1.0)


class Novelty(Criterion):
    """The sample is no training image over again. Scores: novelty, as `metrics.novelty` defines it, and nearest, the
    name of the nearest training image."""

    name = "novelty"

    def __init__(
        self,
        trained: TrainedGenerator,
        least: float,
        *,
        data: Sequence[Path] = (),
        inception: Path | None = None,
        advance: Advance = lambda what, images, total: None,
    ):
        """data: the training images; by default those that the run's config.json names. inception: whose features the
        distances are of; by default the stand-in's."""
        self.least, self.extractor = least, load_extractor(inception, trained.device)
        packed, shows, self.data = training_images(trained, data)
        self.names, self.digest = packed.names, packed.digest
        total = len(packed) * len(MIRRORINGS[packed.flips])
        features = features_of(packed, self.extractor, advance=lambda n: advance("training images", n, total))
        self.training = TrainingImages(features, shows)

    def __call__(self, sample: Sample) -> list[Scores]:
        nearest = self.training.nearest(self.extractor(sample.pixels))
        return [{"novelty": found.novelty, "nearest": self.names[found.index]} for found in nearest]

    def keeps(self, scores: Scores) -> bool:
        return scores["novelty"] >= self.least

    def settings(self) -> dict[str, Any]:
        recipe = self.extractor.recipe.record()
        found = {"data": self.data, "images": len(self.names), "digest": self.digest, "recipe": recipe}
        return {"novelty": {"least": self.least, **found}}


def training_images(
    trained: TrainedGenerator, data: Sequence[Path]
) -> tuple[Packed, list[frozenset[tuple[str, str, str]]], list[str]]:
    """All that the image discriminator saw, what each image shows, and the paths; ValueError where that is gone, or
    not the same any more. data: sets to take in place of those that the run names, as they are."""
    record, run = trained.record, trained.run
    paths = [str(path) for path in data] or [*record.data, *record.unlabelled]
    if not paths:
        raise ValueError(f"novelty: {run} does not say what it was trained on; name the data sets with --data")
    if data:
        packed = merge([pack(Dataset.open(path), "train", record.config.resolution or None) for path in paths])
    else:
        try:
            training = load_data(record.data, record.unlabelled, record.config)
        except (OSError, ValueError) as error:
            reason = f"its training images cannot be read again ({error}); --data names where they are now"
            raise ValueError(f"novelty: {run}: {reason}") from error
        if training.digest != record.digest:
            reason = "no longer hold what it was trained on; --data takes sets as they are now"
            raise ValueError(f"novelty: {run}: {', '.join(paths)} {reason}")
        packed = training.images
    _, channels, *size = packed.images.shape
    if (channels, tuple(size)) != (record.channels, record.size):
        height, width = record.size
        raise ValueError(
            f"novelty: images of {', '.join(paths)} are {size[1]}x{size[0]} with {channels} channels, "
            f"the run's {width}x{height} with {record.channels}"
        )
    datasets = [Dataset.open(path) for path in paths]
    shows = [frozenset(shown_by(entry, origin_of(dataset))) for dataset in datasets for entry in dataset.split("train")]
    return packed, shows, paths


def criteria_for(
    wanted: Wanted,
    trained: TrainedGenerator,
    *,
    truncation: float = 1.0,
    condition: int | None = None,
    advance: Advance = lambda what, images, total: None,
) -> list[Criterion]:
    """Ready to judge samples that are drawn with this truncation, under this condition."""
    found: list[Criterion] = []
    if wanted.with_class is not None:
        found.append(Presence(trained, wanted.with_class, wanted.min_fraction))
    if wanted.realism is not None:
        found.append(Realism(trained, wanted.realism, truncation=truncation, condition=condition, advance=advance))
    if wanted.agreement is not None and wanted.segmenter is not None:
        found.append(Agreement.of_run(trained, wanted.segmenter, wanted.agreement))
    if wanted.novelty is not None:
        found.append(Novelty(trained, wanted.novelty, data=wanted.data, inception=wanted.inception, advance=advance))
    return found
