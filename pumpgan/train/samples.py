"""What a run shows of itself: a sheet of images with their labels, and figures and warnings about the labels."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from pumpgan.data.picture import Group, sample_sheet, save_png
from pumpgan.metrics.labels import LabelStatistics, compare
from pumpgan.models.generator import Drawn, Generator
from pumpgan.train.gan import Gan
from pumpgan.train.journal import Journal
from pumpgan.train.seeds import derived_seed
from pumpgan.train.semgan import Semgan
from pumpgan.train.training_data import TrainingData

SHOWN = 16  # images of a sheet, generated and real alike
JUDGED = 256  # generated label maps behind figures and warnings
CHUNK = 32
FAR_APART = 2.0  # presence in the averaged over that in the raw generator, or the inverse


class Sampler:
    """Draws samples/STEP.png from fixed latents, and looks at the labels of the averaged generator."""

    def __init__(self, run: Path, journal: Journal, training: TrainingData):
        self.run, self.journal, self.training = run, journal, training
        self.classes = training.images.classes
        self.real: LabelStatistics | None = None
        if training.labelled is not None:
            labels = training.labelled.labels
            self.real = LabelStatistics(self.classes)
            self.real.update(labels[:: max(1, len(labels) // 2000)])

    def __call__(self, gan: Gan) -> list[str]:
        """Writes the sheet of this step and logs its labels' figures; returns warnings about them."""
        count = JUDGED if gan.step and self.real else SHOWN
        drawn = draw(gan.averaged, count, gan.config.seed, gan.device, self._conditions(count))
        labels = drawn.labels.argmax(dim=1).to(torch.uint8) if self.real else None
        sheet = sample_sheet([*self._generated(gan.step, drawn, labels), *self._real()], self.classes)
        (self.run / "samples").mkdir(exist_ok=True)
        save_png(sheet, self.run / "samples" / f"{gan.step:08d}.png")
        self.journal.picture(gan.step, "samples", np.asarray(sheet.convert("RGB")))
        if not gan.step or self.real is None or labels is None:
            return []
        gan = cast(Semgan, gan)  # which alone draws labels
        generated = LabelStatistics(self.classes)
        generated.update(labels)
        compared = compare(self.real, generated, asked=gan.control.asked_presence())
        self.journal.figures(gan.step, figures(compared))
        if not gan.control.may_be_judged(gan.images):
            return []  # early images lack what every real one has; nothing to warn about yet
        return compared["warnings"] + self._disagreements(gan, labels)

    def _conditions(self, count: int) -> Tensor | None:
        """Each condition in its turn."""
        names = self.training.condition_names
        return torch.arange(count) % len(names) if names else None

    def _generated(self, step: int, drawn: Drawn, labels: Tensor | None) -> list[Group]:
        title = f"generated, step {step}"
        names = self.training.condition_names
        if not names:
            return [(title, drawn.images[:SHOWN], None if labels is None else labels[:SHOWN])]
        return [
            (f"{title}: {name}", drawn.images[k : SHOWN : len(names)], None) for k, name in enumerate(names[:SHOWN])
        ]

    def _real(self) -> list[Group]:
        training = self.training
        if training.labelled is not None:
            few = spread(torch.arange(len(training.labelled)), SHOWN)
            return [("real", training.labelled.images[few], training.labelled.labels[few])]
        if training.conditions is None:
            return [("real", training.images.images[spread(torch.arange(len(training.images)), SHOWN)], None)]
        each = max(1, SHOWN // len(training.condition_names))
        numbers = range(min(len(training.condition_names), SHOWN))
        chosen = [spread((training.conditions == k).nonzero().flatten(), each) for k in numbers]
        named = zip(training.condition_names, chosen, strict=False)
        return [(f"real: {name}", training.images.images[k], None) for name, k in named if len(k)]

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


def spread(indices: Tensor, count: int) -> Tensor:
    """Some `count` of the indices from all over them: neighbours in a dataset are often of one part."""
    return indices[:: max(1, len(indices) // count)][:count]


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


def draw(generator: Generator, count: int, seed: int, device: torch.device, conditions: Tensor | None = None) -> Drawn:
    """`count` images and label logits on the CPU, always the same for a seed; the global random state is left alone."""
    parts = [Drawn(*(t.cpu() for t in part)) for part in draw_parts(generator, count, seed, device, conditions)]
    return Drawn(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


@torch.no_grad()
def draw_parts(
    generator: Generator, count: int, seed: int, device: torch.device, conditions: Tensor | None = None, name="sheet"
) -> Iterator[Drawn]:
    """The same on the device, a few at a time. name: of the sequence that `seed` begins; conditions: int64 [count]."""
    source = torch.Generator(device).manual_seed(derived_seed(seed, name))
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        z = torch.randn(n, generator.latent_size, generator=source, device=device)
        noise = [torch.randn(shape, generator=source, device=device) for shape in generator.noise_shapes(n)]
        named = None if conditions is None else conditions[start : start + n].to(device)
        yield generator(generator.mixed_styles(z, conditions=named), noise)
