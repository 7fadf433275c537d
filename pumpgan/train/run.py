"""A run: its folder, its data, its networks; begun from a configuration or taken up where it stands."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pumpgan.data.dataset import Dataset
from pumpgan.data.packed import Packed, merge, pack
from pumpgan.data.splits import refuse_shared
from pumpgan.data.stream import Stream
from pumpgan.data.writer import check_new
from pumpgan.losses.distribution import ShareTarget
from pumpgan.ops import implementation
from pumpgan.train.allocator import keep_freed_memory
from pumpgan.train.checkpoint import FILES, latest, versions
from pumpgan.train.config import SemganConfig, config_from_json
from pumpgan.train.distribution import ShareControl, skipped_classes
from pumpgan.train.journal import Journal
from pumpgan.train.loop import Goal, train
from pumpgan.train.precision import DTYPES, resolve
from pumpgan.train.samples import Sampler
from pumpgan.train.semgan import Semgan

FORMAT = 1


@dataclass(frozen=True)
class RunRecord:
    """config.json: all that a run was told and all that it settled before its first step."""

    model: str
    preset: str
    config: SemganConfig
    data: tuple[str, ...]
    unlabelled: tuple[str, ...]
    class_table: tuple[dict[str, Any], ...]  # id, name, colour of each class
    channels: int
    flips: str
    digest: str
    device: str
    goal: Goal
    ops: str = "native"  # which implementation of the operators it runs on

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(c["name"] for c in self.class_table)

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
            values["config"] = config_from_json(values["config"])
            values["goal"] = Goal(**values["goal"])
            for name in ("data", "unlabelled", "class_table"):
                values[name] = tuple(values[name])
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = f"is cut short or not of this version ({error}); restore the file, or start a run anew"
            raise ValueError(f"{path}: {reason}") from error


@dataclass(frozen=True)
class TrainingData:
    images: Packed  # all that the image discriminator sees
    labelled: Packed  # those with labels

    @property
    def digest(self) -> str:
        return f"{self.images.digest[:32]}{self.labelled.digest[:32]}"


def load_data(data: Sequence[str], unlabelled: Sequence[str], config: SemganConfig) -> TrainingData:
    """Train splits at the configuration's resolution; ValueError where sets do not fit together or hold no label, or
    where a photograph is trained on that is in the first's test."""
    refuse_shared([Dataset.open(path) for path in (*data, *unlabelled)])

    def packed(paths: Sequence[str]) -> list[Packed]:
        return [pack(Dataset.open(path), "train", config.resolution or None) for path in paths]

    first = merge(packed(data))
    height, width = first.images.shape[2:]
    if height != width or height & (height - 1) or height < 8:
        raise ValueError(
            f"--data: images must be square with a power of two from 8 on as their side, got {width}x{height} in "
            f"{', '.join(data)}; import with --resolution, or train with it"
        )
    if not bool(first.labelled.any()):
        raise ValueError(f"--data: {', '.join(data)} holds no labelled training image, and SemanticGAN learns labels")
    if config.labelled:
        first = first.keep_labels(config.labelled, config.seed)
    labelled = first if bool(first.labelled.all()) else first.take(first.labelled.nonzero().flatten())
    images = merge([first, *packed(unlabelled)]) if unlabelled else first
    return TrainingData(images, labelled)


def start(
    config: SemganConfig,
    *,
    preset: str,
    data: Sequence[str | Path],
    unlabelled: Sequence[str | Path] = (),
    run: Path,
    goal: Goal,
    device: torch.device,
    say=print,
    quiet: bool = False,
) -> Semgan:
    """Begins a run in the folder `run`, absent or empty, and trains it to `goal`.

    What can be wrong with the input shows before the folder is made. Raises ValueError, OSError, Interrupted.
    """
    check_new(run)
    paths = absolute(data), absolute(unlabelled)
    training = load_data(*paths, config)
    side = training.images.images.shape[-1]
    config = replace(config, resolution=side, precision=resolve(config.precision, device))
    record = RunRecord(
        "semgan",
        preset,
        config,
        *paths,
        tuple(asdict(c) for c in training.images.classes),
        training.images.images.shape[1],
        training.images.flips,
        training.digest,
        device.type,
        goal,
        implementation.in_use(),
    )
    gan = build(record, training, device)
    check_new(run)  # once more: reading the data took its time
    run.mkdir(parents=True, exist_ok=True)
    with held(run):
        record.write(run)
        proceed(record, gan, training, run, seconds=0.0, say=say, quiet=quiet)
    return gan


def resume(
    run: Path,
    *,
    goal: Goal | None = None,
    data: Sequence[str | Path] = (),
    unlabelled: Sequence[str | Path] = (),
    device: torch.device | None = None,
    ops: str | None = None,
    say=print,
    quiet: bool = False,
) -> bool:
    """Takes a run up at its newest checkpoint, at step 0 where it reached none. False where nothing was left to do.

    goal, device, ops: None keeps what the run was begun with. data, unlabelled: where the sets are now, if they were
    moved; they must hold what they held. Raises ValueError, OSError, Interrupted.
    """
    if not run.is_dir():
        raise FileNotFoundError(f"{run}: is not there to be resumed")
    with held(run):
        return resume_held(run, goal, (data, unlabelled), device, ops, say, quiet)


