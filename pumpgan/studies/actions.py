"""What stages do. An action makes a product and returns what is to be known of it: JSON-ready, the same every time.

Neither a clock nor a path has a part in what an action returns. The one exception is training for minutes.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pumpgan.augment.pasting import paste_defects
from pumpgan.data.dataset import Dataset
from pumpgan.data.select import select as select_images
from pumpgan.inference.evaluate import compare_with
from pumpgan.inference.generate import generate as draw
from pumpgan.inference.judge import judge
from pumpgan.inference.wanted import Wanted
from pumpgan.studies.contents import check_unchanged
from pumpgan.train.checkpoint import FILES, latest
from pumpgan.train.encoder_job import with_generators_resolution
from pumpgan.train.loop import Goal
from pumpgan.train.presets import MODELS, configured
from pumpgan.train.quality import Best
from pumpgan.train.record import RunRecord
from pumpgan.train.run import of_own_size, resume, start

Result = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """What an action gets: a stage's options, by role the products that it takes, where to make its own, and on what.

    contents: (action, path, digest) of what it takes that no stage made.
    """

    action: str
    options: dict[str, Any]
    inputs: dict[str, list[Path]]
    out: Path
    device: torch.device
    contents: list[tuple[str, Path, str]]

    def one(self, role: str) -> Path:
        return self.inputs[role][0]

    def others(self, *roles: str) -> dict[str, list[Path]]:
        """The inputs of all roles but these."""
        return {role: paths for role, paths in self.inputs.items() if role not in roles}


def perform(work: Work) -> Result:
    """Makes a product, from nothing unless it is a run; ValueError, OSError, Interrupted as the library raises."""
    for content in work.contents:
        check_unchanged(*content)
    if work.action != "train":
        shutil.rmtree(work.out, ignore_errors=True)
    return ACTIONS[work.action](work)


def select(work: Work) -> Result:
    return counted(select_images(Dataset.open(work.one("of")), work.out, **work.options))


def paste(work: Work) -> Result:
    pasted = paste_defects(Dataset.open(work.one("of")), work.out, **work.options)
    return counted(pasted.dataset) | {"donors": pasted.donors, "short": pasted.short}


def counted(dataset: Dataset) -> Result:
    return {"statistics": dataset.statistics}


def train(work: Work) -> Result:
    """Begins a run, or takes it up where it was left, whatever left it."""
    run, options, device = work.out, work.options, work.device
    data, unlabelled = work.inputs["data"], work.inputs.get("unlabelled", [])
    common: dict[str, Any] = dict(data=data, unlabelled=unlabelled, device=device, quiet=True)
    if not (run / "config.json").exists():
        shutil.rmtree(run, ignore_errors=True)
        networks = work.inputs.get("networks", [None])[0]
        files = {role: str(paths[0]) for role, paths in work.others("data", "unlabelled", "networks").items()}
        stated, encoder = options["config"] | files, options["model"] == "encoder"
        stated = with_generators_resolution(stated) if encoder else of_own_size(stated, data)
        theirs = RunRecord.read(networks).config if networks else None
        config = configured(options["model"], options["preset"], stated, theirs)
        goal = Goal(options["steps"], options["minutes"]) if options["steps"] or options["minutes"] else None
        start(config, preset=options["preset"], run=run, goal=goal, networks=networks, **common)
    else:
        inception = work.inputs.get("inception", [None])[0]
        moved: dict[str, Any] = dict(inception=str(inception)) if inception else {}
        resume(run, goal=what_is_left(run, options["minutes"]), **common, **moved)
    return trained(run, options)


def what_is_left(run: Path, minutes: float | None) -> Goal | None:
    """A goal in minutes, less those that the run has had; None where it stands in the run's own configuration."""
    checkpoint = latest(run)
    if minutes is None or checkpoint is None or checkpoint.state.get("finished"):
        return None
    return Goal(minutes=max(0.0, minutes - checkpoint.state["seconds"] / 60))


def trained(run: Path, options: dict[str, Any]) -> Result:
    checkpoint = latest(run)
    if checkpoint is None:
        raise ValueError(f"{run}: has no checkpoint; remove it to train it again")
    result: Result = {"steps": checkpoint.step, "images": checkpoint.state["images"]}
    if not MODELS[options["model"]].draws:
        tensors = checkpoint.tensors(FILES[0])
        return result | {"best_step": int(tensors["best.step"]), "best_score": float(tensors["best.score"])}
    best = Best.read(run) if options["config"].get("checkpoint_every") else None  # else the clock has a part in it
    return result | ({"best_step": best.step, best.metric: best.value} if best else {})


def generate(work: Work) -> Result:
    options = dict(work.options)
    named: dict[str, Any] = {role: paths[0] for role, paths in work.others("run", "data").items()}
    if "data" in work.inputs:
        named["data"] = tuple(work.inputs["data"])
    wanted = Wanted(**options.pop("wanted"), **named)
    tally = draw(work.one("run"), work.out, options.pop("count"), wanted=wanted, device=work.device, **options)
    return {"images": tally.kept, "drawn": tally.drawn, "rejected": dict(sorted(tally.rejected.items()))}


def evaluate(work: Work) -> Result:
    run, data = work.one("run"), work.one("data")
    work.out.mkdir(parents=True)
    if MODELS[RunRecord.read(run).model].draws:
        inception = work.inputs.get("inception", [None])[0]
        found = compare_with(run, data, inception=inception, device=work.device, **work.options)
        (work.out / "scores.json").write_text(json.dumps(found, indent=1, allow_nan=False))
    else:
        found = judge(run, data, out=work.out, device=work.device, **work.options)
    return {name: value for name, value in found.items() if name not in ("when", "run", "data", "folder")}


ACTIONS: dict[str, Callable[[Work], Result]] = {
    "select": select,
    "paste": paste,
    "train": train,
    "generate": generate,
    "evaluate": evaluate,
}
