"""Pickles written instruction by instruction, in the layout of stylegan2-ada-pytorch's: neither its code nor torch's
saving has a part in them."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

STORAGE_NAMES = {torch.float32: "torch FloatStorage", torch.float16: "torch HalfStorage"}
SOURCE = "raise SystemExit('the source code of a pickle was executed')"


@dataclass
class Imported:
    """What a pickle imports: "module name"."""

    name: str


@dataclass
class Call:
    name: str
    arguments: tuple
    state: Any = None


@dataclass
class Elsewhere:
    reference: Any


@dataclass
class Raw:
    """Instructions as they are; they must leave one value more."""

    content: bytes


def pickled(value: Any) -> bytes:
    return b"\x80\x04" + body(value) + b"."


def body(value: Any) -> bytes:
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if abs(value) < 2**31:
            return b"J" + struct.pack("<i", value)
        case int():
            return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case tuple():
            return b"(" + b"".join(map(body, value)) + b"t"
        case list():
            return b"](" + b"".join(map(body, value)) + b"e"
        case set():
            return b"\x8f(" + b"".join(map(body, value)) + b"\x90"
        case dict():
            return b"}(" + b"".join(body(key) + body(item) for key, item in value.items()) + b"u"
        case Imported(name):
            return b"c" + name.replace(" ", "\n").encode() + b"\n"
        case Call(name, arguments, state):
            made = body(Imported(name)) + body(arguments) + b"R"
            return made if state is None else made + body(state) + b"b"
        case Elsewhere(reference):
            return body(reference) + b"Q"
        case Raw(content):
            return content
        case Tensor():
            return body(tensor(value))
    raise TypeError(type(value))


def array(values: Tensor, count: int | None = None) -> bytes:
    """A stored array as torch's first form of file."""
    magic, system = 0x1950A86A20F9469CFC6C, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    count = values.numel() if count is None else count
    where = Elsewhere(("storage", Imported(STORAGE_NAMES[values.dtype]), "7", "cuda:0", count, None))
    head = b"".join(map(pickled, (magic, 1001, system, where, ["7"])))
    return head + struct.pack("<q", count) + values.contiguous().numpy().tobytes()


def tensor(values: Tensor) -> Call:
    stored = Call("torch.storage _load_from_bytes", (array(values),))
    view = (stored, 0, tuple(values.shape), values.contiguous().stride(), False, Call("collections OrderedDict", ()))
    return Call("torch._utils _rebuild_tensor_v2", view)


def module(
    tensors: dict[str, Any],
    arguments: dict | None = None,
    class_name: str = "Part",
    buffers: tuple[str, ...] = (),
    modules: Any = None,
) -> Call:
    """A module with these tensors, by dotted name, in modules below it; names that end in one of `buffers` are such.

    A value that is no tensor stands as it is. modules: what holds the modules below, instead.
    """
    own: dict[str, Any] = {"_parameters": {"absent": None}, "_buffers": {}, "_modules": {}}
    for name, value in tensors.items():
        if "." not in name:
            place = "_buffers" if name.endswith(buffers) and buffers else "_parameters"
            made = Call("torch._utils _rebuild_parameter", (value, True, Call("collections OrderedDict", ())))
            own[place][name] = made if place == "_parameters" and isinstance(value, Tensor) else value
    for child in dict.fromkeys(name.split(".", 1)[0] for name in tensors if "." in name):
        below = {name[len(child) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{child}.")}
        own["_modules"][child] = module(below, buffers=buffers)
    if modules is not None:
        own["_modules"] = modules
    gain = Call("numpy dtype", ("f8", False, True), (3, "<", None, None, None, -1, -1, 0))
    state = {
        "training": False,
        **own,
        "_non_persistent_buffers_set": set(),
        "weight_gain": Call("numpy.core.multiarray scalar", (gain, struct.pack("<d", 0.25))),
        "_init_args": (),
        "_init_kwargs": arguments or {},
    }
    meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": class_name, "state": state}
    return Call("torch_utils.persistence _reconstruct_persistent_obj", (meta,))


def snapshot(generator: Any, discriminator: Any, averaged: Any, training_set: dict | None = None) -> dict[str, Any]:
    pipe = module({}, {"xflip": 1, "rotate90": 1})
    networks = {"G": generator, "D": discriminator, "G_ema": averaged, "augment_pipe": pipe}
    return {"training_set_kwargs": training_set, **networks}


def write(path: Path, value: Any) -> Path:
    path.write_bytes(pickled(value))
    return path
