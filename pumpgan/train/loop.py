"""The training loop, in the order things happen: draw, take a step, look at flags, log, save."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pumpgan.data.stream import Stream
from pumpgan.ops.choice import choices
from pumpgan.train.checkpoint import latest, save_checkpoint, versions, write_state
from pumpgan.train.journal import Journal
from pumpgan.train.learner import NEVER, Learner, Looks, take_step
from pumpgan.train.seeds import derived_seed

LOG_EVERY = 16  # steps; the device is asked for its flags and figures only then
SAVE_EVERY = 300.0  # seconds


@dataclass(frozen=True)
class Goal:
    """Where a run ends: a step, real images seen, or minutes of this invocation, whichever is set."""

    steps: int | None = None
    minutes: float | None = None
    images: int | None = None

    def in_steps(self, batch: int) -> "Goal":
        """The same with images counted as steps of `batch`."""
        return self if self.images is None else Goal(steps=max(1, round(self.images / batch)))

    def reached(self, step: int, elapsed: float) -> bool:
        over = self.minutes is not None and elapsed >= 60 * self.minutes
        return over or (self.steps is not None and step >= self.steps)


class Interrupted(Exception):
    """A signal asked the run to leave; everything is saved. `signal` is its number."""

    def __init__(self, number: int):
        super().__init__(f"stopped by signal {number}")
        self.signal = number


def train(
    learner: Learner,
    *streams: Stream,
    run: Path,
    goal: Goal,
    journal: Journal,
    digest: str,
    looks: Looks,
) -> None:
    """To `goal` from where `learner` stands; a grid and a checkpoint at the start, every 5 minutes, at the end, and as
    often as `learner.checkpoint_every` says.

    streams: what `learner.step_of` takes a batch of each of.
    Raises Interrupted on SIGTERM and Ctrl-C, ValueError when a loss or gradient is not finite.
    """
    config, every = learner.config, learner.checkpoint_every

    def save(*, finished: bool, leaving: bool = False) -> None:
        check_finite(learner, run)
        journal.flush()
        state = {
            "step": learner.step,
            "images": learner.images,
            "seconds": journal.seconds,
            "finished": finished,
            "threads": torch.get_num_threads(),
            "versions": versions(),
            "digest": digest,
            "choices": choices(),
        }
        save_checkpoint(run, *learner.tensors(), state, snapshot=learner.snapshot_due(saved_step))
        warnings = looks.sample(learner) + learner.alarms()  # after the checkpoint, which matters more
        if warnings:
            journal.warn(learner.step, warnings)
        if learner.step and not leaving and not every:
            looks.measure(learner)

    saved_step = learner.step
    last = latest(run)
    if last is None or last.step != learner.step:
        save(finished=False)
    saved_time = time.monotonic()
    scalars: dict[str, Tensor] = {}
    with signals() as received:
        done = goal.reached(learner.step, journal.elapsed) or learner.converged
        while not done:
            torch.manual_seed(derived_seed(config.seed, "step", learner.step))  # a resumed run draws what this one does
            batches = [stream(learner.step) for stream in streams]
            scalars |= take_step(learner, learner.step_of(*batches))  # what came less often stays in
            done = goal.reached(learner.step, journal.elapsed) or learner.converged
            journal.advance(goal.minutes)
            if learner.step % LOG_EVERY == 0 or done:
                check_finite(learner, run)
                journal.log(learner.step, figures(learner, scalars), learner.MAIN)
            due = bool(every) and (learner.step % every == 0 or done)
            if due:
                with journal.aside(learner.step, "seconds/measurement"):
                    looks.measure(learner)  # before the checkpoint: who is killed in between measures again, alike
            if received or ((due or time.monotonic() - saved_time > SAVE_EVERY) and not done):
                with journal.aside(learner.step, "seconds/checkpoint"):
                    save(finished=False, leaving=bool(received))
                saved_step, saved_time = learner.step, time.monotonic()
            if received:
                raise Interrupted(received[0])
        if learner.step == saved_step:
            mark_finished(run, learner.step)
        else:
            save(finished=True)


def figures(learner: Learner, scalars: dict[str, Tensor]) -> dict[str, float]:
    """What a log line holds: the phases' scalars, and what the model adds."""
    return {name: float(value) for name, value in scalars.items()} | learner.figures()


def check_finite(learner: Learner, run: Path) -> None:
    bad = learner.first_bad_step.tolist()
    if min(bad) == NEVER:
        return
    step, phase = min(bad), learner.phase_names[bad.index(min(bad))]
    last = latest(run)
    good = f"the last good checkpoint is {last.path}" if last else "no checkpoint was reached"
    raise ValueError(f"step {step}: loss or gradient of phase {phase} is not finite; training stops; {good}")


def mark_finished(run: Path, step: int) -> None:
    """The goal was reached at a step whose checkpoint stands already: only its mark changes."""
    checkpoint = latest(run, step)
    if checkpoint and not checkpoint.state.get("finished"):
        write_state(checkpoint.path, {**checkpoint.state, "finished": True})


@contextmanager
def signals() -> Iterator[list[int]]:
    """Yields a list that receives SIGTERM and SIGINT; a second one of them acts as it did before."""
    received: list[int] = []
    before: dict[int, Any] = {}

    def note(number, frame):
        received.append(number)
        signal.signal(number, before[number])

    for number in (int(signal.SIGTERM), int(signal.SIGINT)):
        before[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
