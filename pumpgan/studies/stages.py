"""What a study is made of: stages, each of which makes a dataset, a run or an evaluation of what others made.

A stage is known by its key, which stands for all that its product follows from. A study is a list of stages:

    parts = dataset("parts", "data/parts")
    defects = select("defects", parts, with_class="defect")
    gan = train("gan", "semgan", [defects], preset="tiny", steps=5000)
    drawn = generate("drawn", gan, 500, with_class="defect")
    segmenter = train("segmenter", "segmenter", [defects, drawn], preset="tiny", steps=1000)
    scores = evaluate("scores", segmenter, parts)
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from pumpgan.data.dataset import Dataset
from pumpgan.data.names import suggestion
from pumpgan.inference.wanted import Wanted
from pumpgan.studies.contents import dataset_digest, file_digest, run_digest
from pumpgan.train.presets import MODELS, configured
from pumpgan.train.record import RunRecord

FORMAT = 1  # part of every key; raised when a stage of the same options comes to make something else
PRODUCTS = {
    "dataset": "dataset",
    "run": "run",
    "file": "file",
    "select": "dataset",
    "paste": "dataset",
    "generate": "dataset",
    "train": "run",
    "evaluate": "evaluation",
}
"""By action, what it makes: the name of that folder, too."""


@dataclass(frozen=True, eq=False)
class Stage:
    """name: how it is called in lines and folders; no part of the key. action: one of `PRODUCTS`. options: JSON-ready.
    inputs: by role, the stages whose products it takes. path: where a product is that no stage makes."""

    name: str
    action: str
    options: dict[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple["Stage", ...]] = field(default_factory=dict)
    path: Path | None = None

    def __post_init__(self):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}", self.name):
            raise ValueError(f"stage: a name must be letters, digits, . _ + and -, got {self.name!r}")
        if self.action not in PRODUCTS:
            raise ValueError(f"stage {self.name}: action must be one of {', '.join(PRODUCTS)}, got {self.action!r}")
        try:
            same = json.loads(json.dumps(self.options, allow_nan=False)) == self.options
        except (TypeError, ValueError) as error:
            raise ValueError(f"stage {self.name}: options must be JSON-ready ({error})") from error
        if not same:
            raise ValueError(f"stage {self.name}: options must be JSON-ready, lists and not tuples, got {self.options}")

    @cached_property
    def key(self) -> str:
        """SHA-256, in hex, over action, options and the inputs' keys."""
        inputs = {role: [stage.key for stage in stages] for role, stages in self.inputs.items()}
        said = json.dumps([FORMAT, self.action, self.options, inputs], sort_keys=True, allow_nan=False)
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def external(self) -> bool:
        return self.path is not None

    def before(self) -> Iterator["Stage"]:
        """The stages that it takes something of."""
        for stages in self.inputs.values():
            yield from stages


def in_order(stages: Sequence[Stage]) -> list[Stage]:
    """These stages and all that they need, each once and after what it needs. ValueError where two share a name."""
    found: dict[str, Stage] = {}
    names: dict[str, str] = {}

    def visit(stage: Stage) -> None:
        if stage.key in found:
            return
        for earlier in stage.before():
            visit(earlier)
        if names.setdefault(stage.name, stage.key) != stage.key:
            raise ValueError(f"stage {stage.name}: two different stages have this name; name one of them otherwise")
        found[stage.key] = stage

    for stage in stages:
        visit(stage)
    return list(found.values())


# What is there already --------------------------------------------------------------------------------------------


def dataset(name: str, path: str | Path) -> Stage:
    """A dataset folder, known by its content. Raises OSError, ValueError where it is none."""
    return Stage(name, "dataset", {"digest": dataset_digest(Path(path))}, path=Path(path).resolve())


def trained_run(name: str, path: str | Path) -> Stage:
    """A run's folder, known by its configuration, its newest checkpoint and its best."""
    return Stage(name, "run", {"digest": run_digest(Path(path))}, path=Path(path).resolve())


def weights_file(name: str, path: str | Path) -> Stage:
    """A file of weights."""
    return Stage(name, "file", {"digest": file_digest(Path(path))}, path=Path(path).resolve())


# What stages make -------------------------------------------------------------------------------------------------


def select(
    name: str,
    of: Stage,
    *,
    with_class: str | None = None,
    share: float | None = None,
    count: int | None = None,
    seed: int = 0,
) -> Stage:
    """As `data.select.select`."""
    if with_class is not None and of.external:
        Dataset.open(path_of(of)).class_id(with_class)  # so that a typo shows before anything runs
    options = dict(with_class=with_class, share=share, count=count, seed=seed)
    return Stage(name, "select", options, {"of": (needed(name, of, "dataset"),)})


def paste(name: str, of: Stage, *, copies: int = 4, seed: int = 0, **options: Any) -> Stage:
    """As `augment.pasting.paste_defects`; options are its others. `photographs` counts by its path, not its content."""
    return Stage(name, "paste", dict(copies=copies, seed=seed, **options), {"of": (needed(name, of, "dataset"),)})