def resume_held(
    run: Path,
    goal: Goal | None,
    moved: tuple[Sequence[str | Path], Sequence[str | Path]],
    device: torch.device | None,
    ops: str | None,
    say,
    quiet: bool,
) -> bool:
    record = RunRecord.read(run)
    implementation.use(ops or record.ops)
    checkpoint = latest(run)
    done = checkpoint is not None and bool(checkpoint.state.get("finished"))
    if goal is None and done:
        return False
    goal = goal or record.goal
    if checkpoint and goal.steps is not None and checkpoint.step >= goal.steps:
        return False
    device = device or torch.device(record.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"{run}: was begun on a GPU and torch sees none; --device cpu goes on without")
    paths = [absolute(now) or then for now, then in zip(moved, (record.data, record.unlabelled), strict=True)]
    record = replace(
        record, goal=goal, device=device.type, ops=implementation.in_use(), data=paths[0], unlabelled=paths[1]
    )
    if checkpoint:
        if (then := checkpoint.state.get("versions")) != versions():
            say(f"begun with {then}, now {versions()}: the figures may differ in their last bits")
        torch.set_num_threads(int(checkpoint.state["threads"]))
    try:
        training = load_data(record.data, record.unlabelled, record.config)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; a set that was moved is named anew with --data (or --unlabelled)") from error
    if training.digest != record.digest:
        raise ValueError(
            f"{run}: {', '.join(record.data)} no longer holds the images and labels that this run began with"
        )
    gan = build(record, training, device)
    seconds = 0.0
    if checkpoint:
        networks, rest = (checkpoint.tensors(name) for name in FILES)
        try:
            gan.load_tensors(networks, rest, checkpoint.step)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(f"{checkpoint.path}: does not fit {run / 'config.json'} ({error})") from error
        seconds = float(checkpoint.state["seconds"])
    record.write(run)
    say(f"taking up {run} at step {gan.step}")
    proceed(record, gan, training, run, seconds=seconds, say=say, quiet=quiet)
    return True


def absolute(paths: Sequence[str | Path]) -> tuple[str, ...]:
    return tuple(str(Path(path).resolve()) for path in paths)


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Keeps a run's folder to one process; ValueError where another one trains in it."""
    handle = os.open(run, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{run}: another process is training in it") from None
        yield
    finally:
        os.close(handle)


def build(record: RunRecord, training: TrainingData, device: torch.device) -> Semgan:
    classes = list(record.classes)
    real = ShareTarget.of(training.labelled.labels, len(classes))
    control = ShareControl(record.config, real, classes, device)
    return Semgan(record.config, record.channels, control, device, DTYPES[record.config.precision])


def proceed(
    record: RunRecord, gan: Semgan, training: TrainingData, run: Path, *, seconds: float, say, quiet: bool
) -> None:
    config = record.config
    keep_freed_memory()
    for line in introduction(record, gan, training):
        say(line)
    streams = [
        Stream(
            packed.images,
            labels,
            batch=config.batch,
            flips=record.flips,
            seed=config.seed,
            name=name,
            device=gan.device,
        )
        for name, packed, labels in (
            ("images", training.images, None),
            ("labelled", training.labelled, training.labelled.labels),
        )
    ]
    journal = Journal(run, step=gan.step, goal=record.goal.steps, batch=config.batch, seconds=seconds, quiet=quiet)
    sampler = Sampler(run, journal, training.labelled.images, training.labelled.labels, training.images.classes)
    try:
        train(gan, *streams, run=run, goal=record.goal, journal=journal, digest=training.digest, sample=sampler)
    finally:
        journal.close()


def introduction(record: RunRecord, gan: Semgan, training: TrainingData) -> list[str]:
    """What is about to run, in a few lines; nothing is chosen in silence."""
    config = record.config
    size = f"{config.resolution}x{config.resolution}"
    parameters = {name: count(getattr(gan, name)) for name in gan.NETWORKS if name != "averaged"}
    lines = [
        f"{record.model}, preset {record.preset}: {size}{of_data(record)}, {len(training.images)} images, "
        f"{len(training.labelled)} of them with labels",
        ", ".join(f"{name.replace('_', ' ')} {n / 1e6:.2f} M" for name, n in parameters.items()) + " parameters",
        f"operators {implementation.in_use()}, {config.precision} features, {record.device}, "
        f"{torch.get_num_threads()} threads, batch {config.batch}",
    ]
    if config.dist_loss:
        control = gan.control
        named = [record.classes[c] for c in control.chosen]
        lines.append(
            f"distribution loss {config.dist_kind} on {', '.join(named)}; memory of {control.memory_size} images"
        )
        skipped = skipped_classes(config.dist_loss, list(record.classes), control.real)
        if skipped:
            lines.append(f"left out, since no training label has them: {', '.join(skipped)}")
    return lines


def of_data(record: RunRecord) -> str:
    """` (the data: 64x64)` where training resizes it."""
    height, width = Dataset.open(record.data[0]).size
    same = height == width == record.config.resolution
    return "" if same else f" (the data: {width}x{height}; --resolution changes it)"


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
