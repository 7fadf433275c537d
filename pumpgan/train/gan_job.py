"""What a GAN makes of a run's data: the images and labels that it learns, and what is looked at while it does."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from pumpgan.data.stream import Stream
from pumpgan.losses.distribution import ShareTarget
from pumpgan.metrics.extractors import Extractor
from pumpgan.train.config import GanConfig, SemganConfig
from pumpgan.train.distribution import ShareControl, skipped_classes
from pumpgan.train.gan import Gan
from pumpgan.train.job import Job, of_networks
from pumpgan.train.journal import Journal
from pumpgan.train.learner import Looks
from pumpgan.train.precision import DTYPES
from pumpgan.train.presets import settled
from pumpgan.train.quality import Quality, default_count, metric_extractor
from pumpgan.train.record import RunRecord
from pumpgan.train.samples import Sampler
from pumpgan.train.semgan import Semgan
from pumpgan.train.stylegan2_ada import Stylegan2Ada
from pumpgan.train.training_data import load_data


class GanJob(Job):
    def __init__(self, data: Sequence[str], unlabelled: Sequence[str], config: GanConfig):
        self.training = training = load_data(data, unlabelled, config)
        self.size, self.digest = training.size, training.digest
        self.channels = training.images.images.shape[1]
        self.classes, self.flips = training.images.classes, training.images.flips
        self.condition_names, self.condition_counts = training.condition_names, training.condition_counts
        self.extractor: Extractor | None = None

    def settle(self, config: GanConfig, device: torch.device) -> GanConfig:
        inception = str(Path(config.inception).resolve()) if config.inception else ""
        config = replace(super().settle(settled(config, self.size), device), inception=inception)
        self.extractor = metric_extractor(config, device)
        if self.extractor and config.metric_count < 0:  # settled once: a distance depends on the number of images
            config = replace(config, metric_count=default_count(self.training, self.extractor))
        return config

    def build(self, record: RunRecord, device: torch.device) -> Gan:
        config, dtype = record.config, DTYPES[record.config.precision]
        if isinstance(config, SemganConfig) and self.training.labelled is not None:
            real = ShareTarget.of(self.training.labelled.labels, len(record.classes))
            control = ShareControl(config, real, list(record.classes), device)
            return Semgan(config, record.task, control, device, dtype)
        return Stylegan2Ada(config, record.task, device, dtype)

    def streams(self, config: GanConfig, device: torch.device) -> list[Stream]:
        return self.training.streams(config, device)

    def looks(self, run: Path, journal: Journal, config: GanConfig) -> Looks:
        sampler = Sampler(run, journal, self.training)
        if self.extractor is None:
            return Looks(sampler)
        return Looks(sampler, Quality(run, journal, self.training, self.extractor, config))

    def introduction(self, record: RunRecord, learner: Gan) -> list[str]:
        training, config = self.training, record.config
        labelled = f", {len(training.labelled)} of them with labels" if training.labelled else ""
        lines = of_networks(record, learner, f"{len(training.images)} images{labelled}")
        if record.conditions:
            counted = zip(record.conditions, record.condition_counts, strict=True)
            lines.append(f"image labels: {', '.join(f'{name} ({n})' for name, n in counted)}")
        if config.augment == "ada":
            lines.append(f"augmentation {config.augment_pipe}, its probability adapts, at most {config.augment_most:g}")
        elif config.augment == "fixed":
            lines.append(f"augmentation {config.augment_pipe} with probability {config.augment_p:g}")
        if isinstance(learner, Semgan) and config.dist_loss:
            control = learner.control
            named = [record.classes[c] for c in control.chosen]
            lines.append(
                f"distribution loss {config.dist_kind} on {', '.join(named)}; memory of {control.memory_size} images"
            )
            skipped = skipped_classes(config.dist_loss, list(record.classes), control.real)
            if skipped:
                lines.append(f"left out, since no training label has them: {', '.join(skipped)}")
        return lines
