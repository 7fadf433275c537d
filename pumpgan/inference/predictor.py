"""The best network of a classifier's, a segmenter's or an encoder's run, to be asked about images."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from pumpgan.data.dataset import LabelClass
from pumpgan.models.classifier import Classifier
from pumpgan.models.segmenter import Segmenter, decide, decide_by_probability
from pumpgan.train.checkpoint import FILES, latest
from pumpgan.train.encoder import build_redrawer
from pumpgan.train.precision import DTYPES
from pumpgan.train.record import RunRecord


class Predictor:
    """A run's network at its best validation, in evaluation mode."""

    def __init__(self, run: Path, *, checkpoint: int | None = None, device: torch.device | None = None):
        """checkpoint: the best up to this step; None: up to the newest checkpoint.

        Raises ValueError or OSError where the run is of another kind, has validated nothing yet or cannot be read.
        """
        self.run, self.record = run, RunRecord.read(run)
        self.device = device or torch.device("cpu")
        self.network = self._network().requires_grad_(False).eval()
        found = latest(run, checkpoint)
        if found is None:
            raise ValueError(f"{run}: has no checkpoint yet")
        tensors = found.tensors(FILES[0])
        prefix = "best.network."
        try:
            self.step, self.score = int(tensors["best.step"]), float(tensors["best.score"])
            own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            self.network.load_state_dict(own)
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"{run}: its checkpoint does not fit its config.json ({error})") from error
        if not self.step:
            every = self.record.config.validate_every
            raise ValueError(
                f"{run}: has validated no network yet, which it does every {every} steps; train it further"
            )
        self.network = self.network.to(self.device)
        self.dtype = DTYPES[self.record.config.precision]

    def _network(self) -> nn.Module:
        if self.record.model == "classifier":
            return Classifier()
        if self.record.model == "segmenter":
            return Segmenter(len(self.record.classes))
        if self.record.model == "encoder":
            record = self.record
            return build_redrawer(record.config, record.generator_config, record.task, DTYPES[record.config.precision])
        raise ValueError(f"{self.run}: is a run of {self.record.model}; none of a classifier, segmenter or encoder")

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        return self.record.label_classes

    def autocast(self) -> torch.autocast:
        """The precision that the run was trained in."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    @torch.no_grad()
    def _logits(self, images: Tensor) -> Iterator[Tensor]:
        """images: uint8 [N, C, H, W]; yields float32 logits of the next few on the device."""
        for some in images.split(self.record.config.batch):
            with self.autocast():
                yield self.network(some.to(self.device).float() / 127.5 - 1).float()

    def defect_probabilities(self, images: Tensor) -> Tensor:
        """A classifier's, float [N] on the CPU, of images uint8 [N, C, H, W]."""
        return torch.cat([logits.softmax(dim=1)[:, 1].cpu() for logits in self._logits(images)])

    def label_maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """A segmenter's class ids, uint8 [N, H, W], and the probability that a pixel is of another class than 0, float
        [N, H, W]; both on the CPU. images: uint8 [N, C, H, W]."""
        labels, foreground = [], []
        for logits in self._logits(images):
            labels.append(decide(logits, self.record.config.threshold).to(torch.uint8).cpu())
            foreground.append((1 - logits.softmax(dim=1)[:, 0]).cpu())
        return torch.cat(labels), torch.cat(foreground)

    def answer(self, images: Tensor) -> Tensor:
        """Class probabilities, float [N, classes, H, W] on the CPU, of images uint8 [N, C, H, W]; not of a
        classifier's."""
        return torch.cat([logits.softmax(dim=1).cpu() for logits in self._logits(images)])

    def decide(self, probabilities: Tensor) -> Tensor:
        """Class ids, uint8 [N, H, W], of class probabilities [N, classes, H, W], averaged and resized as may be."""
        return decide_by_probability(probabilities, self.record.config.threshold).to(torch.uint8)
