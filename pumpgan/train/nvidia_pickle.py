"""The network pickles of NVIDIA's stylegan2-ada-pytorch, read without running anything that stands in them.

Such a file holds a dict of G, D, G_ema, augment_pipe and training_set_kwargs. A network in it is a tree of modules,
each with the source code of its class (which is passed over), the arguments that it was made with, and its tensors.
"""

import io
import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from pumpgan.train.inert_pickle import Adjustable, read_pickle

NETWORKS = ("G", "D", "G_ema")
MOST_MODULES = 10_000  # in a network; some hundred are usual

# A stored array begins with these, each a pickle: a magic number and the version of the form.
STORAGE_MAGIC, STORAGE_VERSION = 0x1950A86A20F9469CFC6C, 1001
STORAGE_TYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
NUMBER_FORMATS = {"f2": "e", "f4": "f", "f8": "d", "i4": "i", "i8": "q", "u1": "B", "b1": "?"}


@dataclass(frozen=True)
class Network:
    """A network: the arguments it was made with, and its parameters and buffers by dotted name."""

    arguments: dict[str, Any]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class NvidiaPickle:
    """generator, discriminator, averaged: G, D and G_ema. training_set: what they were trained on, or nothing."""

    generator: Network
    discriminator: Network
    averaged: Network
    training_set: dict[str, Any]


@dataclass(frozen=True)
class Module:
    """class_name is the class's name and state its attributes, as pickled."""

    class_name: str
    state: dict[str, Any]


def read_nvidia_pickle(path: Path) -> NvidiaPickle:
    """Reads the networks of a pickle. Nothing of it is imported or executed.

    Raises OSError where the file cannot be read; ValueError, with the path, where it is cut short, damaged, asks for
    anything that such a file does not need, or does not hold these networks.
    """
    with path.open("rb") as file:
        if not file.read(1):
            raise ValueError(f"{path}: is empty; copy it again from where it came")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            names = NAMES | {"torch.storage._load_from_bytes": Arrays(len(content)).read}
            try:
                return as_networks(read_pickle(cast(IO[bytes], content), names))  # a map reads as a file does
            except ValueError as error:
                hint = (
                    "; its legacy.py converts those of the TensorFlow version" if "dnnlib.tflib" in str(error) else ""
                )
                text = f"{path}: is not a network pickle of stylegan2-ada-pytorch: it {error}{hint}"
                raise ValueError(text) from error


def as_networks(content: Any) -> NvidiaPickle:
    if not isinstance(content, dict) or not all(isinstance(content.get(name), Module) for name in NETWORKS):
        raise ValueError(f"must hold the networks {', '.join(NETWORKS)}")
    training_set = content.get("training_set_kwargs") or {}
    if not isinstance(training_set, dict):
        raise ValueError(f"has a {type(training_set).__name__} as training_set_kwargs")
    generator, discriminator, averaged = (network_of(content[name], name) for name in NETWORKS)
    return NvidiaPickle(generator, discriminator, averaged, training_set)


def network_of(module: Module, name: str) -> Network:
    """The tensors of a module and all below it."""
    arguments = module.state.get("_init_kwargs")
    if not isinstance(arguments, dict) or module.state.get("_init_args", ()) != ():
        raise ValueError(f"does not say by name what {name} was made with")
    tensors: dict[str, Tensor] = {}
    waiting, met = [("", module)], 0
    while waiting:
        prefix, module = waiting.pop()
        met += 1
        if met > MOST_MODULES:
            raise ValueError(f"has more modules in {name} than a network has")
        for what in ("_parameters", "_buffers", "_modules"):
            members = module.state.get(what)
            if not isinstance(members, dict):
                raise ValueError(f"lacks {what} in {name}.{prefix}")
            for member, value in members.items():
                if isinstance(value, Module) and what == "_modules":
                    waiting.append((f"{prefix}{member}.", value))
                elif isinstance(value, Tensor) and what != "_modules":
                    tensors[f"{prefix}{member}"] = value
                elif value is not None:
                    raise ValueError(f"has a {type(value).__name__} as {name}.{prefix}{member}")
    return Network(arguments, tensors)


# What the names in such a file stand for ---------------------------------------------------------------------


def module_of(meta: Any) -> Module:
    """A network or a part of one; its source code, meta["module_src"], is not looked at."""
    if not isinstance(meta, dict) or meta.get("type") != "class":
        raise ValueError("has a module without description")
    name, state = meta.get("class_name"), meta.get("state")
    if not isinstance(name, str) or not isinstance(state, dict):
        raise ValueError("has a module without name or state")
    return Module(name, state)


