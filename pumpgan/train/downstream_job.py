"""What classifiers and segmenters make of a run's data."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pumpgan.data.dataset import size_text
from pumpgan.data.stream import Stream, oversampling_weights
from pumpgan.train.downstream import ClassifierLearner, SegmenterLearner, Trained
from pumpgan.train.downstream_config import ClassifierConfig, SegmenterConfig, ValidatedConfig
from pumpgan.train.downstream_data import (
    ValidatedData,
    both_targets,
    defects_present,
    load_validated,
    with_labels,
    with_targets,
)
from pumpgan.train.downstream_samples import ClassifierSampler, SegmenterSampler
from pumpgan.train.job import Job, of_networks
from pumpgan.train.journal import Journal
from pumpgan.train.learner import Looks
from pumpgan.train.precision import DTYPES
from pumpgan.train.record import RunRecord

# Pixels a side below which a ResNet ends in maps of a single pixel. The weights' gradient of a strided convolution of
# such a map in bfloat16 is wrong on a CPU, up to infinite, by torch itself (2.15).
SMALLEST_IN_BF16 = 32


class ValidatedJob(Job):
    """What all models have in common that are validated."""

    found: ValidatedData

    def settle(self, config: Any, device: torch.device) -> Any:
        settled = super().settle(config, device)
        if settled.precision != "bf16" or device.type != "cpu" or min(self.size) >= SMALLEST_IN_BF16:
            return settled
        if config.precision != "auto":
            raise ValueError(
                f"--precision bf16: needs images of at least {SMALLEST_IN_BF16} pixels a side on a CPU, got "
                f"{size_text(self.size)}"
            )
        return replace(settled, precision="fp32")

    def check_goal(self, config: ValidatedConfig, steps: int | None) -> None:
        if steps is not None and steps < config.validate_every:
            raise ValueError(
                f"--steps: must be at least --validate-every, {config.validate_every}, as what is used later is the "
                f"best network that was validated; got {steps}"
            )

    def introduction(self, record: RunRecord, learner: Any) -> list[str]:
        found = self.found
        lines = of_networks(record, learner, self.learnt())
        photographs = {name for entry in found.validation.entries for name in entry.photographs}
        lines.append(
            f"validated every {record.config.validate_every} steps on {len(found.validation)} images of "
            f"{len(photographs)} photographs; the best {learner.SCORE} is kept"
        )
        if found.left_out:
            lines.append(f"{found.left_out} images are left out: they show something of these photographs")
        if found.untold:
            lines.append(f"{found.untold} images are left out: they do not say what they show")
        return lines

    def learnt(self) -> str:
        """How many images are learnt from."""
        found = self.found
        made = f" ({found.synthetic} of them pasted or generated)" if found.synthetic else ""
        return f"{len(found.training)} images{made}"


class DownstreamJob(ValidatedJob):
    LEARNER: type[Trained]

    def __init__(self, data: Sequence[str], unlabelled: Sequence[str], config: Any):
        if unlabelled:
            raise ValueError("--unlabelled: classifiers and segmenters learn from labels alone; leave it out")
        self.found = found = self.load(data, config)
        self.size, self.digest, self.channels = found.size, found.digest, found.training.images.shape[1]
        self.classes, self.flips = found.training.classes, found.training.flips

    @abstractmethod
    def load(self, data: Sequence[str], config: Any) -> ValidatedData: ...

    def settle(self, config: Any, device: torch.device) -> Any:
        weights = str(Path(config.encoder_weights).resolve()) if config.encoder_weights else ""
        return replace(super().settle(config, device), encoder_weights=weights)

    def build(self, record: RunRecord, device: torch.device) -> Trained:
        return self.LEARNER(record.config, record.task, self.found, device, DTYPES[record.config.precision])

    def begin(self, record: RunRecord, learner: Trained) -> None:
        if record.config.encoder_weights and record.networks:
            raise ValueError(
                "--encoder-weights: has no effect with --networks, which brings all weights; leave one out"
            )
        if record.config.encoder_weights:
            learner.network.load_encoder_weights(Path(record.config.encoder_weights))


class ClassifierJob(DownstreamJob):
    LEARNER = ClassifierLearner

    def load(self, data: Sequence[str], config: ClassifierConfig) -> ValidatedData:
        found = load_validated(data, config, with_targets, "an image label or pixel labels")
        both_targets(data, found)
        return found

    def streams(self, config: ClassifierConfig, device: torch.device) -> list[Stream]:
        training = self.found.training
        targets = training.targets()
        return [
            Stream(
                training.images,
                batch=config.batch,
                conditions=targets,
                weights=oversampling_weights(targets, config.oversample) if config.oversample else None,
                flips=training.flips if config.mirror else "none",
                seed=config.seed,
                device=device,
            )
        ]

    def looks(self, run: Path, journal: Journal, config: Any) -> Looks:
        sampler = ClassifierSampler(run, journal)
        return Looks(sampler, sampler.tell_best)

    def introduction(self, record: RunRecord, learner: Trained) -> list[str]:
        lines, targets = super().introduction(record, learner), self.found.training.targets()
        defects, n, extra = int(targets.sum()), len(targets), record.config.oversample
        drawn = (defects + extra) / (n + extra)
        lines.append(
            f"{defects} images of defects ({100 * defects / n:.1f} %)"
            + (f", drawn as {100 * drawn:.1f} % of all" if extra else "")
        )
        return lines


class SegmenterJob(DownstreamJob):
    LEARNER = SegmenterLearner

    def load(self, data: Sequence[str], config: SegmenterConfig) -> ValidatedData:
        found = load_validated(data, config, with_labels, "pixel labels")
        defects_present(data, found)
        return found

    def streams(self, config: SegmenterConfig, device: torch.device) -> list[Stream]:
        training = self.found.training
        flips = training.flips if config.mirror else "none"
        return [
            Stream(training.images, training.labels, batch=config.batch, flips=flips, seed=config.seed, device=device)
        ]

    def looks(self, run: Path, journal: Journal, config: Any) -> Looks:
        sampler = SegmenterSampler(run, journal)
        return Looks(sampler, sampler.tell_best)
