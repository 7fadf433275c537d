"""What a run tells: log.jsonl and TensorBoard for later, a progress bar for now."""

import contextlib
import json
import math
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm


class Journal:
    """Opens a run's log, cut back to `step`: what stands beyond was lost with the steps it tells of.

    seconds: training time of earlier invocations.
    """

    def __init__(self, run: Path, *, step: int, goal: int | None, batch: int, seconds: float, quiet: bool = False):
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        self.path = run / "log.jsonl"
        cut_back(self.path, step)
        self.file = open(self.path, "a", buffering=1)  # noqa: SIM115  lives as long as the run
        self.events = SummaryWriter(str(run), purge_step=step + 1 if step else None)
        self.batch, self.before = batch, seconds
        self.begun = self.last_time = time.monotonic()
        self.last_step = step
        self.bar = tqdm(total=goal, initial=step, unit="step", smoothing=0.05, disable=quiet, dynamic_ncols=True)

    @property
    def elapsed(self) -> float:
        """Seconds of this invocation."""
        return time.monotonic() - self.begun

    @property
    def seconds(self) -> float:
        return self.before + self.elapsed

    def log(self, step: int, scalars: dict[str, float], main: str) -> None:
        """One line in log.jsonl; the bar shows scalars[main], images a second and the time left."""
        now = time.monotonic()
        rate = (step - self.last_step) * self.batch / max(now - self.last_time, 1e-9)
        self.last_time, self.last_step = now, step
        line: dict[str, Any] = {"step": step, "images": step * self.batch, "seconds": round(self.seconds, 2)}
        line |= {"images_per_second": round(rate, 2), "peak_memory_bytes": peak_memory()}
        self._write(line | scalars)
        for name, value in {"images_per_second": rate, **scalars}.items():
            self.events.add_scalar(name, value, step)
        self.bar.set_postfix_str(f"loss {scalars.get(main, math.nan):.3f}, {rate:.0f} images/s")

    @contextlib.contextmanager
    def aside(self, step: int, name: str) -> Iterator[None]:
        """What is done within counts in no rate of training; the seconds that it took are logged under `name`."""
        begun = time.monotonic()
        yield
        taken = time.monotonic() - begun
        self.last_time += taken
        self.figures(step, {name: round(taken, 3)})

    def advance(self, minutes: float | None = None) -> None:
        """One step further; where the goal is a time, the bar shows what is left of it."""
        self.bar.update()
        if minutes is not None:
            left = max(0.0, 60 * minutes - self.elapsed)
            self.bar.set_description_str(f"{left // 60:.0f}:{left % 60:02.0f} left", refresh=False)

    def figures(self, step: int, scalars: dict[str, float], about: dict[str, Any] | None = None) -> None:
        """One line in log.jsonl, of what is looked at more seldom than losses. about: what more stands in the line."""
        self._write({"step": step} | scalars | (about or {}))
        for name, value in scalars.items():
            self.events.add_scalar(name, value, step)

    def warn(self, step: int, warnings: list[str]) -> None:
        self._write({"step": step, "warnings": warnings})
        for warning in warnings:
            self.say(f"warning at step {step}: {warning}")

    def picture(self, step: int, name: str, pixels) -> None:
        """pixels: uint8 [H, W, 3]."""
        self.events.add_image(name, pixels, step, dataformats="HWC")

    def say(self, text: str) -> None:
        tqdm.write(text)

    def flush(self) -> None:
        self.file.flush()
        self.events.flush()

    def close(self) -> None:
        self.bar.close()
        with contextlib.suppress(OSError):  # a full disk has been told of where it was met
            self.events.close()
        with contextlib.suppress(OSError):
            self.file.close()

    def _write(self, line: dict[str, Any]) -> None:
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
        try:
            self.file.write(json.dumps(plain, allow_nan=False) + "\n")
        except OSError as error:
            raise OSError(f"{self.path}: cannot be written ({error.strerror}); free some space and resume") from error


def cut_back(path: Path, step: int) -> None:
    """Cuts a log off after the last whole line whose step is at most `step`; steps ascend. Needs no free space."""
    if not path.exists():
        return
    end = 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            if not line.endswith(b"\n") or json.loads(line)["step"] > step:
                break  # cut off by a crash, or lost with the steps it tells of
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: holds a line that is not of a log ({error}); move the file away") from error
        end += len(line)
    os.truncate(path, end)


def peak_memory() -> int:
    """Bytes: of the device where there is one, else of this process."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
