"""What all studies share: arms of evaluations, one a repeat, and the sizes of what is trained and drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pumpgan.data.dataset import Dataset, size_text
from pumpgan.studies.stages import Stage, path_of, train
from pumpgan.train.record import RunRecord

LIGHT: dict[str, Any] = dict(mirror=True, colour=1.0)  # the augmentation that costs nothing


@dataclass(frozen=True)
class Effort:
    """How long everything is trained, and how much is drawn.

    preset: of all trainings. repeats: of validation split, downstream training and drawing. gan_steps: of a GAN; steps:
    of a classifier or segmenter; None leaves them to the preset. fresh_gans: GANs are trained for each repeat too.
    """

    preset: str = "tiny"
    repeats: int = 3
    gan_steps: int | None = None
    steps: int | None = None
    fresh_gans: bool = False

    def __post_init__(self):
        if self.repeats < 1:
            raise ValueError(f"repeats: must be at least 1, got {self.repeats}")


@dataclass(frozen=True)
class Table:
    """number: of the source thesis's table that it stands beside. arms: name -> the evaluation of each repeat, in the
    order of rows. scores: columns. varied: what the arms' names are numbers of, if they are."""

    number: str
    title: str
    arms: Mapping[str, Sequence[Stage]]
    baseline: str
    scores: Sequence[str]
    varied: str | None = None


@dataclass(frozen=True)
class Study:
    name: str
    tables: Sequence[Table]

    @property
    def stages(self) -> list[Stage]:
        """What is asked for; each brings what it needs."""
        found = [stage for table in self.tables for stages in table.arms.values() for stage in stages]
        return list({stage.key: stage for stage in found}.values())


def check_given(given: Mapping[str, Stage], known: Sequence[str], data: Stage) -> None:
    """Raises ValueError where a run is given for no arm of the study, or draws images of another size than the data."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"--gan: this study's are {', '.join(known)}; got {', '.join(unknown)}")
    size = Dataset.open(path_of(data)).size
    for name, stage in given.items():
        drawn = RunRecord.read(path_of(stage)).size
        if drawn != size:
            raise ValueError(f"--gan {name}: draws images of {size_text(drawn)}; the data are {size_text(size)}")


def gan_of(
    name: str, model: str, data: Sequence[Stage], effort: Effort, given: Mapping[str, Stage], repeat: int, **config: Any
) -> Stage:
    """The GAN of an arm: the run that the user gave by this name, else one to be trained, at the data's own size; one
    for all repeats unless each is to have its own."""
    if name in given:
        return given[name]
    seed = repeat if effort.fresh_gans else 0
    own = f"-{repeat}" if effort.fresh_gans else ""
    steps = effort.gan_steps
    about: dict[str, Any] = dict(resolution=0, seed=seed) | config
    return train(f"gan-{name}{own}", model, data, preset=effort.preset, steps=steps, **about)
