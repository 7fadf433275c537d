"""Makes one stage's product: in this process, or in one of its own, `python -m pumpgan.studies.worker`.

Such a process reads its job, a line of JSON, from standard input, and leaves as soon as that ends: whoever started it
is gone then, however suddenly. Leaving, as on SIGTERM, saves what is being trained. Exit status 0: done; 1: the last
line that was printed says why not; 143: told to leave.
"""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """All of it JSON-ready: paths as text.

    kind, work: what `plan.kind_of` and `work_of` say. contents: (action, path, digest) of what is taken that no stage
    made. product: the name of its folder in `place`.
    """

    key: str
    name: str
    action: str
    kind: str
    options: dict[str, Any]
    inputs: dict[str, list[str]]
    contents: list[tuple[str, str, str]]
    place: str
    product: str
    work: float
    threads: int
    device: str


def carry_out(job: Job) -> None:
    """Makes the product and says so in done.json; whoever calls this holds the stage's lock.

    Raises ValueError, OSError, Interrupted as the library does.
    """
    import torch

    from pumpgan.studies.actions import Work, perform
    from pumpgan.studies.store import size_on_disk, write_done
    from pumpgan.train.checkpoint import latest, versions

    device = job.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    before, begun, out = torch.get_num_threads(), time.monotonic(), Path(job.place) / job.product
    torch.set_num_threads(job.threads)
    try:
        inputs = {role: [Path(path) for path in paths] for role, paths in job.inputs.items()}
        contents = [(action, Path(path), digest) for action, path, digest in job.contents]
        result = perform(Work(job.action, job.options, inputs, out, torch.device(device), contents))
    finally:
        torch.set_num_threads(before)
    seconds = time.monotonic() - begun
    if job.action == "train" and (checkpoint := latest(out)):
        seconds = max(seconds, float(checkpoint.state["seconds"]))  # of all times that it was taken up
    about: dict[str, Any] = dict(key=job.key, name=job.name, action=job.action, kind=job.kind, options=job.options)
    about["result"] = result
    about |= dict(seconds=round(seconds, 2), work=job.work, bytes=size_on_disk(out), threads=job.threads, device=device)
    about |= dict(when=datetime.now(UTC).isoformat(timespec="seconds"), versions=versions())
    write_done(Path(job.place), about)


def environment(threads: int, gpu: str | None) -> dict[str, str]:
    """Of a worker's process. gpu: the one that it gets; None: all of them."""
    count = str(threads)
    own = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **own, **({"CUDA_VISIBLE_DEVICES": gpu} if gpu is not None else {})}


def job_line(job: Job) -> bytes:
    return json.dumps(asdict(job), allow_nan=False).encode() + b"\n"


def main() -> int:
    signal.signal(signal.SIGTERM, leave)
    source = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115  read to the end by a thread that nobody awaits
    line = source.readline()
    if not line.endswith(b"\n"):
        return 143  # whoever started this is gone already
    threading.Thread(target=leave_with_starter, args=[source], daemon=True).start()
    from pumpgan.train.loop import Interrupted

    try:
        carry_out(Job(**json.loads(line)))
    except Interrupted as stop:
        print(f"{stop}; everything is saved")
        return 128 + stop.signal
    except (ValueError, OSError) as error:
        print(error)
        return 1
    return 0


def leave_with_starter(source) -> None:
    source.read()  # until it ends
    os.kill(os.getpid(), signal.SIGTERM)


def leave(number, frame):
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
