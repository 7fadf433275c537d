"""Where the products of stages are kept: a folder each, found again by key, whichever study made it.

NAME-KEY[:12]/
    dataset/ | run/ | evaluation/    the product
    log.txt                          what its worker printed
    done.json                        written last: key, name, action, options, seconds, ..., result
.locks/KEY[:12]                      held by whoever makes the product
"""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from pumpgan.studies.stages import PRODUCTS, Stage
from pumpgan.train.checkpoint import sync_folder, write_synced

DONE = "done.json"


class Store:
    def __init__(self, folder: str | Path):
        self.folder = Path(folder).resolve()

    def place(self, stage: Stage) -> Path:
        """The folder of a stage, there or not, under whatever name it was made."""
        found = sorted(self.folder.glob(f"*-{stage.key[:12]}"))
        return found[0] if found else self.folder / f"{stage.name}-{stage.key[:12]}"

    def product(self, stage: Stage) -> Path:
        """Its dataset, run or evaluation."""
        return stage.path or self.place(stage) / PRODUCTS[stage.action]

    def done(self, stage: Stage) -> dict[str, Any] | None:
        """What done.json says of a stage, None where it is not finished."""
        return read_done(self.place(stage), stage.key)

    def result(self, stage: Stage) -> dict[str, Any]:
        """What the action of a finished stage returned; no clock and no path has a part in it."""
        done = self.done(stage)
        if done is None:
            raise ValueError(f"{self.place(stage)}: is not finished; run the study on")
        return done["result"]

    def usable(self, stage: Stage) -> bool:
        """Whether other stages can take its product."""
        return stage.external or (self.done(stage) is not None and self.product(stage).exists())

    def finished(self) -> list[dict[str, Any]]:
        """done.json of every finished stage."""
        found = [read_done(path.parent) for path in sorted(self.folder.glob(f"*/{DONE}"))]
        return [done for done in found if done is not None]

    def take(self, stage: Stage) -> int | None:
        """Keeps other processes from making this stage's product: the descriptor of its lock, None where one of them is
        making it. Whoever inherits the descriptor holds the lock too, until all have closed it."""
        locks = self.folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        handle = os.open(locks / stage.key[:12], os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle


def read_done(place: Path, key: str | None = None) -> dict[str, Any] | None:
    """None where a stage is not finished; ValueError, naming the file, where it is damaged or of another key."""
    path = place / DONE
    try:
        done: dict[str, Any] = json.loads(path.read_text())
        if key is not None and done["key"] != key:
            raise ValueError(f"is of a stage of key {done['key']}")
        missing = {"key", "kind", "seconds", "work", "bytes", "result"} - done.keys()
        if missing:
            raise ValueError(f"lacks {', '.join(sorted(missing))}")
        return done
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: is cut short or damaged ({error}); remove {place} to run it again") from error


def write_done(place: Path, done: dict[str, Any]) -> None:
    """The product is on the disk for good before done.json says so."""
    os.sync()
    write_synced(place / f".{DONE}", json.dumps(done, indent=1, allow_nan=False, sort_keys=True).encode())
    os.replace(place / f".{DONE}", place / DONE)
    sync_folder(place)


def size_on_disk(folder: Path) -> int:
    """Bytes of all files within."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
