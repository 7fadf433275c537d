"""Checkpoints: written aside, synced and renamed, so that a run folder always holds a whole one.

checkpoints/STEP/{model,optimizer}.safetensors + state.json, the last with size and SHA-256 of the other two.
snapshots/STEP.safetensors: the averaged generator alone, kept for good.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

KEEP = 2
FILES = ("model.safetensors", "optimizer.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    state: dict[str, Any]  # step, images, seconds, finished, threads, versions, digest, choices, files

    @property
    def step(self) -> int:
        return int(self.state["step"])

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Of model.safetensors or optimizer.safetensors; ValueError where the file is not what was written."""
        path = self.path / name
        expected = self.state["files"][name]
        try:
            size = path.stat().st_size
            if size != expected["bytes"]:
                raise ValueError(f"holds {size} of {expected['bytes']} bytes")
            if hashlib.sha256(path.read_bytes()).hexdigest() != expected["sha256"]:
                raise ValueError("is not what was written (its SHA-256 differs)")
            return load_file(path)
        except (FileNotFoundError, ValueError, SafetensorError) as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else error
            raise ValueError(f"{path}: {reason}; {advice(self.path)}") from error


def advice(path: Path) -> str:
    older = [s for s in steps(path.parent) if s < int(path.name)]
    if older:
        return f"delete the folder {path} to go on from step {older[-1]}, if that one is whole"
    return "no older checkpoint is left; delete the folder to go on from step 0, or start the run anew"


def steps(folder: Path) -> list[int]:
    """Of the checkpoints in a folder, ascending. Only numeric names are checkpoints; others are being written."""
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.is_dir() and p.name.isdigit())


def latest(run: Path, step: int | None = None) -> Checkpoint | None:
    """The newest checkpoint of a run (or that of `step`), None where the run has reached none."""
    folder = run / "checkpoints"
    found = steps(folder)
    if step is not None and step not in found:
        raise ValueError(f"{folder}: has no checkpoint of step {step}; it has {', '.join(map(str, found)) or 'none'}")
    if not found:
        return None
    path = folder / str(found[-1] if step is None else step)
    try:
        state = json.loads((path / "state.json").read_text())
        missing = {"step", "files", "images", "seconds", "threads"} - state.keys()
        missing |= set(FILES) - state.get("files", {}).keys()
        if missing:
            raise ValueError(f"lacks {', '.join(sorted(missing))}")
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{path / 'state.json'}: is cut short or damaged ({error}); {advice(path)}") from error
    return Checkpoint(path, state)


def save_checkpoint(
    run: Path, networks: dict[str, Tensor], rest: dict[str, Tensor], state: dict[str, Any], *, snapshot: bool
) -> None:
    """Writes checkpoints/STEP, drops all but the last two; OSError names the folder, and older ones stay as they are.

    snapshot: also keep the averaged generator for good.
    """
    folder = run / "checkpoints"
    final = folder / str(state["step"])
    if final.exists():
        return
    aside = folder / f".{state['step']}"
    try:
        folder.mkdir(exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        files = {}
        for name, tensors in zip(FILES, (networks, rest), strict=True):
            content = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
            write_synced(aside / name, content)
            files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        write_state(aside, {**state, "files": files})
        os.rename(aside, final)
        sync_folder(folder)
        if snapshot:
            keep_snapshot(run, networks, state["step"])
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        left = steps(folder)
        last = f"from the checkpoint of step {left[-1]}" if left else "from step 0, as no checkpoint exists yet"
        reason = error.strerror or str(error)
        raise OSError(f"{final}: cannot be written ({reason}); free some space, and resume {last}") from error
    for old in steps(folder)[:-KEEP]:
        shutil.rmtree(folder / str(old))


def write_state(checkpoint: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint's state.json, so that a reader finds the old one or the new one."""
    aside = checkpoint / ".state.json"
    write_synced(aside, json.dumps(state, indent=1, allow_nan=False).encode())
    os.rename(aside, checkpoint / "state.json")
    sync_folder(checkpoint)


def keep_snapshot(run: Path, networks: dict[str, Tensor], step: int) -> None:
    averaged = {k: v.detach().cpu().contiguous() for k, v in networks.items() if k.startswith("averaged.")}
    (run / "snapshots").mkdir(exist_ok=True)
    write_synced(run / "snapshots" / f".{step}", save(averaged))
    os.rename(run / "snapshots" / f".{step}", run / "snapshots" / f"{step}.safetensors")


def averaged_tensors(run: Path, step: int | None = None) -> tuple[dict[str, Tensor], int]:
    """(the averaged generator's tensors, their step): the newest, or a checkpoint's or snapshot's of `step`."""
    snapshot = run / "snapshots" / f"{step}.safetensors"
    if step is not None and snapshot.exists():
        try:
            tensors = load_file(snapshot)
        except SafetensorError as error:
            raise ValueError(f"{snapshot}: is cut short or damaged ({error})") from error
    else:
        checkpoint = latest(run, step)
        if checkpoint is None:
            raise ValueError(f"{run}: has no checkpoint yet")
        tensors, step = checkpoint.tensors("model.safetensors"), checkpoint.step
    prefix = "averaged."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}, int(step or 0)


def write_synced(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def versions() -> dict[str, str]:
    import pumpgan

    return {"pumpgan": pumpgan.__version__, "torch": torch.__version__}
