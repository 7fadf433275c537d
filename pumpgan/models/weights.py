"""Weights that an encoder begins with: files as others publish or save them, read whole or refused."""

from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

EXPECTED = "expected are named tensors: .safetensors, or .pth or .pt as torch.save writes a state dict"
WRAPPERS = ("state_dict", "model_state_dict", "model")  # of the state dict, where a training script saves more with it
PREFIXES = ("module", "model", "encoder", "backbone")  # of names, where the encoder was part of something else
HEADS = ("fc", "last_linear", "head", "classifier")  # told other classes apart; not part of an encoder
COUNTER = "num_batches_tracked"  # of a batch norm: no weight, and older files lack it


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Gives every weight of `encoder` the value that a file holds for it; nothing is downloaded, nor executed.

    A head in the file is left out, and so is what stands beside the encoder (a decoder, an optimiser). Raises
    FileNotFoundError where there is no file, ValueError where it is cut short, holds no named tensors, or those of
    another network: then `encoder` is as it was.
    """
    found = read_weights(path)
    own = {name: value for name, value in encoder.state_dict().items() if not name.endswith(COUNTER)}
    prefix = prefix_of(found, own)
    theirs = {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
    missing = [name for name in own if name not in theirs]
    misshapen = [
        f"{name} ({list(theirs[name].shape)}, not {list(value.shape)})"
        for name, value in own.items()
        if name in theirs and theirs[name].shape != value.shape
    ]
    unknown = [
        name
        for name in theirs
        if name not in own and not name.endswith(COUNTER) and name.partition(".")[0] not in HEADS
    ]
    faults = [
        f"{len(names)} {what}, first {names[0]}"
        for what, names in (("missing", missing), ("misshapen", misshapen), ("unknown", unknown))
        if names
    ]
    if faults:
        raise ValueError(f"{path}: is of another network: of {len(own)} weights {'; '.join(faults)}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(theirs[name])


def read_weights(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file, on the CPU; ValueError where it holds anything else, OSError where it is none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is no file; {EXPECTED}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        OSError,
        RuntimeError,
        UnpicklingError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
    ) as error:
        raise ValueError(f"{path}: is cut short, or no weights; {EXPECTED}") from error
    if isinstance(content, dict):
        content = next((content[name] for name in WRAPPERS if isinstance(content.get(name), dict)), content)
    named = isinstance(content, dict) and all(isinstance(k, str) and isinstance(content[k], Tensor) for k in content)
    if not named or not content:
        raise ValueError(f"{path}: holds something else than weights; {EXPECTED}")
    return content


def prefix_of(names: Iterable[str], wanted: Iterable[str]) -> str:
    """What stands before the wanted names in a file: of the known prefixes and their chains the one that finds most,
    the shortest of several."""
    names, wanted = set(names), list(wanted)
    prefixes = {""}
    for name in names:
        prefix = ""
        for part in name.split("."):
            if part not in PREFIXES:
                break
            prefix += f"{part}."
            prefixes.add(prefix)
    return max(sorted(prefixes, key=len), key=lambda prefix: sum(prefix + name in names for name in wanted))
