"""What a study has to do, how long that takes and how much room, from what earlier stages of the store took."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from pumpgan.data.dataset import Dataset
from pumpgan.studies.leaks import refuse_all_leaks
from pumpgan.studies.stages import Stage, in_order
from pumpgan.studies.store import Store
from pumpgan.train.presets import MODELS, configured, settled
from pumpgan.train.record import RunRecord

# Seconds for 1,000 images of 64x64 pixels on two CPU cores, of training by preset tiny: where nothing was measured yet.
SECONDS = {
    "semgan": 28.0,
    "stylegan2-ada": 26.0,
    "classifier": 4.2,
    "segmenter": 35.0,
    "encoder": 60.0,
    "generate": 5.0,
    "select": 1.0,
    "paste": 10.0,
    "evaluate": 10.0,
}
RUN_BYTES = {"semgan": 60e6, "stylegan2-ada": 60e6, "classifier": 270e6, "segmenter": 650e6, "encoder": 400e6}
EVALUATION_BYTES = 1e6


@dataclass(frozen=True)
class Planned:
    """minutes, bytes: expected of a stage that is to be run, measured of one that is done; minutes nan: nobody can
    tell. measured: whether they rest on finished stages of the store."""

    stage: Stage
    done: bool
    minutes: float
    bytes: float
    measured: bool


def plan(stages: Sequence[Stage], store: Store) -> list[Planned]:
    """What `schedule.run` would do, in its order, without doing it; ValueError where it would refuse to begin."""
    ordered = in_order(stages)
    refuse_all_leaks(stages)
    missing, rates = to_do(stages, store), Rates(store)
    found = []
    for stage in ordered:
        done = store.done(stage) if not stage.external else None
        if stage.key in missing:
            minutes = rates.seconds(stage) / 60
            found.append(Planned(stage, False, minutes, rates.bytes(stage), rates.measured(stage)))
        elif done is not None:
            found.append(Planned(stage, True, done["seconds"] / 60, done["bytes"], True))
    return found


def table(planned: Sequence[Planned], parallel: int = 1) -> str:
    """A line a stage, and what all that is to be done takes; ~ before a figure that no finished stage stands behind."""
    rows = [("stage", "action", "", "minutes", "MB")]
    for line in planned:
        about = "" if line.measured else "~"
        minutes = "?" if math.isnan(line.minutes) else f"{about}{line.minutes:.1f}"
        state = "done" if line.done else "to do"
        rows.append((line.stage.name, kind_of(line.stage), state, minutes, f"{about}{line.bytes / 1e6:.0f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        "  ".join(
            cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    left = [line for line in planned if not line.done]
    total = sum(line.minutes for line in left if not math.isnan(line.minutes)) / max(1, parallel)
    room = sum(line.bytes for line in left) / 1e9
    return "\n".join([*lines, f"{len(left)} of {len(planned)} to do, about {total:.0f} minutes and {room:.1f} GB"])


def to_do(stages: Sequence[Stage], store: Store) -> dict[str, Stage]:
    """By key, the stages to run so that these are done: of what they were made from only what is still needed."""
    found: dict[str, Stage] = {}

    def need(stage: Stage) -> None:
        if stage.key in found:
            return
        for earlier in stage.before():
            if not store.usable(earlier):
                need(earlier)
        found[stage.key] = stage

    for stage in stages:
        if not stage.external and store.done(stage) is None:
            need(stage)
    return found


class Rates:
    """Seconds and bytes that stages take: the median of the store's finished stages of the same kind, else defaults."""

    def __init__(self, store: Store):
        self.known: dict[str, list[tuple[float, float]]] = {}  # by kind, (seconds for a unit of work, bytes) of each
        for done in store.finished():
            if done["work"] > 0:
                self.known.setdefault(done["kind"], []).append((done["seconds"] / done["work"], done["bytes"]))

    def measured(self, stage: Stage) -> bool:
        return kind_of(stage) in self.known

    def seconds(self, stage: Stage) -> float:
        """nan where it cannot be told."""
        if stage.options.get("minutes"):
            return 60.0 * stage.options["minutes"]
        kind = kind_of(stage)
        rate = median(rate for rate, _ in self.known[kind]) if kind in self.known else SECONDS[kind]
        return rate * work_of(stage)

    def bytes(self, stage: Stage) -> float:
        if stage.action not in ("train", "evaluate"):
            return 1.8 * images_of(stage) * pixels_of(stage) * 3  # grain hardly packs; and once more, to train on
        if stage.action == "evaluate":
            return EVALUATION_BYTES
        kind = kind_of(stage)
        return median(size for _, size in self.known[kind]) if kind in self.known else RUN_BYTES[kind]


def kind_of(stage: Stage) -> str:
    """What takes alike long: the action, of training the model."""
    return stage.options["model"] if stage.action == "train" else stage.action


def work_of(stage: Stage) -> float:
    """Thousand images of 64x64 pixels that go through a stage."""
    if stage.action == "train":
        options = stage.options
        side = math.isqrt(pixels_of(stage))
        config = settled(configured(options["model"], options["preset"], options["config"]), (side, side))
        steps = options["steps"] or MODELS[options["model"]].goal(options["preset"], config)
        images: float = steps * config.batch
    elif stage.action == "evaluate":
        images = images_of(stage.inputs["data"][0])
    elif stage.action == "generate":
        images = images_of(stage)
    else:
        images = images_of(stage) + images_of(stage.inputs["of"][0])
    return images / 1000 * pixels_of(stage) / 64**2


def images_of(stage: Stage) -> int:
    """How many images a dataset has or, at most, will have."""
    if stage.action == "generate":
        return int(stage.options["count"])
    if stage.path:
        return size_of(stage.path, stage.action)[0]
    of = images_of(stage.inputs["of"][0])
    if stage.action == "paste":
        return of * int(stage.options["copies"])
    return min(of, stage.options.get("count") or of)


def pixels_of(stage: Stage) -> int:
    """Of an image that a stage works on."""
    if stage.action == "train":
        values: dict[str, Any] = stage.options["defaults"] | stage.options["config"]
        if values.get("resolution"):
            return int(values["resolution"]) ** 2
    if stage.path:
        return size_of(stage.path, stage.action)[1]
    roles = ("data", "of", "run")
    return pixels_of(next(stage.inputs[role][0] for role in roles if role in stage.inputs))


@cache
def size_of(path: Path, action: str) -> tuple[int, int]:
    """(images, pixels of one) of a dataset or, without images, a run; read once, as large sets take their time."""
    dataset = Dataset.open(path) if action == "dataset" else None
    height, width = dataset.size if dataset else RunRecord.read(path).size
    return len(dataset.entries) if dataset else 0, height * width
