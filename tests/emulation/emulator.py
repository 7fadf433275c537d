"""Builds csrc's CUDA kernels for the processor, under a sanitizer, and calls their launchers.

Nothing here names an operation: launchers and their structs are read from csrc's headers. Objects are kept in
build/emulation under the hash of all they are made of.
"""

import ctypes
import hashlib
import os
import re
import shutil
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

HERE = Path(__file__).parent
CSRC = HERE.parent.parent / "csrc"
# The last but one: a grid of three blocks at most, so that threads take several turns.
# The last one: a block's dynamic shared memory is a thread_local that stands elsewhere and needs no initialising there.
FLAGS = [
    "-std=c++20",
    "-O1",
    "-g1",
    "-fno-omit-frame-pointer",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-DPUMPGAN_MOST_BLOCKS=3",
    "-fno-extern-tls-init",
]
SANITIZERS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DEMULATION_ADDRESS"],
    "thread": ["-fsanitize=thread", "-DEMULATION_THREAD"],
}
KEPT_SECONDS = 86400  # of what is no longer needed: another process may still want it
MACHINE = ("execution.cpp", "runtime.cpp")  # not the program that is examined: compiled without instrumentation
OPTIONS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=0:detect_leaks=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:atexit_sleep_ms=0",
}
DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}  # common/dtype.h
SCALARS: dict[str, type] = {
    "int64_t": ctypes.c_int64,
    "int": ctypes.c_int,
    "unsigned": ctypes.c_uint,
    "double": ctypes.c_double,
    "float": ctypes.c_float,
    "bool": ctypes.c_bool,
    "DType": ctypes.c_int,
}


@dataclass
class Input:
    """A tensor, laid out in memory as it is given if contiguous, `shift` bytes behind a multiple of 256."""

    tensor: Tensor
    shift: int = 0


