"""Running a study: each stage once, after what it needs, several at a time in processes of their own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pumpgan.studies.leaks import refuse_all_leaks
from pumpgan.studies.plan import Rates, kind_of, to_do, work_of
from pumpgan.studies.stages import PRODUCTS, Stage, in_order
from pumpgan.studies.store import Store
from pumpgan.studies.worker import Job, carry_out, environment, job_line
from pumpgan.train.loop import Interrupted, signals

LOOK_EVERY = 0.1  # seconds
GRACE = 120.0  # seconds in which a worker that was told to leave may save what it trains

Say = Callable[[str], object]


class StageFailed(ValueError):
    """A stage could not be finished; the message names it, the reason and its log."""


def run(
    stages: Sequence[Stage],
    store: Store,
    *,
    parallel: int = 1,
    threads: int | None = None,
    device: str = "auto",
    say: Say = print,
) -> None:
    """Runs these stages and all that they need, but for those that are done, in whatever study they were.

    parallel: stages at once, each in a process of its own; 0: one after the other in this one. threads: of each; by
    default the cores, shared out. Sums may differ in their last bits with another number, and so do results.
    device: auto, cpu or cuda. Each process gets one GPU, handed round. say: told what runs and what is left.

    May be stopped at any moment, by whatever means, and called again: runs are taken up at their newest checkpoint,
    all else that was not finished is begun anew, and the results are those of a study that nobody stopped. A stage that
    another process is making is waited for.

    Raises ValueError for wrong arguments and for leaks, before anything runs; StageFailed for the first stage that
    fails, once the others have saved and stopped; Interrupted on Ctrl-C and SIGTERM, likewise.
    """
    if parallel < 0:
        raise ValueError(f"parallel: must be 0 or above, got {parallel}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads: must be at least 1, got {threads}")
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device: must be auto, cpu or cuda, got {device!r}")
    refuse_all_leaks(stages)
    Study(stages, store, parallel, threads or max(1, cores() // max(1, parallel)), device, say).run()


class Study:
    def __init__(self, stages: Sequence[Stage], store: Store, parallel: int, threads: int, device: str, say: Say):
        self.store, self.parallel, self.threads, self.device, self.say = store, parallel, threads, device, say
        self.stages, self.wanted = in_order(stages), list(stages)
        missing = to_do(stages, store)
        self.waiting = {stage.key: stage for stage in self.stages if stage.key in missing}
        self.total, self.running = len(self.waiting), list[Worker]()
        self.waited_for: set[str] = set()
        self.gpus = visible_gpus() if device != "cpu" else []

    def run(self) -> None:
        if not self.total:
            self.say(f"all {sum(not stage.external for stage in self.stages)} stages are done: {self.store.folder}")
            return
        self.say(f"{self.total} stages to run{self.left()}; in {self.store.folder}")
        if self.parallel == 0:
            while self.waiting:
                if not self.start_next(self.in_process):
                    time.sleep(LOOK_EVERY)
            return
        with signals() as received:
            try:
                while self.waiting or self.running:
                    if received:
                        raise Interrupted(received[0])
                    began = len(self.running) < self.parallel and self.start_next(self.in_worker)
                    if not self.reap() and not began:
                        time.sleep(LOOK_EVERY)
            finally:
                self.stop()

    def start_next(self, start: Callable[[Stage, int], None]) -> bool:
        """Starts the first stage that has all that it needs and that no other process makes; False where none is."""
        busy = self.waiting.keys() | {worker.stage.key for worker in self.running}
        for stage in list(self.waiting.values()):
            if any(earlier.key in busy for earlier in stage.before()):
                continue
            lock = self.store.take(stage)
            if lock is None:
                if stage.key not in self.waited_for:
                    self.waited_for.add(stage.key)
                    self.say(f"{stage.name}: another process is at it; waiting for that")
                continue
            try:
                del self.waiting[stage.key]
                if self.store.done(stage) is not None and self.store.usable(stage):
                    self.say(f"{stage.name}: done meanwhile, by another process")
                else:
                    start(stage, lock)
            finally:
                os.close(lock)  # a worker has it too
            return True
        return False

    def in_process(self, stage: Stage, lock: int) -> None:
        job, begun = self.prepared(stage), time.monotonic()
        with (
            open(log_of(job), "a", buffering=1) as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            try:
                carry_out(job)
            except (ValueError, OSError) as error:
                print(error)
                raise StageFailed(f"{stage.name}: {error}; its log is {log_of(job)}") from error
        self.finished(stage, time.monotonic() - begun)

    def in_worker(self, stage: Stage, lock: int) -> None:
        taken = {worker.gpu for worker in self.running}
        free = [gpu for gpu in self.gpus if gpu not in taken] or self.gpus
        gpu = free[len(self.running) % len(free)] if free else None
        self.running.append(Worker.start(stage, self.prepared(stage), lock, gpu))

    def prepared(self, stage: Stage) -> Job:
        store, place = self.store, self.store.place(stage)
        place.mkdir(parents=True, exist_ok=True)
        (place / "done.json").unlink(missing_ok=True)  # of a stage whose product was removed
        self.say(f"[{self.total - len(self.waiting)}/{self.total}] {kind_of(stage)} {stage.name} begins")
        return Job(
            key=stage.key,
            name=stage.name,
            action=stage.action,
            kind=kind_of(stage),
            options=stage.options,
            inputs={role: [str(store.product(of)) for of in stages] for role, stages in stage.inputs.items()},
            contents=[(of.action, str(of.path), of.options["digest"]) for of in stage.before() if of.path],
            place=str(place),
            product=PRODUCTS[stage.action],
            work=work_of(stage),
            threads=self.threads,
            device=self.device,
        )

    def reap(self) -> bool:
        """Takes leave of the workers that have ended; StageFailed where one of them has failed."""
        ended = [worker for worker in self.running if worker.process.poll() is not None]
        self.running = [worker for worker in self.running if worker not in ended]
        for worker in ended:
            worker.close()
            if worker.process.returncode:
                raise StageFailed(worker.failure())
            self.finished(worker.stage, time.monotonic() - worker.begun)
        return bool(ended)

    def finished(self, stage: Stage, seconds: float) -> None:
        self.say(f"{stage.name}: done in {duration(seconds)}; {len(self.waiting)} not begun{self.left()}")

    def left(self) -> str:
        """How long all that waits or runs takes still."""
        rates, now = Rates(self.store), time.monotonic()
        seconds = [rates.seconds(stage) for stage in self.waiting.values()]
        seconds += [max(0.0, rates.seconds(worker.stage) - (now - worker.begun)) for worker in self.running]
        return f", about {duration(sum(seconds) / max(1, self.parallel))} left" if seconds else ""

    def stop(self) -> None:
        """Tells the workers to save and leave, and waits until they have."""
        if self.running:
            self.say(f"stopping {', '.join(worker.stage.name for worker in self.running)}; what is trained is saved")
        for worker in self.running:
            worker.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + GRACE
        for worker in self.running:
            try:
                worker.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.close()
        self.running = []


@dataclass(frozen=True)
class Worker:
    """A stage's process. Its standard input stays open as long as this process lives."""

    stage: Stage
    process: "subprocess.Popen[bytes]"
    log: BinaryIO
    gpu: str | None
    begun: float

    @classmethod
    def start(cls, stage: Stage, job: Job, lock: int, gpu: str | None) -> "Worker":
        log = open(log_of(job), "ab")  # noqa: SIM115  as long as the process
        process = subprocess.Popen(
            [sys.executable, "-m", "pumpgan.studies.worker"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment(job.threads, gpu),
            pass_fds=[lock],
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for this process to pass on
        )
        worker = cls(stage, process, log, gpu, time.monotonic())
        with contextlib.suppress(BrokenPipeError):  # it has ended already; its log says why
            cast(BinaryIO, process.stdin).write(job_line(job))
        return worker

    def close(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.log.close()

    def failure(self) -> str:
        path, code = Path(self.log.name), self.process.returncode
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
        if code < 0:
            reason = f"was ended by signal {-code}{' (out of memory?)' if code == -signal.SIGKILL else ''}"
        else:
            reason = lines[-1].strip() if lines else f"ended with status {code} and without a word"
        return f"{self.stage.name}: {reason}; its log is {path}"


def log_of(job: Job) -> Path:
    return Path(job.place) / "log.txt"


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """As CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu.strip() for gpu in named.split(",") if gpu.strip()]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
