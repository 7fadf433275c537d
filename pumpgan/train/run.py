"""A run: its folder, its data, its networks; begun from a configuration or taken up where it stands."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch

from pumpgan.data.dataset import Dataset
from pumpgan.data.writer import check_new
from pumpgan.ops import implementation
from pumpgan.ops.choice import pin
from pumpgan.train.allocator import keep_freed_memory
from pumpgan.train.checkpoint import FILES, latest, versions
from pumpgan.train.config import RunConfig
from pumpgan.train.downstream_job import ClassifierJob, SegmenterJob
from pumpgan.train.encoder_job import EncoderJob
from pumpgan.train.gan_job import GanJob
from pumpgan.train.job import Job
from pumpgan.train.journal import Journal
from pumpgan.train.learner import Learner
from pumpgan.train.loop import Goal, train
from pumpgan.train.presets import MODELS
from pumpgan.train.record import RunRecord

JOBS: dict[str, type[Job]] = {
    "semgan": GanJob,
    "stylegan2-ada": GanJob,
    "classifier": ClassifierJob,
    "segmenter": SegmenterJob,
    "encoder": EncoderJob,
}


def of_own_size(stated: dict, data: Sequence[str | Path]) -> dict:
    """What the user stated, with the data's own size where they are not square: a preset's resolution is of squares."""
    height, width = Dataset.open(data[0]).size
    return stated if height == width or "resolution" in stated else {**stated, "resolution": 0}


def start(
    config: RunConfig,
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
) -> Learner:
    """Begins a run in the folder `run`, absent or empty, and trains it to `goal` (None: the preset's).

    networks: a run of the same model whose networks this one begins with. What can be wrong with the input shows before
    the folder is made. Raises ValueError, OSError, Interrupted.
    """
    check_new(run)
    paths = absolute(data), absolute(unlabelled)
    model = model_of(config)
    job = JOBS[model](*paths, config)
    config = job.settle(config, device)
    goal = goal.in_steps(config.batch) if goal else Goal(MODELS[model].goal(preset, config))
    job.check_goal(config, goal.steps)
    record = RunRecord(
        model,
        preset,
        config,
        *paths,
        tuple(asdict(c) for c in job.classes),
        job.size,
        job.channels,
        job.flips,
        job.digest,
        device.type,
        goal,
        implementation.in_use(),
        job.condition_names,
        job.condition_counts,
        str(networks.resolve()) if networks else None,
        job.generator(config),
    )
    learner = job.build(record, device)
    begin(record, job, learner)
    check_new(run)  # once more: reading the data took its time
    run.mkdir(parents=True, exist_ok=True)
    with held(run):
        record.write(run)
        proceed(record, job, learner, run, seconds=0.0, say=say, quiet=quiet)
    return learner


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
    if inception and not MODELS[record.model].draws:
        raise ValueError(f"--inception: measures what a GAN draws; {run} is a run of {record.model}")
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
        job = JOBS[record.model](record.data, record.unlabelled, record.config)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; a set that was moved is named anew with --data (or --unlabelled)") from error
    if job.digest != record.digest:
        raise ValueError(
            f"{run}: {', '.join(record.data)} no longer holds the images and labels that this run began with"
        )
    try:
        job.settle(record.config, device)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; a file that was moved is named anew with --inception") from error
    learner = job.build(record, device)
    if not checkpoint:
        begin(record, job, learner)
    seconds = 0.0
    if checkpoint:
        networks, rest = (checkpoint.tensors(name) for name in FILES)
        try:
            learner.load_tensors(networks, rest, checkpoint.step)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(f"{checkpoint.path}: does not fit {run / 'config.json'} ({error})") from error
        seconds = float(checkpoint.state["seconds"])
    record.write(run)
    say(f"taking up {run} at step {learner.step}")
    proceed(record, job, learner, run, seconds=seconds, say=say, quiet=quiet)
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


def model_of(config: RunConfig) -> str:
    return next(name for name, model in MODELS.items() if model.config is type(config))


def begin(record: RunRecord, job: Job, learner: Learner) -> None:
    """What precedes a run's first step."""
    job.begin(record, learner)
    if record.networks:
        begin_with(Path(record.networks), learner, record)


def begin_with(networks: Path, learner: Learner, record: RunRecord) -> None:
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
    theirs, (ours, _) = checkpoint.tensors(FILES[0]), learner.tensors()
    shapes = [{name: tuple(tensor.shape) for name, tensor in tensors.items()} for tensors in (theirs, ours)]
    if shapes[0] != shapes[1]:
        name = next(name for name in sorted(shapes[0] | shapes[1]) if shapes[0].get(name) != shapes[1].get(name))
        raise ValueError(
            f"--networks {networks}: its networks are of other widths or depths: {name} is {shapes[0].get(name)} there "
            f"and {shapes[1].get(name)} here; leave these options to that run"
        )
    learner.load_networks(theirs)
    learner.begin_anew()


def description(record: RunRecord) -> str:
    """`32x32 px, 3 channels, classes good, defect`."""
    task = record.task
    named = (("classes", task.classes), ("image labels", task.conditions))
    parts = [f"{kind} {', '.join(names)}" for kind, names in named if names]
    return ", ".join([f"{record.size[1]}x{record.size[0]} px", f"{record.channels} channels", *parts])


def proceed(record: RunRecord, job: Job, learner: Learner, run: Path, *, seconds: float, say, quiet: bool) -> None:
    config = record.config
    keep_freed_memory()
    for line in [*job.introduction(record, learner), *surroundings(record)]:
        say(line)
    streams = job.streams(config, learner.device)
    journal = Journal(run, step=learner.step, goal=record.goal.steps, batch=config.batch, seconds=seconds, quiet=quiet)
    try:
        looks = job.looks(run, journal, config)
        train(learner, *streams, run=run, goal=record.goal, journal=journal, digest=job.digest, looks=looks)
    finally:
        journal.close()


def surroundings(record: RunRecord) -> list[str]:
    """What the run runs on, and began with."""
    config = record.config
    lines = [
        f"operators {implementation.in_use()}, {config.precision} features, {record.device}, "
        f"{torch.get_num_threads()} threads, batch {config.batch}"
    ]
    if record.networks:
        lines.append(f"begins with the networks of {record.networks}")
    return lines