@dataclass
class Output:
    """Memory that holds `start`, or NaN (-1 in integers), until the launcher writes it."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    shift: int = 0
    start: Tensor | None = None


@dataclass(repr=False)
class Call:
    """`launcher` with the fields of its struct: numbers, dtypes, Tensor or Input, Output, None, a dict for a struct."""

    launcher: str
    arguments: dict[str, Any]
    outputs: dict[str, Tensor] = field(default_factory=dict)  # filled by Emulator.run; by field
    struct: Any = None  # the arguments as the launcher left them

    def __repr__(self) -> str:
        def shown(value: Any) -> Any:
            return list(value.shape) if isinstance(value, Tensor) else value

        arguments = {name: shown(getattr(value, "tensor", value)) for name, value in self.arguments.items()}
        return f"{self.launcher}({arguments})"


class Fault(AssertionError):
    """What a sanitizer, or the emulation itself, reported."""


@cache
def declarations() -> tuple[dict[str, type[ctypes.Structure]], dict[str, str], list[Path]]:
    """Structs by name, launchers' structs' names by launcher, and the headers that declare them."""
    structs: dict[str, type[ctypes.Structure]] = {}
    launchers: dict[str, str] = {}
    headers = []
    for header in [*sorted(CSRC.glob("*/*.h")), *sorted(HERE.glob("*.h"))]:
        text = re.sub(r"//.*", "", header.read_text())
        found = re.findall(r"void (\w+_cuda)\((?:const )?(\w+)& \w+(?:, CUstream_st\* \w+)?\);", text)
        if not found:
            continue
        headers.append(header)
        launchers |= dict(found)
        for name, body in re.findall(r"^struct (\w+) \{\n(.*?)^\};", text, re.MULTILINE | re.DOTALL):
            fields: list[tuple[str, Any]] = []
            for kind, pointer, names in re.findall(r"^\s*(?:const )?(\w+)(\*?)\s+([\w, ]+);", body, re.MULTILINE):
                known = ctypes.c_void_p if pointer else {**SCALARS, **structs}[kind]
                fields += [(each, known) for each in names.split(", ")]
            structs[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
    return structs, launchers, headers


def table_of_launchers() -> str:
    """launchers.cpp: every launcher by name, with the size of its struct."""
    _, launchers, headers = declarations()
    streamless = {name for name in launchers if name.endswith("_for_cuda")}
    rows = []
    for name, arguments in launchers.items():
        call = f"{name}(*static_cast<{arguments}*>(arguments){'' if name in streamless else ', nullptr'});"
        rows.append(f'    {{"{name}", {{sizeof({arguments}), [](void* arguments) {{ {call} }}}}}},')
    includes = [f'#include "{header.relative_to(HERE if header.parent == HERE else CSRC)}"' for header in headers]
    table = ["using namespace pumpgan;", "const std::map<std::string, Launcher> launchers = {", *rows, "};", ""]
    return "\n".join(['#include "launchers.h"', *includes, *table])


class Emulator:
    """The kernels built under one sanitizer; `folder` keeps what was built."""

    def __init__(self, sanitizer: str, folder: Path) -> None:
        self.sanitizer = sanitizer
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        table = folder / "launchers.cpp"
        if not table.exists() or table.read_text() != table_of_launchers():
            table.write_text(table_of_launchers())
        sources = [*CSRC.glob("*/*_cuda.cu"), *HERE.glob("*.cu"), *HERE.glob("*.cpp"), table]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(self._compiled, sorted(sources)))
        self.program = folder / f"{self._hash(*objects)}-{sanitizer}"
        if not self.program.exists():
            self._make(["g++", *SANITIZERS[sanitizer], *map(str, objects), "-lpthread"], self.program)
        for old in folder.glob(f"*-{sanitizer}*"):
            if old.stat().st_mtime < time.time() - KEPT_SECONDS and old not in [self.program, *objects]:
                old.unlink(missing_ok=True)

    def _compiled(self, source: Path) -> Path:
        headers = [*sorted(CSRC.rglob("*.h")), *sorted(HERE.glob("*.h"))]
        made = self.folder / f"{source.stem}-{self.sanitizer}-{self._hash(source, *headers)}.o"
        if made.exists():
            return made
        flags = [flag for flag in SANITIZERS[self.sanitizer] if source.name not in MACHINE or flag.startswith("-D")]
        folders = [f"-I{HERE}", f"-I{CSRC}"]
        self._make(["g++", *FLAGS, *flags, *folders, "-x", "c++", "-c", str(source)], made)
        return made

    def _hash(self, *files: Path) -> str:
        everything = hashlib.sha256(repr((FLAGS, SANITIZERS)).encode())
        for file in files:
            everything.update(file.read_bytes())
        return everything.hexdigest()[:16]

    @staticmethod
    def _make(command: list[str], target: Path) -> None:
        unfinished = target.with_suffix(f".{os.getpid()}")
        done = subprocess.run([*command, "-o", str(unfinished)], capture_output=True, text=True)
        if done.returncode != 0:
            raise Fault(f"{' '.join(command)}\n{done.stderr}")
        unfinished.rename(target)

    def run(self, *calls: Call) -> None:
        """Makes the calls in one process and fills their `outputs`; raises Fault with the report where one fails."""
        request = b"".join(map(packed, calls))
        done = subprocess.run([self.program], input=request, capture_output=True, env={**os.environ, **OPTIONS})
        if done.returncode != 0:
            report = done.stderr.decode(errors="replace")
            started = re.findall(r"^emulation: call (\d+)", report, re.MULTILINE)
            last = f"call {started[-1]}, {calls[int(started[-1])]}" if started else "before its first call"
            said = report.rpartition("emulation: call ")[2]
            raise Fault(f"{self.sanitizer} sanitizer, exit status {done.returncode}, {last}:\n{said}")
        answer = memoryview(done.stdout)
        for call in calls:
            answer = unpack(call, answer)
        assert not answer, "the program answered more than it was asked"


@cache
def emulator(sanitizer: str) -> Emulator:
    """The kernels of this checkout."""
    if shutil.which("g++") is None:
        pytest.skip("the emulation of CUDA needs g++")
    return Emulator(sanitizer, HERE.parent.parent / "build" / "emulation")


def filled(kind: type[ctypes.Structure], arguments: dict[str, Any]) -> ctypes.Structure:
    """A struct of these fields, every one of which must be given; pointers stay null."""
    names = [name for name, *_ in kind._fields_]
    assert set(names) == set(arguments), f"{kind.__name__} has {names}, got {list(arguments)}"
    made = kind()
    for name, value in arguments.items():
        if isinstance(value, dict):
            setattr(made, name, filled(type(getattr(made, name)), value))
        elif isinstance(value, torch.dtype):
            setattr(made, name, DTYPES[value])
        elif not (value is None or isinstance(value, Tensor | Input | Output)):
            setattr(made, name, value)
    return made


def packed(call: Call) -> bytes:
    structs, launchers, _ = declarations()
    kind = structs[launchers[call.launcher]]
    pointers = []
    for name, value in call.arguments.items():
        value = Input(value) if isinstance(value, Tensor) else value
        offset = getattr(kind, name).offset
        if isinstance(value, Input):
            data = bytes_of(value.tensor)
            pointers.append(text(name.encode()) + struct.pack("<IIQI", offset, 0, len(data), value.shift) + data)
        elif isinstance(value, Output):
            size = torch.Size(value.shape).numel() * value.dtype.itemsize
            start = b"" if value.start is None else bytes_of(value.start.to(value.dtype))
            kind_of_pointer = 1 if value.start is None else 2
            pointers.append(
                text(name.encode()) + struct.pack("<IIQI", offset, kind_of_pointer, size, value.shift) + start
            )
    arguments = bytes(filled(kind, call.arguments))
    head = text(call.launcher.encode()) + text(arguments) + struct.pack("<I", len(pointers))
    return head + b"".join(pointers)


def unpack(call: Call, answer: memoryview) -> memoryview:
    structs, launchers, _ = declarations()
    kind = structs[launchers[call.launcher]]
    call.struct = kind.from_buffer_copy(answer)
    answer = answer[ctypes.sizeof(kind) :]
    for name, value in call.arguments.items():
        if isinstance(value, Output):
            size = torch.Size(value.shape).numel() * value.dtype.itemsize
            made = torch.empty(value.shape, dtype=value.dtype)
            if size:
                made = torch.frombuffer(bytearray(answer[:size]), dtype=value.dtype).reshape(value.shape)
            call.outputs[name], answer = made, answer[size:]
    return answer


def text(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def bytes_of(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
