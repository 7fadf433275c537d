"""What an encoder makes of a run's data, and of the run of the SemanticGAN that it is built upon."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from pumpgan.data.dataset import size_text
from pumpgan.data.stream import Stream
from pumpgan.models.perceptual import NONE, load_perceptual
from pumpgan.train.checkpoint import averaged_tensors
from pumpgan.train.downstream_config import EncoderConfig
from pumpgan.train.downstream_data import defects_present, load_validated, with_labels
from pumpgan.train.downstream_job import ValidatedJob
from pumpgan.train.downstream_samples import EncoderSampler
from pumpgan.train.encoder import EncoderLearner
from pumpgan.train.journal import Journal
from pumpgan.train.learner import Looks
from pumpgan.train.precision import DTYPES
from pumpgan.train.record import RunRecord


class EncoderJob(ValidatedJob):
    """The step towards images alone sees all images, with labels or without, as a GAN's image discriminator does."""

    def __init__(self, data: Sequence[str], unlabelled: Sequence[str], config: EncoderConfig):
        found = load_validated(
            data, config, lambda packed: torch.ones(len(packed)).bool(), "an image", unlabelled=unlabelled
        )
        labelled = [with_labels(packed).nonzero().flatten() for packed in (found.training, found.validation)]
        for what, chosen in zip(("learn from", "validate on"), labelled, strict=True):
            if not len(chosen):
                raise ValueError(f"--data: {', '.join(data)}: holds no train image with pixel labels to {what}")
        self.labelled = found.training.take(labelled[0])
        self.found = replace(found, validation=found.validation.take(labelled[1]))
        defects_present(data, replace(self.found, training=self.labelled))
        self.size, self.digest, self.channels = found.size, found.digest, found.training.images.shape[1]
        self.classes, self.flips = found.training.classes, found.training.flips

    def settle(self, config: EncoderConfig, device: torch.device) -> Any:
        perceptual = config.perceptual if config.perceptual == NONE else str(Path(config.perceptual).resolve())
        settled = super().settle(config, device)
        return replace(settled, run=str(Path(config.run).resolve()) if config.run else "", perceptual=perceptual)

    def generator(self, config: EncoderConfig) -> dict[str, Any]:
        if not config.run:
            raise ValueError("--run: an encoder needs the run of a trained SemanticGAN")
        gan = RunRecord.read(Path(config.run))
        if gan.model != "semgan":
            raise ValueError(f"--run {config.run}: is a run of {gan.model}; an encoder needs that of a semgan")
        if gan.size != self.size:
            raise ValueError(
                f"--resolution: must be that of the images which --run {config.run} draws, {size_text(gan.size)}, got "
                f"{size_text(self.size)}"
            )
        ours = tuple(c.name for c in self.classes)
        for what, theirs, mine in (
            ("classes", ", ".join(gan.classes), ", ".join(ours)),
            ("channels", gan.channels, self.channels),
        ):
            if theirs != mine:
                raise ValueError(f"--data: {what} must be those of --run {config.run}: {theirs}; got {mine}")
        _, step = averaged_tensors(Path(config.run))
        return {"run": config.run, "checkpoint": step, "config": asdict(gan.config)}

    def build(self, record: RunRecord, device: torch.device) -> EncoderLearner:
        config = record.config
        perceptual = load_perceptual(config.perceptual, device)
        dtype = DTYPES[config.precision]
        return EncoderLearner(config, record.generator_config, record.task, self.found, perceptual, device, dtype)

    def begin(self, record: RunRecord, learner: EncoderLearner) -> None:
        if record.networks:
            raise ValueError("--networks: an encoder begins with a generator alone, that of --run")
        if record.generator is not None:
            tensors, _ = averaged_tensors(Path(record.generator["run"]), record.generator["checkpoint"])
            for network in (learner.network, learner.best.network):
                network.load_generator(tensors)

    def streams(self, config: EncoderConfig, device: torch.device) -> list[Stream]:
        common: dict[str, Any] = dict(
            batch=config.batch, flips=self.flips if config.mirror else "none", seed=config.seed, device=device
        )
        return [
            Stream(self.found.training.images, name="images", **common),
            Stream(self.labelled.images, self.labelled.labels, name="labelled", **common),
        ]

    def looks(self, run: Path, journal: Journal, config: EncoderConfig) -> Looks:
        sampler = EncoderSampler(run, journal)
        return Looks(sampler, sampler.tell_best)

    def learnt(self) -> str:
        return f"{super().learnt()}, {len(self.labelled)} of them with labels"

    def introduction(self, record: RunRecord, learner: EncoderLearner) -> list[str]:
        lines = super().introduction(record, learner)
        if record.generator is not None:
            lines.append(f"the generator is that of {record.generator['run']} at step {record.generator['checkpoint']}")
        if record.config.perceptual == NONE:
            lines.append(
                "no perceptual loss (--perceptual none): images are compared by squared error alone, where the "
                "published recipe weighs LPIPS ten times as much; expect blurrier ones"
            )
        else:
            lines.append(f"LPIPS with VGG-16 of {record.config.perceptual}")
        return lines


def with_generators_resolution(stated: dict[str, Any]) -> dict[str, Any]:
    """What a user stated of an encoder, with the resolution of the GAN's run where that was left out."""
    if "resolution" in stated:
        return stated
    return {**stated, "resolution": RunRecord.read(Path(stated["run"])).config.resolution}
