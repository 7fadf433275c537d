"""Which of several ways to compute the same thing runs: on a GPU the fastest, timed once a shape and kept from then on.

On a CPU it is always the first, so no result there hangs on a clock. Choices are kept in this process and in
`kernel-choices.json` of the user's cache folder. A run stores `choices()` with its checkpoints and hands them to `pin`
when it is resumed, and so computes with the same kernels whatever the file says by then.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from pumpgan import __version__
from pumpgan.cache import user_cache
from pumpgan.ops.contract import layout_of

WARMUP, ROUNDS = 3, 11
_pinned: dict[str, str] = {}  # as a resumed run asks
_chosen: dict[str, str] = {}  # in this process


def choose(operation: str, ways: Mapping[str, Callable[..., Tensor]], *tensors: Tensor) -> str:
    """The name of the way to take for these tensors; the caller takes it.

    operation: names the question, with all that it depends on beside the tensors' shapes, dtypes and layouts.
    ways: name -> a function of `tensors`; all compute the same but for rounding. The first is the default.
    tensors: their values do not matter. Where gradients are on and one requires them, the backward pass is timed too.

    What was never asked before about CUDA tensors is timed: a few dozen passes, no random draw. Nothing can be timed
    while torch.compile traces, a CUDA graph is captured, or on fake tensors: there what is not known yet is the
    default, and not kept; so run a step without them first. OSError or ValueError names a file that is of no use.
    """
    default = next(iter(ways))
    if not _timed(tensors[0]):
        return default
    key = _key(operation, tensors)
    known = _pinned.get(key, _chosen.get(key))
    if known is not None and known in ways:
        return known
    real = all(type(t) in (Tensor, nn.Parameter) for t in tensors)
    if torch.compiler.is_compiling() or not real or torch.cuda.is_current_stream_capturing():
        return default
    kept = _read()
    if kept.get(key) not in ways:
        kept[key] = _fastest(ways, tensors)
        _write(kept)
    _chosen[key] = kept[key]
    return kept[key]


def choices() -> dict[str, str]:
    """What was chosen in this process and what is pinned: question -> name, for `pin`."""
    return {**_chosen, **_pinned}


def pin(choices: Mapping[str, str]) -> None:
    """From now on these are taken, in place of earlier pins. A question names GPU and versions: others time anew."""
    _pinned.clear()
    _pinned.update(choices)


def _timed(tensor: Tensor) -> bool:
    return tensor.device.type == "cuda"


def _key(operation: str, tensors: tuple[Tensor, ...]) -> str:
    looks = [f"{list(t.shape)} {t.dtype} {layout_of(t)}".replace("torch.", "") for t in tensors]
    backward = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    parts = [operation, *looks, "with gradients" if backward else "forward", _machine(tensors[0].device.index)]
    return ", ".join(parts)


@torch.compiler.assume_constant_result
def _machine(index: int | None) -> str:
    return f"{torch.cuda.get_device_name(index)}, torch {torch.__version__}, pumpgan {__version__}"


def _fastest(ways: Mapping[str, Callable[..., Tensor]], tensors: tuple[Tensor, ...]) -> str:
    leaves = [t.detach().requires_grad_(t.requires_grad and torch.is_grad_enabled()) for t in tensors]
    wanted = [t for t in leaves if t.requires_grad]
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(-WARMUP, ROUNDS):
        for name, way in ways.items():  # by turns: what slows the GPU slows them all
            time = _milliseconds(way, leaves, wanted)
            if turn >= 0:
                times[name].append(time)
    return min(times, key=lambda name: median(times[name]))


def _milliseconds(way: Callable[..., Tensor], leaves: list[Tensor], wanted: list[Tensor]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    y = way(*leaves)
    if wanted:
        torch.autograd.grad(y, wanted, torch.ones_like(y), allow_unused=True)
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def _file() -> Path:
    return user_cache() / "kernel-choices.json"


def _read() -> dict[str, str]:
    try:
        return dict(json.loads(_file().read_text())) if _file().exists() else {}
    except ValueError as error:
        raise ValueError(f"{_file()}: must hold the choices of kernels, remove it to time anew ({error})") from error


def _write(kept: dict[str, str]) -> None:
    file = _file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".kernel-choices.", delete=False) as aside:
            aside.write(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        os.replace(aside.name, file)  # whole or not at all; of two processes the later one is kept
    except OSError as error:
        raise OSError(
            f"{file}: cannot be written ({error.strerror}); set PUMPGAN_CACHE to a folder that can"
        ) from error
