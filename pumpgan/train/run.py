"""A run: its folder, its data, its networks; begun from a configuration or taken up where it stands."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from pumpgan.data.dataset import Dataset
from pumpgan.data.writer import check_new
from pumpgan.losses.distribution import ShareTarget
from pumpgan.metrics.extractors import Extractor
from pumpgan.ops import implementation
from pumpgan.ops.choice import pin
from pumpgan.train.allocator import keep_freed_memory
from pumpgan.train.checkpoint import FILES, latest, versions
from pumpgan.train.config import GanConfig, SemganConfig
from pumpgan.train.distribution import ShareControl, skipped_classes
from pumpgan.train.gan import Gan
from pumpgan.train.journal import Journal
from pumpgan.train.loop import Goal, train
from pumpgan.train.precision import DTYPES, resolve
from pumpgan.train.presets import MODELS, settled
from pumpgan.train.quality import Quality, default_count, metric_extractor
from pumpgan.train.record import RunRecord
from pumpgan.train.samples import Sampler
from pumpgan.train.semgan import Semgan
from pumpgan.train.stylegan2_ada import Stylegan2Ada
from pumpgan.train.training_data import TrainingData, load_data


def of_own_size(stated: dict, data: Sequence[str | Path]) -> dict:
    """What the user stated, with the data's own size where they are not square: a preset's resolution is of squares."""
    height, width = Dataset.open(data[0]).size
    return stated if height == width or "resolution" in stated else {**stated, "resolution": 0}


def start(
    config: GanConfig,
    *,
    preset: str,
    data: Sequence[str | Path],
    unlabelled: Sequence[str | Path] = (),
    run: Path,
    goal: Goal | None,
    device: torch.device,
    networks: Path | None = None,
    say=print,
    quiet: bool = False,
) -> Gan:
    """Begins a run in the folder `run`, absent or empty, and trains it to `goal` (None: the preset's).

    networks: a run of the same model whose networks this one begins with. What can be wrong with the input shows before
    the folder is made. Raises ValueError, OSError, Interrupted.
    """
    check_new(run)
    paths = absolute(data), absolute(unlabelled)
    model = model_of(config)
    training = load_data(*paths, config)
    config = settled(config, training.size)
    inception = str(Path(config.inception).resolve()) if config.inception else ""
    config = replace(config, precision=resolve(config.precision, device), inception=inception)
    extractor = metric_extractor(config, device)
    if extractor and config.metric_count < 0:  # settled once: a distance depends on the number of images
        config = replace(config, metric_count=default_count(training, extractor))
    record = RunRecord(
        model,
        preset,
        config,
        *paths,
        tuple(asdict(c) for c in training.images.classes),
        training.size,
        training.images.images.shape[1],
        training.images.flips,
        training.digest,
        device.type,
        goal.in_steps(config.batch) if goal else Goal(MODELS[model].goal(preset, config)),
        implementation.in_use(),
        training.condition_names,
        training.condition_counts,
        str(networks.resolve()) if networks else None,
    )
    gan = build(record, training, device)
    if networks:
        begin_with(networks, gan, record)
    check_new(run)  # once more: reading the data took its time
    run.mkdir(parents=True, exist_ok=True)
    with held(run):
        record.write(run)
        proceed(record, gan, training, run, extractor, seconds=0.0, say=say, quiet=quiet)
    return gan


def resume(
    run: Path,
    *,
    goal: Goal | None = None,
    data: Sequence[str | Path] = (),
    unlabelled: Sequence[str | Path] = (),
    device: torch.device | None = None,
    ops: str | None = None,
    inception: str | None = None,
    say=print,
    quiet: bool = False,
) -> bool:
    """Takes a run up at its newest checkpoint, at step 0 where it reached none. False where nothing was left to do.

    goal, device, ops: None keeps what the run was begun with. data, unlabelled, inception: where these are now, if they
    were moved; they must hold what they held. Raises ValueError, OSError, Interrupted.
    """
    if not run.is_dir():
        raise FileNotFoundError(f"{run}: is not there to be resumed")
    with held(run):
        return resume_held(run, goal, (data, unlabelled), device, ops, inception, say, quiet)


def resume_held(
    run: Path,
    goal: Goal | None,
    moved: tuple[Sequence[str | Path], Sequence[str | Path]],
    device: torch.device | None,
    ops: str | None,
    inception: str | None,
    say,
    quiet: bool,
) -> bool:
    record = RunRecord.read(run)
    if not record.data:
        raise ValueError(
            f"{run}: was converted, not trained; begin a run with its networks: pumpgan train --model {record.model} "
            f"--networks {run} --data DATASET"
        )
    if inception:
        record = replace(record, config=replace(record.config, inception=str(Path(inception).resolve())))
    implementation.use(ops or record.ops)
    checkpoint = latest(run)
    done = checkpoint is not None and bool(checkpoint.state.get("finished"))
    if goal is None and done:
        return False
    goal = goal.in_steps(record.config.batch) if goal else record.goal
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
        pin(checkpoint.state.get("choices", {}))  # the kernels it ran on, whatever is faster by now
    try:
        training = load_data(record.data, record.unlabelled, record.config)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; a set that was moved is named anew with --data (or --unlabelled)") from error
    if training.digest != record.digest:
        raise ValueError(
            f"{run}: {', '.join(record.data)} no longer holds the images and labels that this run began with"
        )
    try:
        extractor = metric_extractor(record.config, device)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; a file that was moved is named anew with --inception") from error
    gan = build(record, training, device)
    if not checkpoint and record.networks:
        begin_with(Path(record.networks), gan, record)
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
    proceed(record, gan, training, run, extractor, seconds=seconds, say=say, quiet=quiet)
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


def model_of(config: GanConfig) -> str:
    return next(name for name, model in MODELS.items() if model.config is type(config))


def build(record: RunRecord, training: TrainingData, device: torch.device) -> Gan:
    config, dtype = record.config, DTYPES[record.config.precision]
    if isinstance(config, SemganConfig) and training.labelled is not None:
        real = ShareTarget.of(training.labelled.labels, len(record.classes))
        control = ShareControl(config, real, list(record.classes), device)
        return Semgan(config, record.task, control, device, dtype)
    return Stylegan2Ada(config, record.task, device, dtype)


def begin_with(networks: Path, gan: Gan, record: RunRecord) -> None:
    """Loads the newest networks of another run; ValueError where that run's are of another kind."""
    other = RunRecord.read(networks)
    if other.model != record.model or other.task != record.task:
        raise ValueError(
            f"--networks {networks}: is {other.model} of {description(other)}; this run is {record.model} of "
            f"{description(record)}"
        )
    checkpoint = latest(networks)
    if checkpoint is None:
        raise ValueError(f"--networks {networks}: has no checkpoint yet")
    theirs, (ours, _) = checkpoint.tensors(FILES[0]), gan.tensors()
    shapes = [{name: tuple(tensor.shape) for name, tensor in tensors.items()} for tensors in (theirs, ours)]
    if shapes[0] != shapes[1]:
        name = next(name for name in sorted(shapes[0] | shapes[1]) if shapes[0].get(name) != shapes[1].get(name))
        raise ValueError(
            f"--networks {networks}: its networks are of other widths or depths: {name} is {shapes[0].get(name)} there "
            f"and {shapes[1].get(name)} here; leave these options to that run"
        )
    gan.load_networks(theirs)


def description(record: RunRecord) -> str:
    """`32x32 px, 3 channels, classes good, defect`."""
    task = record.task
    named = (("classes", task.classes), ("image labels", task.conditions))
    parts = [f"{kind} {', '.join(names)}" for kind, names in named if names]
    return ", ".join([f"{record.size[1]}x{record.size[0]} px", f"{record.channels} channels", *parts])


def proceed(
    record: RunRecord,
    gan: Gan,
    training: TrainingData,
    run: Path,
    extractor: Extractor | None,
    *,
    seconds: float,
    say,
    quiet: bool,
) -> None:
    config = record.config
    keep_freed_memory()
    for line in introduction(record, gan, training):
        say(line)
    streams = training.streams(config, gan.device)
    journal = Journal(run, step=gan.step, goal=record.goal.steps, batch=config.batch, seconds=seconds, quiet=quiet)
    try:
        looks: dict[str, Any] = dict(sample=Sampler(run, journal, training))
        if extractor:
            looks["measure"] = Quality(run, journal, training, extractor, config)
        train(gan, *streams, run=run, goal=record.goal, journal=journal, digest=training.digest, **looks)
    finally:
        journal.close()


def introduction(record: RunRecord, gan: Gan, training: TrainingData) -> list[str]:
    """What is about to run, in a few lines; nothing is chosen in silence."""
    config = record.config
    size = f"{record.size[1]}x{record.size[0]}"
    parameters = {name: count(getattr(gan, name)) for name in gan.NETWORKS if name != "averaged"}
    labelled = f", {len(training.labelled)} of them with labels" if training.labelled else ""
    lines = [
        f"{record.model}, preset {record.preset}: {size}{of_data(record)}, {len(training.images)} images{labelled}",
        ", ".join(f"{name.replace('_', ' ')} {n / 1e6:.2f} M" for name, n in parameters.items()) + " parameters",
        f"operators {implementation.in_use()}, {config.precision} features, {record.device}, "
        f"{torch.get_num_threads()} threads, batch {config.batch}",
    ]
    if record.networks:
        lines.append(f"begins with the networks of {record.networks}")
    if record.conditions:
        counted = zip(record.conditions, record.condition_counts, strict=True)
        lines.append(f"image labels: {', '.join(f'{name} ({n})' for name, n in counted)}")
    if config.augment == "ada":
        lines.append(f"augmentation {config.augment_pipe}, its probability adapts, at most {config.augment_most:g}")
    elif config.augment == "fixed":
        lines.append(f"augmentation {config.augment_pipe} with probability {config.augment_p:g}")
    if isinstance(gan, Semgan) and gan.config.dist_loss:
        control = gan.control
        named = [record.classes[c] for c in control.chosen]
        lines.append(
            f"distribution loss {gan.config.dist_kind} on {', '.join(named)}; memory of {control.memory_size} images"
        )
        skipped = skipped_classes(gan.config.dist_loss, list(record.classes), control.real)
        if skipped:
            lines.append(f"left out, since no training label has them: {', '.join(skipped)}")
    return lines


def of_data(record: RunRecord) -> str:
    """` (the data: 64x64)` where training resizes it."""
    height, width = Dataset.open(record.data[0]).size
    return "" if (height, width) == record.size else f" (the data: {width}x{height}; --resolution changes it)"


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
