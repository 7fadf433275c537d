"""How far a run's images are from real ones at each checkpoint, and which checkpoint came closest.

best.json: {step, metric, value, recipe, regular_snapshot}; the averaged generator of that step stands in snapshots/.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pumpgan.metrics.extractors import Extractor, Recipe, load_extractor
from pumpgan.metrics.features import FeatureStatistics
from pumpgan.metrics.images import distance, name_of, real_statistics
from pumpgan.models.generator import to_uint8
from pumpgan.train.checkpoint import keep_snapshot
from pumpgan.train.config import GanConfig
from pumpgan.train.gan import Gan
from pumpgan.train.journal import Journal
from pumpgan.train.samples import draw_parts
from pumpgan.train.seeds import derived_seed
from pumpgan.train.training_data import TrainingData

ON_GPU, ON_CPU, FEW = 4096, 1024, 256  # generated images behind the metric, where the user asks for no number
SMALL = 64  # pixels a side up to which a CPU draws and looks at ON_CPU images within seconds
MANY_REAL = 5_000  # from here on the first look at real images takes long enough to be announced


@dataclass(frozen=True)
class Best:
    """The checkpoint with the smallest distance so far. regular_snapshot: its snapshot is kept for good anyway."""

    step: int
    metric: str
    value: float
    recipe: dict[str, Any]
    regular_snapshot: bool

    @classmethod
    def read(cls, run: Path) -> "Best | None":
        """None where no checkpoint was measured yet; ValueError, naming the file, where it is not a run's."""
        path = run / "best.json"
        try:
            found = cls(**json.loads(path.read_text()))
            Recipe(**{name: value for name, value in found.recipe.items() if name != "N"})
            return found
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: is cut short or damaged ({error}); remove it to look for a new best") from error

    def write(self, run: Path) -> None:
        aside = run / ".best.json"
        aside.write_text(json.dumps(asdict(self), indent=1, allow_nan=False))
        os.replace(aside, run / "best.json")


def step_named(run: Path, checkpoint: int | str | None) -> int | None:
    """The step that `--checkpoint` means: a number, `best`, or None for the newest."""
    if checkpoint != "best":
        return None if checkpoint is None else int(checkpoint)
    best = Best.read(run)
    if best is None:
        raise ValueError(
            f"{run / 'best.json'}: does not exist; the run has measured no checkpoint (see --metric-count)"
        )
    return best.step


def metric_extractor(config: GanConfig, device: torch.device) -> Extractor | None:
    """Of `--inception`, else the stand-in; None where nothing is to be measured. Leaves the random state alone."""
    return load_extractor(Path(config.inception) if config.inception else None, device) if config.metric_count else None


class Quality:
    """Measures a run's averaged generator against all that its image discriminator sees, and keeps the best one.

    The same latents every time, so that two checkpoints differ by their weights alone. What the real images look like
    is computed at the first measurement, or found in the user's cache folder.
    """

    def __init__(self, run: Path, journal: Journal, training: TrainingData, extractor: Extractor, config: GanConfig):
        """Raises ValueError where the run's best was measured by another recipe."""
        self.run, self.journal, self.training, self.extractor = run, journal, training, extractor
        self.count = config.metric_count
        self.best = Best.read(run)
        if self.best:
            earlier = {name: value for name, value in self.best.recipe.items() if name != "N"}
            Recipe(**earlier).check_same(extractor.recipe, str(run / "best.json"))
        self.real: FeatureStatistics | None = None

    def __call__(self, gan: Gan) -> float:
        """Logs the distance of this step, and keeps its averaged generator where it is the smallest so far."""
        real = self._real_statistics()
        generated = FeatureStatistics(self.extractor.recipe, keep=1)
        conditions = self._conditions(gan.config.seed)
        for part in draw_parts(gan.averaged, self.count, gan.config.seed, gan.device, conditions, name="metric"):
            generated.update(self.extractor(to_uint8(part.images)))
        value, recipe = distance(real, generated), {**self.extractor.recipe.record(), "N": self.count}
        metric = self.extractor.recipe.metric
        better = self.best is None or value < self.best.value
        if better:
            self._keep(gan, Best(gan.step, metric, value, recipe, False))
        self.journal.figures(gan.step, {f"metrics/{metric}": value}, about={"recipe": recipe})
        standing = (
            "the best so far" if better or self.best is None else f"best {self.best.value:.3f} at {self.best.step}"
        )
        self.journal.say(f"step {gan.step}: {name_of(recipe)} {value:.3f}, {standing}")
        return value

    def _real_statistics(self) -> FeatureStatistics:
        if self.real is None:
            images, total = self.training.images, len(self.training.images)
            if total >= MANY_REAL or self.extractor.recipe.name != "stand-in":
                self.journal.say(f"looking at {total} real images for the metric, unless an earlier run has")
            self.real = real_statistics(images.images, images.digest, self.extractor)
        return self.real

    def _conditions(self, seed: int) -> Tensor | None:
        """int64 [count]: as often as among the training images."""
        counts = self.training.condition_counts
        if not counts:
            return None
        source = torch.Generator().manual_seed(derived_seed(seed, "metric conditions"))
        weights = torch.tensor(counts, dtype=torch.float64)
        return torch.multinomial(weights, self.count, replacement=True, generator=source)

    def _keep(self, gan: Gan, best: Best) -> None:
        """First the snapshot, then the file that names it, then the old one goes: whenever killed, `best` is whole."""
        snapshots, old = self.run / "snapshots", self.best
        regular = (snapshots / f"{best.step}.safetensors").exists()
        self.best = Best(best.step, best.metric, best.value, best.recipe, regular)
        try:
            if not regular:
                keep_snapshot(self.run, gan.tensors()[0], best.step)
            self.best.write(self.run)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(
                f"{snapshots}: the best generator cannot be kept ({reason}); free some space and resume"
            ) from error
        if old and not old.regular_snapshot and old.step != best.step:
            (snapshots / f"{old.step}.safetensors").unlink(missing_ok=True)


def default_count(training: TrainingData, extractor: Extractor) -> int:
    """Generated images that cost little beside the minutes between two checkpoints."""
    if extractor.device.type == "cuda":
        return ON_GPU
    return ON_CPU if extractor.recipe.name == "stand-in" and max(training.size) <= SMALL else FEW
