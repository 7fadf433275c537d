"""config.json of a run: all that it was told and all that it settled before its first step."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from pumpgan.data.dataset import LabelClass
from pumpgan.train.checkpoint import versions
from pumpgan.train.config import SemganConfig
from pumpgan.train.learner import Task
from pumpgan.train.loop import Goal
from pumpgan.train.presets import MODELS, config_from_json

FORMAT = 2


@dataclass(frozen=True)
class RunRecord:
    """size: (height, width) of what it draws. class_table: id, name, colour of each class of the data's labels, which
    not every model draws. conditions: image labels that it learnt; condition_counts: how many training images had each.
    networks: the run whose networks it began with, if any. generator: the SemanticGAN that an encoder is built upon:
    its run, the step of the checkpoint, and its config, by which it is rebuilt.
    """

    model: str
    preset: str
    config: Any
    data: tuple[str, ...]
    unlabelled: tuple[str, ...]
    class_table: tuple[dict[str, Any], ...]
    size: tuple[int, int]
    channels: int
    flips: str
    digest: str
    device: str
    goal: Goal
    ops: str = "native"  # which implementation of the operators it runs on
    conditions: tuple[str, ...] = ()
    condition_counts: tuple[int, ...] = ()
    networks: str | None = None
    generator: dict[str, Any] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(c["name"] for c in self.class_table)

    @property
    def task(self) -> Task:
        return Task(self.size, self.channels, self.classes if self.learns_labels else (), self.conditions)

    @property
    def label_classes(self) -> tuple[LabelClass, ...]:
        """As they were: the data set itself may be gone."""
        return tuple(LabelClass(c["id"], c["name"], tuple(c["colour"])) for c in self.class_table)

    @property
    def learns_labels(self) -> bool:
        return MODELS[self.model].learns_labels

    @property
    def generator_config(self) -> SemganConfig:
        """ValueError where the record keeps no generator."""
        if self.generator is None:
            raise ValueError(f"a run of {self.model} keeps no generator")
        return cast(SemganConfig, config_from_json("semgan", self.generator["config"]))

    @property
    def draws_labels(self) -> bool:
        return isinstance(self.config, SemganConfig)

    def write(self, run: Path) -> None:
        values = {"format": FORMAT, **asdict(self), "versions": versions()}
        aside = run / ".config.json"
        aside.write_text(json.dumps(values, indent=1, allow_nan=False))
        os.replace(aside, run / "config.json")

    @classmethod
    def read(cls, run: Path) -> "RunRecord":
        """ValueError or OSError, naming the file, where it is not a run's."""
        path = run / "config.json"
        if not path.exists():
            raise FileNotFoundError(f"{path}: does not exist; is {run} a run folder?")
        try:
            values = json.loads(path.read_text())
            if values.pop("format") != FORMAT:
                raise ValueError(f"format must be {FORMAT}")
            values.pop("versions")
            values["config"] = config_from_json(values["model"], values["config"])
            values["goal"] = Goal(**values["goal"])
            for name in ("data", "unlabelled", "class_table", "size", "conditions", "condition_counts"):
                values[name] = tuple(values[name])
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = f"is cut short or not of this version ({error}); restore the file, or start a run anew"
            raise ValueError(f"{path}: {reason}") from error