def train(
    name: str,
    model: str,
    data: Sequence[Stage],
    *,
    unlabelled: Sequence[Stage] = (),
    networks: Stage | None = None,
    preset: str,
    steps: int | None = None,
    minutes: float | None = None,
    **config: Any,
) -> Stage:
    """As `train.run.start`. preset: not `auto`, which means another on another machine. steps, minutes: the goal, by
    default the preset's; what is trained for minutes comes out differently every time. config: fields of the model's
    configuration; one that names a run or a file takes a stage.
    """
    if model not in MODELS or preset not in MODELS[model].presets:
        presets = "; ".join(f"{known} with {', '.join(m.presets)}" for known, m in MODELS.items())
        raise ValueError(f"stage {name}: model and preset must be of {presets}; got {model} with {preset}")
    if steps is not None and minutes is not None:
        raise ValueError(f"stage {name}: state steps or minutes, not both")
    check_fields(name, MODELS[model].config, config)
    plain, inputs = apart(config)
    for kind, stages in (("data", data), ("unlabelled", unlabelled)):
        inputs |= {kind: tuple(needed(name, stage, "dataset") for stage in stages)} if stages else {}
    if networks:
        inputs["networks"] = (needed(name, networks, "run"),)
    configured(model, preset, plain)  # so that an unknown or impossible value shows before anything runs
    options = dict(model=model, preset=preset, steps=steps, minutes=minutes, config=plain)
    # The preset's values too: a stage trained by what a preset meant earlier is another one.
    return Stage(name, "train", options | {"defaults": jsonable(MODELS[model].presets[preset])}, inputs)


def generate(
    name: str,
    run: Stage,
    count: int,
    *,
    seed: int = 0,
    start: int = 0,
    truncation: float = 1.0,
    image_label: str | None = None,
    checkpoint: int | str | None = None,
    **wanted: Any,
) -> Stage:
    """As `inference.generate.generate`. wanted: fields of `inference.wanted.Wanted`; where they name a run, a file or
    datasets, they take stages."""
    reproducible(name, run, checkpoint)
    check_fields(name, Wanted, wanted)
    plain, inputs = apart(wanted)
    places: dict[str, Any] = {role: Path(stages[0].name) for role, stages in inputs.items()}
    Wanted(**plain, **places)  # so that what cannot be shows before anything runs
    options: dict[str, Any] = dict(count=count, seed=seed, start=start, truncation=truncation, image_label=image_label)
    options |= dict(checkpoint=checkpoint, wanted=plain)
    return Stage(name, "generate", options, {"run": (needed(name, run, "run"),), **inputs})


def evaluate(
    name: str,
    run: Stage,
    data: Stage,
    *,
    split: str | None = None,
    metric: str = "all",
    count: int | None = None,
    seed: int = 0,
    checkpoint: int | str | None = None,
    inception: Stage | None = None,
) -> Stage:
    """Of a classifier or segmenter as `inference.judge.judge`, on the test split unless told otherwise; of a GAN as
    `inference.evaluate.compare_with`, with the train split. metric, count, seed, inception: of a GAN alone."""
    model = model_of(run)
    options = dict(split=split or ("train" if MODELS[model].draws else "test"), checkpoint=checkpoint)
    if MODELS[model].draws:
        reproducible(name, run, checkpoint)
        options |= dict(metric=metric, count=count, seed=seed)
    elif (metric, count, seed, inception) != ("all", None, 0, None) or checkpoint == "best":
        raise ValueError(f"stage {name}: metric, count, seed, inception and best are asked of GANs, not of a {model}")
    inputs = {"run": (needed(name, run, "run"),), "data": (needed(name, data, "dataset"),)}
    return Stage(name, "evaluate", options, inputs | ({"inception": (inception,)} if inception else {}))


def model_of(stage: Stage) -> str:
    """The model of a stage that is, or makes, a run."""
    return RunRecord.read(stage.path).model if stage.path else stage.options["model"]


def path_of(stage: Stage) -> Path:
    if stage.path is None:
        raise ValueError(f"stage {stage.name}: is made by the study; its place depends on the store")
    return stage.path


def needed(name: str, stage: Stage, product: str) -> Stage:
    """The stage itself; ValueError unless it makes a `product`."""
    if PRODUCTS[stage.action] != product:
        raise ValueError(f"stage {name}: needs a {product} where {stage.name} is, which is a stage of {stage.action}")
    return stage


def check_fields(name: str, of: type[Any], values: Mapping[str, Any]) -> None:
    """Raises ValueError where a dataclass has no field of such a name."""
    known = [f.name for f in fields(of)]
    for value in values:
        if value not in known:
            raise ValueError(f"stage {name}: {of.__name__} has no {value!r}{suggestion(value, known)}")


def reproducible(name: str, run: Stage, checkpoint: int | str | None) -> None:
    """Raises ValueError where a run's best is asked for and which one that is would depend on the clock."""
    if checkpoint == "best" and run.action == "train" and not run.options["config"].get("checkpoint_every"):
        raise ValueError(
            f"stage {name}: the best of {run.name} depends on how fast the machine is, unless that stage is told "
            "checkpoint_every, steps from one measured checkpoint to the next"
        )


def apart(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[Stage, ...]]]:
    """Plain values, and those that are stages or lists of them."""
    inputs: dict[str, tuple[Stage, ...]] = {}
    for key, value in values.items():
        stages = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        if stages and all(isinstance(stage, Stage) for stage in stages):
            inputs[key] = stages
    return jsonable({key: value for key, value in values.items() if key not in inputs}), inputs


def jsonable(values: Mapping[str, Any]) -> dict[str, Any]:
    """With lists for tuples."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
