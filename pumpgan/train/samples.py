"""What a run shows of itself: a sheet of images with their labels, and figures and warnings about the labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pumpgan.data.dataset import LabelClass
from pumpgan.data.picture import sample_sheet, save_png
from pumpgan.metrics.labels import LabelStatistics, compare
from pumpgan.models.generator import Drawn, Generator
from pumpgan.train.journal import Journal
from pumpgan.train.seeds import derived_seed
from pumpgan.train.semgan import Semgan

SHOWN = 16  # images of a sheet, generated and real alike
JUDGED = 256  # generated label maps behind figures and warnings
CHUNK = 32
FAR_APART = 2.0  # presence in the averaged over that in the raw generator, or the inverse


class Sampler:
    """Draws samples/STEP.png from fixed latents, and looks at the labels of the averaged generator.

    images, labels: real training images uint8 [N, C, H, W] and labels uint8 [N, H, W], all of them labelled.
    """

    def __init__(self, run: Path, journal: Journal, images: Tensor, labels: Tensor, classes: Sequence[LabelClass]):
        self.run, self.journal, self.classes = run, journal, classes
        self.images, self.labels = images[:SHOWN], labels[:SHOWN]
        real = LabelStatistics(classes)
        real.update(labels[:: max(1, len(labels) // 2000)])
        self.real = real

    def __call__(self, gan: Semgan) -> list[str]:
        """Writes the sheet of this step and logs its labels' figures; returns warnings about them."""
        drawn = draw(gan.averaged, JUDGED if gan.step else SHOWN, gan.config.seed, gan.device)
        labels = drawn.labels.argmax(dim=1).to(torch.uint8)
        groups = [
            (f"generated, step {gan.step}", drawn.images[:SHOWN], labels[:SHOWN]),
            ("real", self.images, self.labels),
        ]
        sheet = sample_sheet(groups, self.classes)
        (self.run / "samples").mkdir(exist_ok=True)
        save_png(sheet, self.run / "samples" / f"{gan.step:08d}.png")
        self.journal.picture(gan.step, "samples", np.asarray(sheet.convert("RGB")))
        if not gan.step:
            return []
        generated = LabelStatistics(self.classes)
        generated.update(labels)
        compared = compare(self.real, generated, asked=gan.control.asked_presence())
        self.journal.figures(gan.step, figures(compared))
        if not gan.control.may_be_judged(gan.images):
            return []  # early images lack what every real one has; nothing to warn about yet
        return compared["warnings"] + self._disagreements(gan, labels)

    def _disagreements(self, gan: Semgan, labels: Tensor) -> list[str]:
        """Classes that the averaged generator draws far more or less often than the raw one."""
        found = []
        for c, (name, (raw, _)) in enumerate(gan.control.drawn().items()):
            averaged = float((labels == c).flatten(1).any(dim=1).double().mean())
            if max(raw, averaged) > 0.05 and max(raw, averaged) > FAR_APART * min(raw, averaged):
                found.append(
                    f"{name}: in {100 * averaged:.0f} % of the averaged generator's labels, "
                    f"{100 * raw:.0f} % of the raw one's"
                )
        return found


def figures(compared: dict[str, Any]) -> dict[str, float]:
    """Of the averaged generator's labels, by class: presence, pixels, their distance to the real shares, and pieces."""
    values: dict[str, float] = {}
    for name, entry in compared["classes"].items():
        ours = entry["generated"]
        values |= {f"averaged/{name}/{key}": ours[key] for key in ("presence_percent", "pixels_percent")}
        values[f"averaged/{name}/wasserstein"] = entry["wasserstein"]
        if ours["components"] is not None:  # none where no label has the class
            values[f"averaged/{name}/components"] = ours["components"]
    return values


@torch.no_grad()
def draw(generator: Generator, count: int, seed: int, device: torch.device) -> Drawn:
    """`count` images and label logits on the CPU, always the same for a seed; the global random state is left alone."""
    source = torch.Generator().manual_seed(derived_seed(seed, "sheet"))
    parts = []
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        z = torch.randn(n, generator.latent_size, generator=source).to(device)
        noise = [torch.randn(shape, generator=source).to(device) for shape in generator.noise_shapes(n)]
        parts.append(Drawn(*(t.cpu() for t in generator(generator.mixed_styles(z), noise))))
    return Drawn(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