def empty_dict() -> dict[str, Any]:
    return {}


def set_of(items: Any = ()) -> set[str]:
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError("has a set of other than texts")
    return set(items)


class Arrays:
    """Reads stored arrays, of as many bytes in all as the file has: none may be copied over and over."""

    def __init__(self, most_bytes: int):
        self.left = most_bytes

    def read(self, content: Any) -> Tensor:
        if not isinstance(content, bytes):
            raise ValueError("has an array that is not of bytes")
        self.left -= len(content)
        if self.left < 0:
            raise ValueError("has larger arrays than the file could hold")
        return array_of(content)


def array_of(content: bytes) -> Tensor:
    """A stored array, [count], from the bytes of torch's first form of file: five pickles, then count and numbers."""
    file = io.BytesIO(content)
    magic, version, system = (read_pickle(file, {}) for _ in range(3))
    if (magic, version) != (STORAGE_MAGIC, STORAGE_VERSION):
        raise ValueError("has an array of another form than torch.save's first")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("has an array of another byte order")
    key, dtype = read_pickle(file, STORAGE_TYPES, storage_of)
    if read_pickle(file, {}) != [key]:
        raise ValueError("has an array that is not one")
    count = int.from_bytes(file.read(8), "little", signed=True)
    start, size = file.tell(), dtype.itemsize
    if count < 0 or len(content) - start != count * size:
        raise ValueError(f"has an array of {count} numbers in {len(content) - start} bytes; it is cut short or damaged")
    if count == 0:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(content[start:]), dtype=dtype)


def storage_of(reference: Any) -> tuple[str, torch.dtype]:
    """Key and type, of ("storage", type, key, device, count, None). Where it lay before does not matter."""
    if not isinstance(reference, tuple) or len(reference) != 6 or reference[0] != "storage" or reference[5] is not None:
        raise ValueError("has an array that is stored elsewhere")
    dtype = getattr(reference[1], "meaning", None)
    if not isinstance(dtype, torch.dtype) or not isinstance(reference[2], str):
        raise ValueError("has an array of an unknown type")
    return reference[2], dtype


def tensor_of(
    array: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, *metadata: Any
) -> Tensor:
    """A tensor: a view into an array."""
    if not isinstance(array, Tensor) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise ValueError("has a tensor that is none")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(v) is int and 0 <= v < 2**40 for v in numbers):
        raise ValueError(f"has a tensor of size {size} and stride {stride}"[:200])
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if math.prod(size) > array.numel() or (math.prod(size) and last >= array.numel()):
        raise ValueError(f"has a tensor of size {size} in an array of {array.numel()} numbers"[:200])
    return array.as_strided(size, stride, offset) if math.prod(size) else array.new_empty(size)


def parameter_of(data: Any, requires_grad: Any, hooks: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise ValueError("has a parameter that is no tensor")
    return data


@dataclass
class NumberType(Adjustable):
    """A type of numpy's numbers: its code, as f8; the state that follows holds the byte order."""

    code: str = ""


def number_type(code: Any, align: Any, copy: Any) -> NumberType:
    if code not in NUMBER_FORMATS:
        raise ValueError(f"has a number of type {str(code)[:40]}")
    return NumberType(code=code)


def number_of(kind: Any, content: Any) -> float | int | bool:
    """A number of numpy's, as Python's."""
    if not isinstance(kind, NumberType) or not isinstance(content, bytes):
        raise ValueError("has a number that is none")
    if isinstance(kind.state, tuple) and len(kind.state) > 1 and kind.state[1] == ">":
        raise ValueError("has a number of another byte order")
    form = "<" + NUMBER_FORMATS[kind.code]
    if len(content) != struct.calcsize(form):
        raise ValueError(f"has a number of {len(content)} bytes")
    return struct.unpack(form, content)[0]


NAMES = {
    "torch_utils.persistence._reconstruct_persistent_obj": module_of,
    "dnnlib.util.EasyDict": empty_dict,
    "collections.OrderedDict": empty_dict,
    "builtins.set": set_of,
    "torch._utils._rebuild_parameter": parameter_of,
    "torch._utils._rebuild_tensor_v2": tensor_of,
    "numpy.dtype": number_type,
    "numpy.core.multiarray.scalar": number_of,
    "numpy._core.multiarray.scalar": number_of,
}
